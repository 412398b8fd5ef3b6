//! A node over a simulated disk that fails: the chain that was told of is the chain that goes on.

use std::path::Path;

use weighbridge_attest_types::{
    CheckpointRoots, EvidenceEnvelope, EvidenceKind, FLOP_PER_GFLOP, Flops, NodeLedger, RosterDevice, Signature64,
    SignedNonce, SpecCommitment, UnixMillis,
};
use weighbridge_ledger::CheckedLedger;

use super::*;
use crate::intervals::UnitKey;
use crate::store::disk::{Disk, Fault};

const BOOT: [u8; 16] = [1; 16];
const FRESH: NodeSecrets = NodeSecrets { seed: [7; 32], salt_secret: [8; 32] };
const FLOP: u128 = 1_750_000_001;

fn identity() -> NodeIdentity {
    let device = |byte| Device(Digest32([byte; 32]));
    let gpu = DeviceIdentity {
        device: device(2),
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        name: "simulated".to_owned(),
    };
    NodeIdentity {
        cpu: CpuIdentity { kind: EvidenceKind::new(EvidenceKind::TDX), device: device(1) },
        devices: vec![gpu],
    }
}

fn limits(state_max_bytes: u64) -> Limits {
    Limits { min_interval_millis: 1_000, max_interval_millis: 600_000, attest_every: 2, state_max_bytes }
}

fn open(disk: &Disk, cap: u64) -> Result<Node, NodeError> {
    Node::open(Store::on(disk, Path::new("/simulated"))?, identity(), limits(cap), BOOT, FRESH)
}

fn at(mono: u64) -> Now {
    Now { wall: UnixMillis(1_793_491_200_000 + mono), mono, boot_id: BOOT }
}

/// Evidence of the right form that nobody judges here.
fn set(binding: Binding) -> EvidenceSet {
    let cpu = EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::TDX), body: vec![3; 700] };
    EvidenceSet { binding, cpu, devices: Vec::new() }
}

fn begin(node: &mut Node, now: Now) {
    let digest = Digest32([9; 32]);
    let nonce =
        SignedNonce { authority: digest, issued: UnixMillis(5), nonce: digest, signature: Signature64([9; 64]) };
    let answered = ChallengeRequest::Nonce(nonce);
    node.keep_key_quote(&answered, &set(node.key_binding(answered.challenge()))).unwrap();
    let device = RosterDevice {
        device: Device(Digest32([2; 32])),
        kind: EvidenceKind::new(EvidenceKind::NVIDIA_GPU),
        sku: "x".to_owned(),
    };
    let row = RosterRow {
        node_key: node.keys.node_key(),
        key_quote: node.key_quote.unwrap(),
        cpu_kind: EvidenceKind::new(EvidenceKind::TDX),
        cpu: Device(Digest32([1; 32])),
        devices: vec![device],
    };
    let roots = CheckpointRoots { fast_root: Digest32::default(), algebraic_root: PoseidonDigest::default() };
    let manifest = RunManifest {
        provider: "Example Oy".to_owned(),
        model_id: "simulated-1".to_owned(),
        phase: "pre-training".to_owned(),
        roster: vec![row],
        spec: SpecCommitment { scheme: 1, digest: PoseidonDigest::default() },
        dataset_root: Digest32::default(),
        order_rule: "as-listed".to_owned(),
        initial_checkpoint: roots,
        interval_millis: 1_000,
        numeric_policy: "fp32".to_owned(),
        audit_policy: "none".to_owned(),
        randomness_rule: "none".to_owned(),
        profiles: vec![],
    };
    node.start_run(&manifest, now).unwrap();
}

fn unit(step: u64) -> Event {
    let key = UnitKey { attempt: 0, step, rank: 0, micro_batch: 0 };
    Event::WorkUnit { key, flop: Flops(FLOP) }
}

fn ledger(node: &Node) -> CheckedLedger {
    let start = node.store.start(1).unwrap().unwrap();
    CheckedLedger::check(&NodeLedger { start, entries: node.store.entries(1).unwrap() }).unwrap()
}

fn declared(node: &Node) -> u128 {
    let rows = node.store.witnesses(1).unwrap();
    let whole: u128 = rows.iter().map(|row| u128::from(row.reading.declared_gflop())).sum();
    whole * FLOP_PER_GFLOP + u128::from(rows.last().map_or(0, |row| row.reading.declared_rest()))
}

/// What somebody outside was told.
#[derive(Default)]
struct Told {
    units: u64,
    heads: Vec<(u64, PoseidonDigest)>,
}

impl Told {
    /// Works until the disk fails, or for fifty rounds.
    fn work(&mut self, node: &mut Node, mono: &mut u64) {
        for _ in 0..50 {
            *mono += 300;
            if node.drive(at(*mono), unit(self.units)).is_err() {
                return;
            }
            self.units += 1;
            let Ok(driven) = node.drive(at(*mono), Event::Tick) else { return };
            if let Some(binding) = driven.quote
                && node.keep_quote(at(*mono), &set(binding)).is_err()
            {
                return;
            }
            let head = node.info().head.unwrap();
            self.heads.push((head.index, head.head));
        }
    }
}

#[test]
fn a_failing_disk_neither_loses_what_was_acknowledged_nor_forks_the_chain() {
    let mut failures = 0;
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let mut node = open(&disk, u64::MAX).unwrap();
        let mut mono = 90_000;
        begin(&mut node, at(mono));
        let mut told = Told::default();
        for round in 0..4 {
            let fault = Fault::ALL[((seed + round) % 4) as usize];
            disk.break_after((seed * 31 + round * 57) % 140, fault);
            told.work(&mut node, &mut mono);
            failures += u64::from(node.has_failed());
            drop(node);
            disk.cut();
            mono += 2_000;
            node = open(&disk, u64::MAX).unwrap();
            node.drive(at(mono), Event::Restarted).unwrap();
            let chain = ledger(&node);
            for (index, head) in &told.heads {
                assert!(*index == 0 || chain.head(*index) == Some(*head), "seed {seed}: interval {index} is another");
            }
            // The reporter repeats what it has no answer for.
            node.drive(at(mono), unit(told.units)).unwrap();
            told.units += 1;
        }
        node.drive(at(mono + 1_500), Event::End).unwrap();
        assert_eq!(declared(&node), u128::from(told.units) * FLOP, "seed {seed}");
        ledger(&node);
    }
    assert!(failures > 40, "the disk failed {failures} times");
}

#[test]
fn beyond_its_cap_a_node_takes_no_work_and_goes_on_sealing() {
    let disk = Disk::new(1);
    let mut node = open(&disk, 3_000).unwrap();
    begin(&mut node, at(0));
    let mut mono = 0;
    let mut told = Told::default();
    told.work(&mut node, &mut mono);
    let refused = node.drive(at(mono), unit(told.units)).unwrap_err();
    assert_eq!((refused.code(), refused.culprit()), ("state-cap", weighbridge_attest_types::Culprit::Unavailable));
    let before = node.info().head.unwrap().index;
    node.drive(at(mono + 1_200), Event::Tick).unwrap();
    assert_eq!(node.info().head.unwrap().index, before + 1);
    assert_eq!(declared(&node), u128::from(told.units) * FLOP);
    node.set_limits(limits(u64::MAX));
    assert!(node.drive(at(mono + 1_300), unit(told.units)).unwrap().counted);
    drop(node);
    assert!(open(&disk, 3_000).unwrap().store.kept_bytes() > 3_000);
}
