//! One breakage per rule, each with its exact error, by the checker and by the append side.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use weighbridge_attest_types::{
    Canonical as _, ChainStart, CheckpointCommitment, CodecError, Culprit, Device, DeviceMillis, DeviceTime, Digest32,
    EvidenceKind, FileDigest, IntervalPublic, LedgerEntry, MAX_INTERVAL_MILLIS, MAX_LEDGER_ENTRIES, NodeKey,
    NodeLedger, PoseidonDigest, Presence, QuotedHead, Reading, RosterDevice, RosterRow, Signature64, UnixMillis,
    WindowCommitment, device_set_digest, entry_signing_bytes,
};

use crate::tip::Tip;
use crate::{
    Chain, CheckedLedger, LedgerError, check_forks, check_succession, head_0, meter_commitment, next_head, reading_salt,
};

mod mutations;

const START_WALL: u64 = 1_760_000_000_000;
const START_MONO: u64 = 5_000;
const STEP: u64 = 60_000;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn device(number: u8) -> Device {
    Device(Digest32([number; 32]))
}

/// A roster row with the accelerators 1 and 2 on the CPU platform 9.
fn row(seed: u8) -> RosterRow {
    let accelerator = |number| RosterDevice {
        device: device(number),
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        sku: "sku of the row".to_owned(),
    };
    RosterRow {
        node_key: NodeKey(pair(seed).public_key().as_ref().try_into().unwrap()),
        key_quote: Digest32([0; 32]),
        cpu_kind: EvidenceKind::new(EvidenceKind::TDX),
        cpu: device(9),
        devices: vec![accelerator(1), accelerator(2)],
    }
}

fn start(seed: u8) -> ChainStart {
    let row = row(seed);
    let device_set = device_set_digest(&row.device_set());
    ChainStart { genesis: Digest32([0x11; 32]), node_key: row.node_key, device_set, predecessor: None }
}

fn time(number: u8, run: u64) -> DeviceTime {
    DeviceTime {
        device: device(number),
        run: DeviceMillis(run),
        other: DeviceMillis(2),
        idle: DeviceMillis(STEP - run - 3),
        gap: DeviceMillis(1),
    }
}

fn public(index: u64) -> IntervalPublic {
    let passed = (index - 1) * STEP;
    IntervalPublic {
        index,
        boot_id: [7; 16],
        start_wall: UnixMillis(START_WALL + passed),
        end_wall: UnixMillis(START_WALL + passed + STEP),
        start_mono: START_MONO + passed,
        end_mono: START_MONO + passed + STEP,
        presence: Presence::from_bits(1).unwrap(),
        devices: vec![time(1, 50_000), time(2, 40_000)],
        checkpoints: Vec::new(),
        windows: Vec::new(),
        quoted: (index > 1).then(|| QuotedHead { index: index - 1, evidence: Digest32([3; 32]) }),
    }
}

fn meter(index: u64) -> PoseidonDigest {
    let reading = Reading::new(1_000 + index % 1_000, 5, 0, 0).unwrap();
    meter_commitment(&reading, &reading_salt(b"node secret", index))
}

fn four() -> Vec<IntervalPublic> {
    (1..=4).map(public).collect()
}

/// Signs whatever it is given, as a node key in wrong hands would: every head is computed, no rule is asked.
fn signed(seed: u8, start: ChainStart, facts: Vec<IntervalPublic>) -> NodeLedger {
    let mut head = head_0(&start);
    let mut entries = Vec::new();
    for public in facts {
        let meter = meter(public.index);
        head = next_head(public.index, head, meter, public.digest());
        let signature = pair(seed).sign(&entry_signing_bytes(start.genesis, public.index, head));
        entries.push(LedgerEntry { public, meter, signature: Signature64(signature.as_ref().try_into().unwrap()) });
    }
    NodeLedger { start, entries }
}

fn ledger(seed: u8) -> NodeLedger {
    signed(seed, start(seed), four())
}

fn checked(ledger: &NodeLedger) -> CheckedLedger {
    CheckedLedger::check(ledger).unwrap()
}

/// What the checker says about four intervals after one breakage, all signatures fresh.
fn refused(breaker: impl FnOnce(&mut Vec<IntervalPublic>)) -> LedgerError {
    let mut facts = four();
    breaker(&mut facts);
    CheckedLedger::check(&signed(1, start(1), facts)).unwrap_err()
}

