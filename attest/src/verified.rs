//! **Duty.** What was checked, as types: private fields, one constructor each, nothing deserialisable. Whoever holds a
//! value of these types holds the proof that the checks were made. **Spec.** HOUSE §3, PROTOCOL §3 (Binding).

use weighbridge_attest_types::{Binding, BoundValue, PlatformClaims, UnixMillis};

use crate::error::{EvidenceError, Failure};
use crate::nvidia::{NvidiaTopology, compare_topology as compare};

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
            BoundValue::ReportData(_) => ("report-data-differs", "report_data"),
            BoundValue::Nonce(_) => ("nonce-differs", "nonce"),
        };
        if is_blank(expected) {
            let message = format!("{what}: zeros answer no question; ask for a value that did not exist before");
            return Err(EvidenceError::Unbound(Failure::new(code, message).into()));
        }
        if self.claims.bound_value == *expected {
            return Ok(Bound { claims: self.claims });
        }
        let (found, wanted) = (hex_of(&self.claims.bound_value), hex_of(expected));
        let message = format!("{what}: the evidence answers {found}, expected was {wanted}");
        Err(EvidenceError::Unbound(Failure::new(code, message).into()))
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

fn is_blank(value: &BoundValue) -> bool {
    match value {
        BoundValue::ReportData(bytes) => bytes.iter().all(|byte| *byte == 0),
        BoundValue::Nonce(bytes) => bytes.iter().all(|byte| *byte == 0),
    }
}

fn hex_of(value: &BoundValue) -> String {
    match value {
        BoundValue::ReportData(bytes) => hex::encode(bytes),
        BoundValue::Nonce(bytes) => hex::encode(bytes),
    }
}
