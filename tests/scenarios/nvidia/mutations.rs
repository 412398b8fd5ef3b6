//! Thousands of changed reports, chains and manifests of each kind: nothing panics, and nothing is accepted that is not
//! what was signed. `WEIGHBRIDGE_MUTATIONS=all` makes 100,000 of each kind; here 5,000 run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use weighbridge_attest::{built_in_anchors, canonical_slice, pem_certificates};
use weighbridge_tests::parsers::{Form, Mutator};
use weighbridge_tests::skipped;
use weighbridge_tests::vectors::{Case, instant};

use super::*;

const SEED: u64 = 20_261_125;

/// How many of each kind.
fn rounds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "the recipe `just mutate` asks for all of them")]
    let asked = std::env::var("WEIGHBRIDGE_MUTATIONS").ok();
    if asked.as_deref() == Some("all") { 100_000 } else { 5_000 }
}

/// Evidence that is accepted, with what it was accepted for.
struct Honest {
    kind: &'static str,
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    endorsements: Vec<Vec<u8>>,
    anchors: TrustAnchors,
    at: UnixMillis,
    claims: PlatformClaims,
}

impl Honest {
    fn captured(kind: &'static str, name: &str) -> Option<Self> {
        let case = Case::named(kind, name)?;
        let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
        let (chain, others): (Vec<_>, Vec<_>) = row.endorsements.iter().partition(|file| file.starts_with("chain"));
        Some(Self::judged(
            kind,
            case.evidence_of(row),
            pem_certificates(&case.read(chain[0])).expect("a chain"),
            others.into_iter().map(|file| case.read(file)).collect(),
            built_in_anchors(),
            instant(row.at.as_deref().expect("a time")),
        ))
    }

    fn judged(
        kind: &'static str,
        report: Vec<u8>,
        certificates: Vec<Vec<u8>>,
        endorsements: Vec<Vec<u8>>,
        anchors: TrustAnchors,
        at: UnixMillis,
    ) -> Self {
        let raw = RawEvidence { body: &report, certificates: &certificates };
        let verified = verify(&EvidenceKind::new(kind), raw, &endorsements, &anchors, at).expect("it is accepted");
        let claims = verified.claims().clone();
        Self { kind, report, certificates, endorsements, anchors, at, claims }
    }

    /// The parts that are changed, each with what it takes to put it back.
    fn parts(&self) -> impl Iterator<Item = (usize, &Vec<u8>)> {
        std::iter::once(&self.report).chain(&self.certificates).chain(&self.endorsements).enumerate()
    }

    /// The verdict with one part changed.
    fn with(&self, part: usize, changed: Vec<u8>) -> Verdict {
        let (mut certificates, mut endorsements) = (self.certificates.clone(), self.endorsements.clone());
        let mut report = self.report.clone();
        match part.checked_sub(1) {
            None => report = changed,
            Some(place) if place < certificates.len() => certificates[place] = changed,
            Some(place) => endorsements[place - certificates.len()] = changed,
        }
        let raw = RawEvidence { body: &report, certificates: &certificates };
        verify(&EvidenceKind::new(self.kind), raw, &endorsements, &self.anchors, self.at)
    }

    /// What may be accepted after a change: the same report, whose manifests either say the same or are missing. A device's
    /// identity never rests on a spelling.
    fn is_same(&self, verified: &Verified<PlatformClaims>) -> bool {
        let (ours, theirs) = (self.claims.nvidia.as_deref().unwrap(), verified.claims().nvidia.as_deref().unwrap());
        let same_values = theirs.reference_values == ours.reference_values
            || theirs.reference_values.status() == ReferenceStatus::Missing;
        let mut aligned = theirs.clone();
        aligned.reference_values = ours.reference_values.clone();
        aligned.revocation = ours.revocation.clone();
        same_values && aligned == *ours && verified.claims().device == self.claims.device
    }
}

fn gpus() -> Vec<Honest> {
    let names = ["h100-550.90.07-full", "b100-575.32", "h100-580.159.03", "h100-590.12-ppcie-single"];
    let mut all: Vec<Honest> = names.iter().filter_map(|name| Honest::captured("nvidia-gpu", name)).collect();
    let Scene { world, anchors, report, endorsements, at } = Scene::new();
    let certificates = world.gpu(0, 0).certificates().to_vec();
    all.push(Honest::judged("nvidia-gpu", report, certificates, endorsements, anchors, at));
    all
}

fn switches() -> Vec<Honest> {
    let names = ["ls10-96.10.55-single", "ls10-96.10.55-x4-multi"];
    let mut all: Vec<Honest> = names.iter().filter_map(|name| Honest::captured("nvidia-nvswitch", name)).collect();
    let world = World::new(41, NOW);
    for slot in 0..2 {
        let switch = world.switch(0, slot);
        let (report, certificates) = (switch.report_with(switch.options(), NONCE), switch.certificates().to_vec());
        let rim = world.rim_signer().rim(&world.switch_rim());
        all.push(Honest::judged("nvidia-nvswitch", report, certificates, vec![rim], anchors_of(&world), NOW));
    }
    all
}

/// Changes one part of one piece at a time; the report three times as often as any other.
fn attack(all: &[Honest]) -> (usize, usize) {
    let kind = EvidenceKind::new(all[0].kind);
    let mut sources: Vec<(&Honest, usize, Mutator)> = Vec::new();
    for honest in all {
        for (part, bytes) in honest.parts() {
            let form = if bytes.starts_with(b"<") { Form::Text } else { Form::Binary };
            // A neighbour of the same kind to splice with.
            let neighbour =
                all.iter().flat_map(Honest::parts).find(|(other, bytes)| *other == part && !bytes.is_empty());
            let starts =
                vec![bytes.clone(), bytes.clone(), neighbour.map(|(_, bytes)| bytes.clone()).unwrap_or_default()];
            for again in 0..if part == 0 { 3 } else { 1 } {
                sources.push((honest, part, Mutator::new(SEED + again, form, starts.clone())));
            }
        }
    }
    let (mut refused, mut same) = (0, 0);
    for round in 0..rounds() {
        let place = round % sources.len();
        let (honest, part, mutator) = &mut sources[place];
        let changed = mutator.damaged();
        let judged = catch_unwind(AssertUnwindSafe(|| honest.with(*part, changed.clone())));
        match judged.unwrap_or_else(|_| panic!("{kind}: part {part}, round {round} makes it panic")) {
            Err(_) => refused += 1,
            Ok(verified) => {
                let canonical = |bytes: &[u8]| canonical_slice(&kind, bytes).map(<[u8]>::to_vec);
                let report = *part != 0 || canonical(&changed) == canonical(&honest.report);
                assert!(report && honest.is_same(&verified), "{kind}: part {part}, round {round} is accepted");
                same += 1;
            }
        }
    }
    (refused, same)
}

#[test]
fn no_changed_evidence_of_a_gpu_is_accepted() {
    let all = gpus();
    if all.len() < 4 {
        skipped("captures of GPUs to change: no shared folder; the simulated one is changed alone");
    }
    println!("refused, and the same: {:?}", attack(&all));
}

#[test]
fn no_changed_evidence_of_a_switch_is_accepted() {
    let all = switches();
    if all.len() < 3 {
        skipped("captures of switches to change: no shared folder; the simulated ones are changed alone");
    }
    println!("refused, and the same: {:?}", attack(&all));
}