/// The same, and the append side refuses the same facts with the same words before anything is written.
fn refused_by_both(breaker: impl Fn(&mut Vec<IntervalPublic>)) -> LedgerError {
    let error = refused(&breaker);
    let mut facts = four();
    breaker(&mut facts);
    let mut chain = Chain::new(start(1));
    for entry in signed(1, start(1), facts).entries {
        match chain.seal(entry.public.clone(), entry.meter) {
            Ok(_) => chain.append(entry).unwrap(),
            Err(sealing) => {
                assert_eq!(sealing, error);
                assert_eq!(chain.append(entry).unwrap_err(), error);
                return error;
            }
        }
    }
    panic!("the append side sealed what the checker refuses: {error}");
}

#[test]
fn a_chain_grows_and_its_ledger_holds() {
    let expected = ledger(1);
    let mut chain = Chain::new(start(1));
    assert_eq!((chain.last_index(), chain.head(), chain.start()), (0, head_0(&start(1)), &start(1)));
    for public in four() {
        let index = public.index;
        let sealed = chain.seal(public, meter(index)).unwrap();
        assert_eq!(sealed.index(), index);
        assert_eq!(sealed.signing_bytes(), entry_signing_bytes(start(1).genesis, index, sealed.head()));
        let (head, signature) = (sealed.head(), pair(1).sign(sealed.signing_bytes()));
        chain.append(sealed.signed(Signature64(signature.as_ref().try_into().unwrap()))).unwrap();
        assert_eq!((chain.last_index(), chain.head()), (index, head));
    }
    assert_eq!(chain.ledger(), &expected);

    let checked = checked(chain.ledger());
    assert_eq!((checked.start(), checked.entries()), (&expected.start, expected.entries.as_slice()));
    assert_eq!((checked.last_index(), checked.heads().len()), (4, 4));
    assert_eq!(checked.head(0), Some(head_0(&start(1))));
    assert_eq!(checked.head(4), Some(chain.head()));
    assert_eq!(checked.heads()[0], checked.head(1).unwrap());
    assert_eq!((checked.head(5), checked.head(u64::MAX)), (None, None));
    assert_eq!(checked.check_row(Digest32([0x11; 32]), &row(1)), Ok(()));
}

#[test]
fn a_chain_without_intervals_holds() {
    let checked = checked(&NodeLedger { start: start(1), entries: Vec::new() });
    assert_eq!((checked.last_index(), checked.head(0)), (0, Some(head_0(&start(1)))));
}

#[test]
fn holes_repetitions_and_shuffles_have_their_own_names() {
    let gap = LedgerError::Gap { expected: 2, found: 3 };
    assert_eq!(refused_by_both(|facts| drop(facts.remove(1))), gap);
    assert_eq!(refused_by_both(|facts| drop(facts.remove(0))), LedgerError::Gap { expected: 1, found: 2 });
    let back = LedgerError::IndexBack { expected: 3, found: 2 };
    assert_eq!(refused_by_both(|facts| facts.insert(2, public(2))), back);
    assert_eq!(refused_by_both(|facts| facts[0].index = 0), LedgerError::IndexBack { expected: 1, found: 0 });
    assert_eq!(refused(|facts| facts.swap(1, 2)), LedgerError::Reordered { expected: 2, found: 3 });
    assert_eq!(refused_by_both(|facts| facts[3].index = u64::MAX), LedgerError::Gap { expected: 4, found: u64::MAX });
}

#[test]
fn clocks_go_forward() {
    let (wall, mono) = (START_WALL + STEP, START_MONO + STEP);
    let wall_back =
        |previous, found| LedgerError::WallBack { index: 2, previous: UnixMillis(previous), found: UnixMillis(found) };
    assert_eq!(refused_by_both(|facts| facts[1].start_wall.0 -= 1), wall_back(wall, wall - 1));
    assert_eq!(refused_by_both(|facts| facts[1].end_wall.0 = wall - 9), wall_back(wall, wall - 9));
    let mono_back = |previous, found| LedgerError::MonoBack { index: 2, previous, found };
    assert_eq!(refused_by_both(|facts| facts[1].start_mono -= 1), mono_back(mono, mono - 1));
    assert_eq!(refused_by_both(|facts| facts[1].end_mono = mono - 1), mono_back(mono, mono - 1));
    let hole = LedgerError::NotContiguous { index: 2, previous: mono, found: mono + 1 };
    assert_eq!(refused_by_both(|facts| facts[1].start_mono += 1), hole);
    assert_eq!(refused_by_both(|facts| facts[2].boot_id[15] ^= 1), LedgerError::BootChanged { index: 3 });
}

