//! Random single changes of valid ledgers: refused, or, where a key-holder signs again, visible in the last head.

use proptest::prelude::*;
use weighbridge_attest_types::{PRESENT_DECLARED, PRESENT_ENERGY};

use super::*;

/// A valid ledger of one to five intervals over none to three accelerators.
fn arb_ledger() -> impl Strategy<Value = NodeLedger> {
    let interval = (0u64..=MAX_INTERVAL_MILLIS, 0u64..5_000, any::<bool>(), any::<bool>(), any::<u64>());
    (proptest::collection::vec(interval, 1..6), 0u8..4, any::<[u8; 16]>()).prop_map(|(intervals, devices, boot_id)| {
        let (mut wall, mut mono) = (START_WALL, START_MONO);
        let mut facts = Vec::new();
        for ((millis, drift, checkpoint, quote, split), index) in intervals.into_iter().zip(1..) {
            let mut public = IntervalPublic { index, boot_id, checkpoints: Vec::new(), quoted: None, ..public(1) };
            (public.start_wall, public.start_mono) = (UnixMillis(wall + drift), mono);
            wall += drift + millis;
            mono += millis;
            (public.end_wall, public.end_mono) = (UnixMillis(wall), mono);
            let spend = |device| spend(device, millis, split);
            public.devices = (1..=devices).map(spend).collect();
            if checkpoint {
                public.checkpoints.push(commitment(split));
            }
            public.quoted = quote.then(|| QuotedHead { index: index - 1, evidence: Digest32([5; 32]) });
            facts.push(public);
        }
        signed(1, start(1), facts)
    })
}

fn spend(number: u8, millis: u64, split: u64) -> DeviceTime {
    let run = split.wrapping_mul(u64::from(number)) % (millis + 1);
    let gap = (millis - run) / 3;
    let idle = (millis - run) / 2;
    let other = millis - run - gap - idle;
    let [run, other, idle, gap] = [run, other, idle, gap].map(DeviceMillis);
    DeviceTime { device: device(number), run, other, idle, gap }
}

fn commitment(seed: u64) -> CheckpointCommitment {
    CheckpointCommitment {
        attempt: 1,
        step: seed,
        fast_root: Digest32([6; 32]),
        algebraic_root: PoseidonDigest::from_elements([seed >> 1, 1, 2, 3]).unwrap(),
        files: vec![FileDigest { name: "model.safetensors".to_owned(), bytes: seed, sha256: Digest32([7; 32]) }],
    }
}

type Mutation = fn(&mut NodeLedger, &mut LedgerEntry, u64);

/// One change per field; `salt` says by how much.
static MUTATIONS: [Mutation; 31] = [
    |ledger, _, salt| ledger.start.genesis.0[31] ^= low(salt),
    |ledger, _, salt| ledger.start.node_key.0[0] ^= low(salt),
    |ledger, _, salt| ledger.start.device_set.0[7] ^= low(salt),
    |ledger, _, salt| ledger.start.predecessor = PoseidonDigest::from_elements([salt >> 1, 0, 0, 1]),
    |_, entry, salt| entry.meter = PoseidonDigest::from_elements([salt >> 1, 9, 9, 9]).unwrap(),
    |_, entry, salt| entry.signature.0[usize::from(low(salt)) % 64] ^= low(salt),
    |_, entry, salt| entry.public.index = salt,
    |_, entry, salt| entry.public.index = entry.public.index.wrapping_add(salt % 3).wrapping_sub(1),
    |_, entry, salt| entry.public.boot_id[usize::from(low(salt)) % 16] ^= low(salt),
    |_, entry, salt| entry.public.start_wall.0 = salt,
    |_, entry, salt| entry.public.start_wall.0 += salt % 100_000,
    |_, entry, salt| entry.public.end_wall.0 = salt,
    |_, entry, salt| entry.public.end_wall.0 -= salt % 100_000,
    |_, entry, salt| entry.public.start_mono = salt,
    |_, entry, salt| entry.public.start_mono += salt % 100,
    |_, entry, salt| entry.public.end_mono = salt,
    |_, entry, salt| entry.public.end_mono = entry.public.end_mono.wrapping_sub(salt % 100),
    |_, entry, salt| {
        let bits = if salt & 1 == 0 { PRESENT_DECLARED | PRESENT_ENERGY } else { 0 };
        entry.public.presence = Presence::from_bits(bits).unwrap();
    },
    |_, entry, salt| on_device(entry, |time| time.device = device(low(salt))),
    |_, entry, salt| on_device(entry, |time| time.run.0 = salt),
    |_, entry, salt| on_device(entry, |time| time.other.0 = salt),
    |_, entry, salt| on_device(entry, |time| time.idle.0 = salt),
    |_, entry, salt| on_device(entry, |time| time.gap.0 = salt),
    |_, entry, salt| {
        on_device(entry, |time| {
            std::mem::swap(&mut time.gap, if salt & 1 == 0 { &mut time.run } else { &mut time.idle })
        })
    },
    |_, entry, _| entry.public.devices.truncate(1),
    |_, entry, salt| entry.public.devices.push(spend(low(salt), entry.public.end_mono - entry.public.start_mono, salt)),
    |_, entry, salt| entry.public.checkpoints.push(commitment(salt)),
    |_, entry, _| drop(entry.public.checkpoints.pop()),
    |_, entry, salt| entry.public.quoted = Some(QuotedHead { index: salt % 7, evidence: Digest32([low(salt); 32]) }),
    |_, entry, _| entry.public.quoted = None,
    |ledger, _, _| drop(ledger.entries.pop()),
];

