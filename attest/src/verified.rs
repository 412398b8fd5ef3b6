//! **Duty.** What was checked, as types: private fields, one constructor each, nothing deserialisable. Whoever holds a
//! value of these types holds the proof that the checks were made. **Spec.** HOUSE §3, PROTOCOL §3 (Binding).

use weighbridge_attest_types::{Binding, BoundValue, PlatformClaims, UnixMillis, sha256};

use crate::error::{EvidenceError, Failure};
use crate::nvidia::{NvidiaTopology, compare_nvidia_topology as compare};

/// Vendor-signed at `now`, under a named anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    claims: T,
}

/// Verified, and about the value that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound<T> {
    claims: T,
}

/// A CPU quote and every accelerator report that it covers: all bound to one node key and ledger head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSet {
    binding: Binding,
    cpu: PlatformClaims,
    devices: Vec<PlatformClaims>,
}

impl<T> Verified<T> {
    /// The one constructor. A scheme calls it in one place, after its last check; the law counts the calls.
    pub(crate) const fn assertion(claims: T) -> Self {
        Self { claims }
    }

    /// What the evidence says.
    pub const fn claims(&self) -> &T {
        &self.claims
    }
}

impl Verified<PlatformClaims> {
    /// Demands that the evidence is about `expected`. Compared after all signatures (EVIDENCE §0 rule 7). Zeros are what
    /// evidence carries that nobody asked anything: they bind nothing, so they are refused even where they are equal.
    ///
    /// # Errors
    /// [`EvidenceError::Unbound`]: about another value, a value of another kind, or no question at all.
    pub fn bind(self, expected: &BoundValue) -> Result<Bound<PlatformClaims>, EvidenceError> {
        let (code, what) = match expected {
            BoundValue::ReportData(_) | BoundValue::Nothing => ("report-data-differs", "report_data"),
            BoundValue::Nonce(_) | BoundValue::ExtraData(_) => ("nonce-differs", "nonce"),
        };
        let unbound = |message: String| Err(EvidenceError::Unbound(Failure::new(code, message).into()));
        if is_blank(expected) {
            return unbound(format!("{what}: zeros answer no question; ask for a value that did not exist before"));
        }
        if answers(&self.claims.bound_value, expected) {
            return Ok(Bound { claims: self.claims });
        }
        let (found, wanted) = (shown(&self.claims.bound_value), shown(expected));
        unbound(format!("{what}: the evidence answers {found}, expected was {wanted}"))
    }
}

/// Whether what was found answers what was asked. A TPM quote carries a nonce as it is, and of 64 bytes of `report_data`
/// their SHA-256 (PROTOCOL §3, carriers).
fn answers(found: &BoundValue, expected: &BoundValue) -> bool {
    match (found, expected) {
        (BoundValue::Nothing, _) | (_, BoundValue::Nothing) => false,
        (BoundValue::ExtraData(found), BoundValue::ReportData(expected)) => found == &sha256(expected).0,
        (BoundValue::ExtraData(found), BoundValue::Nonce(expected)) => found == expected,
        (found, expected) => found == expected,
    }
}

impl<T> Bound<T> {
    /// What the evidence says.
    pub const fn claims(&self) -> &T {
        &self.claims
    }
}

impl BoundSet {
    /// The one constructor: [`crate::verify_set`] calls it after its last check.
    pub(crate) fn assertion(binding: Binding, cpu: Bound<PlatformClaims>, devices: Vec<Bound<PlatformClaims>>) -> Self {
        let devices = devices.into_iter().map(|device| device.claims).collect();
        Self { binding, cpu: cpu.claims, devices }
    }

    /// The CPU TEE that leads.
    #[must_use]
    pub const fn cpu(&self) -> &PlatformClaims {
        &self.cpu
    }

    /// The accelerators, in the order of the set: ascending by device.
    #[must_use]
    pub fn devices(&self) -> &[PlatformClaims] {
        &self.devices
    }

    /// What all of it is about.
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Whether its GPUs and switches name each other: see [`crate::nvidia_topology`].
    ///
    /// # Errors
    /// [`EvidenceError::Untrusted`] with every difference.
    pub fn nvidia_topology(&self) -> Result<NvidiaTopology, EvidenceError> {
        compare(self.devices.iter())
    }

    /// Earliest end of everything that was used for any member.
    #[must_use]
    pub fn valid_until(&self) -> UnixMillis {
        let ends = self.devices.iter().map(|device| device.valid_until);
        ends.fold(self.cpu.valid_until, UnixMillis::min)
    }
}

fn bytes_of(value: &BoundValue) -> &[u8] {
    match value {
        BoundValue::ReportData(bytes) => bytes,
        BoundValue::Nonce(bytes) => bytes,
        BoundValue::ExtraData(bytes) => bytes,
        BoundValue::Nothing => &[],
    }
}

fn is_blank(value: &BoundValue) -> bool {
    bytes_of(value).iter().all(|byte| *byte == 0)
}

fn shown(value: &BoundValue) -> String {
    match value {
        BoundValue::Nothing => "nobody".to_owned(),
        value => hex::encode(bytes_of(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_quote_answers_a_nonce_or_the_digest_of_report_data() {
        let (report_data, nonce) = ([7; 64], [8; 32]);
        let digest = BoundValue::ExtraData(sha256(&report_data).0.to_vec());
        assert!(answers(&digest, &BoundValue::ReportData(report_data)));
        assert!(!answers(&digest, &BoundValue::ReportData([6; 64])));
        assert!(answers(&BoundValue::ExtraData(nonce.to_vec()), &BoundValue::Nonce(nonce)));
        for wrong in [&nonce[..31], &[&nonce[..], &[0]].concat(), &[], &[9; 32]] {
            assert!(!answers(&BoundValue::ExtraData(wrong.to_vec()), &BoundValue::Nonce(nonce)));
        }
        // No other carrier answers by a digest, and what answers nobody answers nothing.
        assert!(!answers(&BoundValue::Nonce(sha256(&report_data).0), &BoundValue::ReportData(report_data)));
        for expected in [BoundValue::ReportData(report_data), BoundValue::Nonce(nonce), BoundValue::Nothing] {
            assert!(!answers(&BoundValue::Nothing, &expected));
            assert!(!answers(&expected, &BoundValue::Nothing));
        }
        assert!(is_blank(&BoundValue::Nothing) && is_blank(&BoundValue::ExtraData(vec![0; 9])));
    }
}