#[test]
fn the_wall_clock_may_jump_forward() {
    let mut facts = four();
    facts[2].start_wall.0 += 1_000;
    facts[2].end_wall.0 += 500_000;
    facts[3].start_wall.0 += 500_000;
    facts[3].end_wall.0 += 500_000;
    checked(&signed(1, start(1), facts));
}

#[test]
fn every_millisecond_of_a_device_is_accounted_for() {
    let sum = |found| LedgerError::DeviceTime { index: 2, device: device(2), found, millis: STEP };
    assert_eq!(refused_by_both(|facts| facts[1].devices[1].gap.0 = 0), sum(STEP - 1));
    assert_eq!(refused_by_both(|facts| facts[1].devices[1].run.0 += 1), sum(STEP + 1));
    assert_eq!(refused_by_both(|facts| facts[1].devices[1].other.0 += 1), sum(STEP + 1));
    assert_eq!(refused_by_both(|facts| facts[1].devices[1].idle.0 += 1), sum(STEP + 1));
    let overflow = LedgerError::SumOverflow { index: 2, device: device(1) };
    assert_eq!(refused_by_both(|facts| facts[1].devices[0].run.0 = u64::MAX), overflow);
    assert_eq!(refused_by_both(|facts| facts[3].end_mono += 1), {
        LedgerError::DeviceTime { index: 4, device: device(1), found: STEP, millis: STEP + 1 }
    });
}

#[test]
fn the_devices_of_a_chain_stay_the_same_and_ascend() {
    let order = LedgerError::DevicesNotAscending { index: 1 };
    assert_eq!(refused_by_both(|facts| facts[0].devices.swap(0, 1)), order);
    assert_eq!(refused_by_both(|facts| facts[0].devices[1] = time(1, 40_000)), order);
    let changed = LedgerError::DevicesChanged { index: 3 };
    assert_eq!(refused_by_both(|facts| facts[2].devices.truncate(1)), changed);
    assert_eq!(refused_by_both(|facts| facts[2].devices.push(time(3, 5))), changed);
    assert_eq!(refused_by_both(|facts| facts[2].devices[1].device = device(3)), changed);
}

/// Lengthens the last interval to `millis`; the devices spend it as `spend` says.
fn lengthen(facts: &mut [IntervalPublic], millis: u64, spend: fn(u64) -> [u64; 4]) {
    let last = facts.last_mut().unwrap();
    last.end_mono = last.start_mono + millis;
    for time in &mut last.devices {
        let [run, other, idle, gap] = spend(millis).map(DeviceMillis);
        *time = DeviceTime { device: time.device, run, other, idle, gap };
    }
}

#[test]
fn only_a_pure_gap_may_be_long() {
    let over = MAX_INTERVAL_MILLIS + 1;
    let long = LedgerError::TooLong { index: 4, millis: over };
    assert_eq!(refused_by_both(|facts| lengthen(facts, over, |millis| [millis, 0, 0, 0])), long);
    assert_eq!(refused_by_both(|facts| lengthen(facts, over, |millis| [0, 0, 1, millis - 1])), long);
    assert_eq!(
        refused_by_both(|facts| {
            facts.iter_mut().for_each(|public| public.devices.clear());
            lengthen(facts, over, |millis| [0, 0, 0, millis]);
        }),
        long
    );
    for (millis, spend) in [
        (MAX_INTERVAL_MILLIS, (|millis| [millis, 0, 0, 0]) as fn(u64) -> [u64; 4]),
        (100 * MAX_INTERVAL_MILLIS, |millis| [0, 0, 0, millis]),
    ] {
        let mut facts = four();
        lengthen(&mut facts, millis, spend);
        checked(&signed(1, start(1), facts));
    }
}

#[test]
fn quotes_are_cited_after_they_exist_and_in_order() {
    let cite = |index| Some(QuotedHead { index, evidence: Digest32([4; 32]) });
    let future = |quoted| LedgerError::QuotedFuture { index: 2, quoted };
    assert_eq!(refused_by_both(|facts| facts[1].quoted = cite(2)), future(2));
    assert_eq!(refused_by_both(|facts| facts[1].quoted = cite(u64::MAX)), future(u64::MAX));
    let back = LedgerError::QuotedBack { index: 4, previous: 2, quoted: 1 };
    assert_eq!(refused_by_both(|facts| facts[3].quoted = cite(1)), back);
    let across = |facts: &mut Vec<IntervalPublic>| {
        facts[2].quoted = None;
        facts[3].quoted = cite(0);
    };
    assert_eq!(refused_by_both(across), LedgerError::QuotedBack { index: 4, previous: 1, quoted: 0 });
    let mut facts = four();
    facts[0].quoted = cite(0);
    facts[2].quoted = None;
    checked(&signed(1, start(1), facts));
}