fn low(salt: u64) -> u8 {
    salt.to_le_bytes()[0]
}

fn on_device(entry: &mut LedgerEntry, change: impl FnOnce(&mut DeviceTime)) {
    if let Some(time) = entry.public.devices.last_mut() {
        change(time);
    }
}

fn mutated(ledger: &NodeLedger, mutation: Mutation, place: usize, salt: u64) -> NodeLedger {
    let mut mutant = ledger.clone();
    let place = place % mutant.entries.len();
    let mut entry = mutant.entries[place].clone();
    mutation(&mut mutant, &mut entry, salt);
    if let Some(slot) = mutant.entries.get_mut(place) {
        *slot = entry;
    }
    mutant
}

/// Signs a changed ledger again with the chain's own key: what an operator with the key could do.
fn signed_again(mut ledger: NodeLedger) -> NodeLedger {
    let mut head = head_0(&ledger.start);
    for entry in &mut ledger.entries {
        let index = entry.public.index;
        head = next_head(index, head, entry.meter, entry.public.digest());
        let signature = pair(1).sign(&entry_signing_bytes(ledger.start.genesis, index, head));
        entry.signature = Signature64(signature.as_ref().try_into().unwrap());
    }
    ledger
}

proptest! {
    #[test]
    fn generated_ledgers_hold(ledger in arb_ledger()) {
        prop_assert!(CheckedLedger::check(&ledger).is_ok());
    }

    #[test]
    fn a_single_change_is_refused_or_shortens_the_chain(
        ledger in arb_ledger(),
        which in 0..MUTATIONS.len(),
        place in any::<usize>(),
        salt in any::<u64>(),
    ) {
        let mutant = mutated(&ledger, MUTATIONS[which], place, salt);
        prop_assume!(mutant != ledger);
        let before = checked(&ledger);
        if let Ok(after) = CheckedLedger::check(&mutant) {
            prop_assert_ne!(after.head(after.last_index()), before.head(before.last_index()), "mutation {}", which);
            // Without the key only cutting the end off leaves every signature whole.
            prop_assert_eq!(after.last_index() + 1, before.last_index(), "mutation {}", which);
        }
    }

    #[test]
    fn a_change_signed_again_is_refused_or_changes_the_last_head(
        ledger in arb_ledger(),
        which in 0..MUTATIONS.len(),
        place in any::<usize>(),
        salt in any::<u64>(),
    ) {
        let mutant = signed_again(mutated(&ledger, MUTATIONS[which], place, salt));
        prop_assume!(mutant != ledger);
        let before = checked(&ledger);
        if let Ok(after) = CheckedLedger::check(&mutant) {
            prop_assert_ne!(after.head(after.last_index()), before.head(before.last_index()), "mutation {}", which);
        }
    }

    #[test]
    fn a_changed_byte_is_no_ledger_or_is_refused(ledger in arb_ledger(), at in any::<usize>(), with in 1u8..) {
        let mut bytes = ledger.to_bytes();
        let at = at % bytes.len();
        bytes[at] ^= with;
        if let Ok(mutant) = NodeLedger::from_bytes(&bytes) {
            prop_assert!(CheckedLedger::check(&mutant).is_err(), "byte {}", at);
        }
    }
}
