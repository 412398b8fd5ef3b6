//! **Duty.** Pieces of evidence of one kind, each for itself: genuine, bound to one question, liked by the policy; then
//! all of them together. **Knows** that a chain may travel beside a report. **Does not know** which is whose before a
//! signature says so. **Spec.** EVIDENCE §0 and §1.9, PROTOCOL §8.

use weighbridge_attest::{EvidenceError, RawEvidence, Verified, canonical_slice, takes_chain, verify_with};
use weighbridge_attest_types::{Culprit, EvidenceKind, PlatformClaims, sha256};

use super::{
    Appraisal, Asked, DeviceAppraisal, DeviceBinding, DeviceFinding, EvidencePiece, Grounds, PolicyName, Roster,
    claims_findings, whole_findings,
};

/// Chains that are tried in all, beside each report's own place. Source: ours; a board has 8 GPUs and 4 switches, whose
/// files may stand in any order, and each try costs about six signatures.
const MAX_CHAIN_TRIES: usize = 512;

/// Appraises pieces of evidence of one kind: one device each. `chains` are certificate chains that came along, DER, leaf
/// first, in any order; evidence that carries its own leaves them aside.
#[must_use]
pub fn appraise_devices(
    kind: &EvidenceKind,
    pieces: &[EvidencePiece],
    chains: &[Vec<Vec<u8>>],
    asked: Option<Asked>,
    roster: Option<&Roster>,
    grounds: &Grounds<'_>,
) -> Appraisal {
    let mut pairing = Pairing { chains, used: vec![false; chains.len()], tries: MAX_CHAIN_TRIES };
    let mut devices = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        devices.push(appraise_one(kind, at, piece, &mut pairing, asked, grounds));
    }
    let whole = whole_findings(&devices, roster);
    Appraisal { at: grounds.at, policy: PolicyName::of(grounds.policy), devices, whole, binding: DeviceBinding::None }
}

fn appraise_one(
    kind: &EvidenceKind,
    at: usize,
    piece: &EvidencePiece,
    pairing: &mut Pairing<'_>,
    asked: Option<Asked>,
    grounds: &Grounds<'_>,
) -> DeviceAppraisal {
    let mut device = DeviceAppraisal {
        name: format!("{kind}-{at}"),
        source: piece.source.clone(),
        kind: kind.clone(),
        evidence: None,
        claims: None,
        findings: Vec::new(),
    };
    let verified = match canonical_slice(kind, &piece.body) {
        Ok(canonical) => {
            device.evidence = Some(sha256(canonical));
            pairing.verify(kind, at, &piece.body, grounds)
        }
        Err(error) => Err(DeviceFinding::of_refusal(&error).collect()),
    };
    match verified {
        Ok(verified) => {
            let claims = verified.claims().clone();
            let until = crate::text::instant(claims.valid_until);
            let genuine = format!("genuine under {}; what was used is valid until {until}", claims.anchor);
            device.findings.push(DeviceFinding::pass("evidence-genuine", genuine));
            device.findings.push(bound_finding(verified, asked));
            device.findings.extend(claims_findings(&claims, grounds.policy));
            device.claims = Some(claims);
        }
        Err(findings) => device.findings.extend(findings),
    }
    device
}

/// Whether the evidence answers the question that was asked. Compared after all signatures (EVIDENCE §0 rule 7).
fn bound_finding(verified: Verified<PlatformClaims>, asked: Option<Asked>) -> DeviceFinding {
    let Some(asked) = asked else {
        let message = "no --nonce and no --report-data was given: the evidence may be of any time and for anybody";
        return DeviceFinding::not_checked("evidence-bound", message);
    };
    if !asked.fits(&verified.claims().bound_value) {
        let message = format!("evidence of this kind cannot answer {}; ask with the other flag", asked.flag());
        return DeviceFinding::fail("evidence-bound", Culprit::Usage, message);
    }
    match verified.bind(&asked.value()) {
        Ok(_) => DeviceFinding::pass("evidence-bound", format!("answers the value of {}", asked.flag())),
        Err(error) => first_of(&error),
    }
}

/// What a caller asked for and did not get is rejected (PROTOCOL §6). A refusal to bind has one failure.
fn first_of(error: &EvidenceError) -> DeviceFinding {
    let fallback = || DeviceFinding::fail("evidence-bound", Culprit::Internal, "refused without a reason");
    DeviceFinding::of_refusal_by(error, Culprit::Rejected).next().unwrap_or_else(fallback)
}

/// Which chain goes with which report: the one whose leaf signed it.
struct Pairing<'a> {
    chains: &'a [Vec<Vec<u8>>],
    used: Vec<bool>,
    tries: usize,
}

impl Pairing<'_> {
    /// Verifies a report with the chain at its own place first, then with those that no report has taken, then with the
    /// rest. Where none holds, the refusal is that of its own place, or of the only chain.
    fn verify(
        &mut self,
        kind: &EvidenceKind,
        at: usize,
        body: &[u8],
        grounds: &Grounds<'_>,
    ) -> Result<Verified<PlatformClaims>, Vec<DeviceFinding>> {
        let refused = |error: EvidenceError| DeviceFinding::of_refusal(&error).collect::<Vec<_>>();
        if !takes_chain(kind) {
            return verify_one(kind, body, &[], grounds).map_err(refused);
        }
        let mut first: Option<EvidenceError> = None;
        for place in self.order(at) {
            if place != at {
                let Some(left) = self.tries.checked_sub(1) else { break };
                self.tries = left;
            }
            let certificates = self.chains.get(place).map(Vec::as_slice).unwrap_or_default();
            match verify_one(kind, body, certificates, grounds) {
                Ok(verified) => {
                    self.used.get_mut(place).into_iter().for_each(|used| *used = true);
                    return Ok(verified);
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.map_or_else(no_chain, refused))
    }

    fn order(&self, at: usize) -> Vec<usize> {
        let given = |place: usize| self.chains.get(place).is_some_and(|chain| !chain.is_empty());
        let all = || self.used.iter().enumerate().filter(move |(place, _)| *place != at && given(*place));
        let own = Some(at).filter(|place| given(*place));
        let free = all().filter(|(_, used)| !**used).map(|(place, _)| place);
        let taken = all().filter(|(_, used)| **used).map(|(place, _)| place);
        own.into_iter().chain(free).chain(taken).collect()
    }
}

fn verify_one(
    kind: &EvidenceKind,
    body: &[u8],
    certificates: &[Vec<u8>],
    grounds: &Grounds<'_>,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let raw = RawEvidence { body, certificates };
    verify_with(kind, raw, grounds.endorsements, grounds.anchors, grounds.at)
}

fn no_chain() -> Vec<DeviceFinding> {
    let message = "no certificate chain of the device was given; the driver hands it out beside the report";
    vec![DeviceFinding::fail("device-chain-missing", Culprit::Unavailable, message)]
}