/// Puts windows into four intervals, by their indices.
fn placed(places: [&'static [u64]; 4]) -> impl Fn(&mut Vec<IntervalPublic>) {
    move |facts| {
        for (fact, windows) in facts.iter_mut().zip(places) {
            let window = |index: &u64| WindowCommitment { index: *index, root: meter(index + 1) };
            fact.windows = windows.iter().map(window).collect();
        }
    }
}

#[test]
fn windows_have_one_place_and_none_is_left_out() {
    let mut facts = four();
    placed([&[], &[0, 1], &[], &[2]])(&mut facts);
    let honest = checked(&signed(1, start(1), facts));
    let order = |index, expected, found| LedgerError::WindowOrder { index, expected, found };
    assert_eq!(refused_by_both(placed([&[1], &[], &[], &[]])), order(1, 0, 1));
    assert_eq!(refused_by_both(placed([&[0], &[], &[0], &[]])), order(3, 1, 0));
    assert_eq!(refused_by_both(placed([&[0, 0], &[], &[], &[]])), order(1, 1, 0));
    assert_eq!(refused_by_both(placed([&[0], &[2], &[], &[]])), order(2, 1, 2));
    // A root is in the head: another one is another chain.
    let mut changed = honest.entries().to_vec();
    changed[1].public.windows[0].root = meter(9);
    let forged = NodeLedger { start: start(1), entries: changed };
    assert_eq!(CheckedLedger::check(&forged), Err(LedgerError::BadSignature { index: 2 }));
}

#[test]
fn signatures_are_of_this_key_over_this_head() {
    let bad = |index| Err(LedgerError::BadSignature { index });
    let mut broken = ledger(1);
    broken.entries[2].signature.0[5] ^= 1;
    assert_eq!(CheckedLedger::check(&broken), bad(3));

    let mut foreign = ledger(1);
    foreign.start.node_key = start(2).node_key;
    assert_eq!(CheckedLedger::check(&foreign), bad(1));

    let mut moved = ledger(1);
    moved.entries[1].meter = meter(9);
    assert_eq!(CheckedLedger::check(&moved), bad(2));

    let mut other_run = ledger(1);
    other_run.start.genesis = Digest32([0x12; 32]);
    assert_eq!(CheckedLedger::check(&other_run), bad(1));

    let mut chain = Chain::new(start(1));
    let entry = signed(2, start(1), four()).entries.swap_remove(0);
    assert_eq!(chain.append(entry), Err(LedgerError::BadSignature { index: 1 }));
    assert_eq!(chain.last_index(), 0);
    assert_eq!(LedgerError::BadSignature { index: 1 }.culprit(), Culprit::Untrusted);
}

#[test]
fn rules_and_the_roster_row_are_asked_before_any_signature() {
    let mut forged = ledger(1);
    forged.entries[0].signature.0[5] ^= 1;
    let genesis = forged.start.genesis;
    let check_for = |genesis, row| CheckedLedger::check_for(&forged, genesis, &row).unwrap_err();
    assert_eq!(check_for(genesis, row(1)), LedgerError::BadSignature { index: 1 });
    let other = Digest32([0x22; 32]);
    assert_eq!(check_for(other, row(1)), LedgerError::ForeignGenesis { expected: other, found: genesis });
    let foreign = LedgerError::ForeignKey { expected: row(2).node_key, found: row(1).node_key };
    assert_eq!(check_for(genesis, row(2)), foreign);
    assert_eq!(CheckedLedger::check_for(&ledger(1), genesis, &row(1)), Ok(checked(&ledger(1))));

    // The last interval breaks a rule, the first has no signature: the rule is what is told.
    forged.entries[3].public.boot_id = [8; 16];
    assert_eq!(CheckedLedger::check(&forged), Err(LedgerError::BootChanged { index: 4 }));
}

#[test]
fn keys_that_bind_nobody_are_refused() {
    use ring::signature::{ED25519, UnparsedPublicKey};
    let mut identity = [0u8; 32];
    identity[0] = 1;
    // The identity point with the scalar 0 "signs" whatever you like; this is why such keys are refused by name.
    let mut forged = [0u8; 64];
    forged[0] = 1;
    assert!(UnparsedPublicKey::new(&ED25519, identity).verify(b"anything", &forged).is_ok());

    let order_8 = |text: [u8; 4], last: u8| {
        let known = [
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ];
        let bytes = known
            .map(|hex| std::array::from_fn::<u8, 32, _>(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()));
        let mut key = bytes.into_iter().find(|bytes| bytes.starts_with(&text)).unwrap();
        key[31] = last;
        key
    };
    let high = |low: u8, last: u8| {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (low, last);
        key
    };
    let mut negative_identity = identity;
    negative_identity[31] = 0x80;
    let weak = [
        identity,
        negative_identity,
        [0; 32],
        high(0xec, 0x7f),
        high(0xec, 0xff),
        high(0xed, 0x7f),
        high(0xff, 0xff),
        order_8([0xc7, 0x17, 0x6a, 0x70], 0x7a),
        order_8([0xc7, 0x17, 0x6a, 0x70], 0xfa),
        order_8([0x26, 0xe8, 0x95, 0x8f], 0x05),
        order_8([0x26, 0xe8, 0x95, 0x8f], 0x85),
    ];
    for key in weak.map(NodeKey) {
        let mut ledger = ledger(1);
        ledger.start.node_key = key;
        assert_eq!(CheckedLedger::check(&ledger), Err(LedgerError::BadKey { node_key: key }));
        let mut chain = Chain::new(ledger.start);
        assert_eq!(chain.append(ledger.entries.swap_remove(0)), Err(LedgerError::BadKey { node_key: key }));
    }
}

#[test]
fn a_chain_belongs_to_one_roster_row() {
    let checked = checked(&ledger(1));
    let genesis = Digest32([0x11; 32]);
    let other = Digest32([0x22; 32]);
    assert_eq!(checked.check_row(genesis, &row(1)), Ok(()));
    let foreign = LedgerError::ForeignGenesis { expected: other, found: genesis };
    assert_eq!(checked.check_row(other, &row(1)), Err(foreign));
    let foreign = LedgerError::ForeignKey { expected: row(2).node_key, found: row(1).node_key };
    assert_eq!(checked.check_row(genesis, &row(2)), Err(foreign));
    let mut other_cpu = row(1);
    other_cpu.cpu = device(8);
    let (expected, found) = (device_set_digest(&other_cpu.device_set()), start(1).device_set);
    assert_eq!(checked.check_row(genesis, &other_cpu), Err(LedgerError::ForeignDeviceSet { expected, found }));
}

#[test]
fn intervals_name_the_accelerators_of_the_row_and_no_others() {
    // The start commits to the row's set, the intervals account for one accelerator less.
    let mut facts = four();
    facts.iter_mut().for_each(|public| public.devices.truncate(1));
    let checked = checked(&signed(1, start(1), facts));
    assert_eq!(checked.check_row(start(1).genesis, &row(1)), Err(LedgerError::ForeignDevices { index: 1 }));
}

#[test]
fn two_chains_that_continue_one_head_are_a_fork() {
    let head = checked(&ledger(1)).head(4);
    let continuing = |seed, predecessor| {
        let start = ChainStart { predecessor, ..start(seed) };
        checked(&signed(seed, start, four()))
    };
    let (first, second, third) = (continuing(2, head), continuing(3, head), continuing(4, None));
    let (root, other) = (checked(&ledger(1)), continuing(5, None));
    assert_eq!(check_forks(&[]), Ok(()));
    assert_eq!(check_forks(&[&root, &first, &third, &other]), Ok(()));
    let fork = LedgerError::Fork { head: head.unwrap(), first: start(2).node_key, second: start(3).node_key };
    assert_eq!(check_forks(&[&root, &first, &third, &second]), Err(fork));

    let mut facts = four();
    facts[3].presence = Presence::default();
    let twin = checked(&signed(1, start(1), facts));
    let shorter = checked(&signed(1, start(1), four()[..2].to_vec()));
    let twice = Err(LedgerError::TwoLedgers { node_key: start(1).node_key });
    for again in [&twin, &shorter, &root] {
        assert_eq!(check_forks(&[&root, &third, again]), twice);
    }
}

#[test]
fn a_chain_after_a_reboot_cites_the_last_quoted_head() {
    let previous = checked(&ledger(1));
    let later = |seed, start: ChainStart, shift: i64| {
        let mut facts = four();
        for public in &mut facts {
            public.boot_id = [8; 16];
            public.start_wall.0 = public.start_wall.0.checked_add_signed(shift).unwrap();
            public.end_wall.0 = public.end_wall.0.checked_add_signed(shift).unwrap();
        }
        checked(&signed(seed, start, facts))
    };
    let citing = |index: u64| ChainStart { predecessor: previous.head(index), ..start(2) };
    let hour = 3_600_000;
    let next = later(2, citing(3), hour);
    assert_eq!(check_succession(&next, &previous, &[1, 3, 2]), Ok(()));

    let lost = |cited, quoted| Err(LedgerError::LostPredecessor { cited, quoted });
    // An earlier or unquoted head, no head, a head that no evidence covers, a quote of what was never in the chain.
    assert_eq!(check_succession(&next, &previous, &[1, 4]), lost(previous.head(3), previous.head(4)));
    assert_eq!(check_succession(&next, &previous, &[2]), lost(previous.head(3), previous.head(2)));
    assert_eq!(check_succession(&later(2, start(2), hour), &previous, &[3]), lost(None, previous.head(3)));
    assert_eq!(check_succession(&next, &previous, &[]), lost(previous.head(3), None));
    assert_eq!(check_succession(&later(2, start(2), hour), &previous, &[]), lost(None, None));
    assert_eq!(check_succession(&next, &previous, &[9]), lost(previous.head(3), None));

    let foreign_run = ChainStart { genesis: Digest32([0x22; 32]), ..citing(3) };
    let (expected, found) = (start(1).genesis, foreign_run.genesis);
    let foreign = Err(LedgerError::ForeignGenesis { expected, found });
    assert_eq!(check_succession(&later(2, foreign_run, hour), &previous, &[3]), foreign);
    let foreign_set = ChainStart { device_set: Digest32([0x33; 32]), ..citing(3) };
    let (expected, found) = (start(1).device_set, foreign_set.device_set);
    let foreign = Err(LedgerError::ForeignDeviceSet { expected, found });
    assert_eq!(check_succession(&later(2, foreign_set, hour), &previous, &[3]), foreign);
    let same_key = ChainStart { node_key: start(1).node_key, ..citing(3) };
    let twice = Err(LedgerError::TwoLedgers { node_key: start(1).node_key });
    assert_eq!(check_succession(&later(1, same_key, hour), &previous, &[3]), twice);

    let ended = START_WALL + 3 * STEP;
    let back = LedgerError::WallBack { index: 1, previous: UnixMillis(ended), found: UnixMillis(ended - 1) };
    assert_eq!(check_succession(&later(2, citing(3), 3 * 60_000 - 1), &previous, &[3]), Err(back));
    assert_eq!(check_succession(&later(2, citing(3), 3 * 60_000), &previous, &[3]), Ok(()));
}

#[test]
fn nothing_is_sealed_that_no_reader_would_accept() {
    let chain = Chain::new(start(1));
    let mut public = public(1);
    public.checkpoints = vec![CheckpointCommitment {
        attempt: 0,
        step: 1,
        fast_root: Digest32::default(),
        algebraic_root: PoseidonDigest::default(),
        files: vec![FileDigest { name: "x".repeat(70_000), bytes: 1, sha256: Digest32::default() }],
    }];
    let error = chain.seal(public, meter(1)).unwrap_err();
    assert_eq!(error, LedgerError::Encoding(CodecError::TooLong { what: "field", found: 70_000, cap: 65_536 }));
    assert_eq!(error.culprit(), Culprit::Malformed);
}

#[test]
fn a_full_chain_takes_no_more() {
    let cap = MAX_LEDGER_ENTRIES as u64;
    let mut tip = Tip::start(&start(1));
    tip.index = cap - 1;
    assert_eq!(tip.next(&public(cap), meter(1)).unwrap().index, cap);
    tip.index = cap;
    assert_eq!(tip.next(&public(cap + 1), meter(1)), Err(LedgerError::Full));
}

#[test]
fn salts_differ_by_secret_and_by_interval() {
    let salt = reading_salt(b"secret", 1);
    assert_eq!(salt, reading_salt(b"secret", 1));
    assert_ne!(salt, reading_salt(b"secret", 2));
    assert_ne!(salt, reading_salt(b"secreu", 1));
}

#[test]
fn a_checked_ledger_survives_its_encoding() {
    let ledger = ledger(1);
    let again = NodeLedger::from_bytes(&ledger.to_bytes()).unwrap();
    assert_eq!(checked(&again), checked(&ledger));
}
