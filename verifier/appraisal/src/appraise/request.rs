//! **Duty.** What an appraisal is asked: evidence, what it should answer, which devices it should come from, and what it is
//! judged with. **Does not know** how any of it was read.

use std::collections::BTreeSet;

use weighbridge_attest::Endorsements;
use weighbridge_attest_types::{
    AppraisalPolicy, BoundValue, Culprit, Device, EvidenceKind, RosterRow, TrustAnchors, UnixMillis,
};

use super::{DeviceAppraisal, DeviceFinding};
use crate::text;

/// Most pieces of evidence in one appraisal. Source: devices that an evidence set of one node may hold.
pub const MAX_EVIDENCE: usize = 64;

/// One piece of evidence as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidencePiece {
    /// Where it came from, in the caller's words.
    pub source: String,
    /// The quote or report.
    pub body: Vec<u8>,
}

/// What evidence is judged with.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// Vendors' statements, parsed.
    pub endorsements: &'a Endorsements,
    /// Whom the Verifier trusts.
    pub anchors: &'a TrustAnchors,
    /// What it likes.
    pub policy: &'a AppraisalPolicy,
    /// The instant.
    pub at: UnixMillis,
}

/// What the evidence must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// 64 bytes.
    ReportData([u8; 64]),
    /// 32 bytes.
    Nonce([u8; 32]),
}

impl Asked {
    pub(super) const fn value(self) -> BoundValue {
        match self {
            Self::ReportData(bytes) => BoundValue::ReportData(bytes),
            Self::Nonce(bytes) => BoundValue::Nonce(bytes),
        }
    }

    /// Whether evidence that carries `found` can answer such a question at all. A TPM quote answers both, each in its way;
    /// what answers nobody could have been asked either.
    pub(super) fn fits(self, found: &BoundValue) -> bool {
        match (self, found) {
            (_, BoundValue::ExtraData(_) | BoundValue::Nothing) => true,
            (Self::ReportData(_), BoundValue::ReportData(_)) | (Self::Nonce(_), BoundValue::Nonce(_)) => true,
            (Self::ReportData(_), BoundValue::Nonce(_)) | (Self::Nonce(_), BoundValue::ReportData(_)) => false,
        }
    }

    /// How a person asks for it.
    pub(super) const fn flag(self) -> &'static str {
        match self {
            Self::ReportData(_) => "--report-data",
            Self::Nonce(_) => "--nonce",
        }
    }
}

/// The devices that must have answered, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roster {
    /// Named one by one. The CPU platform that leads accelerators may be among them and need not be.
    Devices(Vec<Device>),
    /// A node of a run.
    Row(RosterRow),
}

impl Roster {
    /// Compares with what the certificates say. Devices whose evidence does not hold are missing.
    pub(super) fn finding(&self, devices: &[DeviceAppraisal]) -> DeviceFinding {
        let claims = || devices.iter().filter_map(|device| device.claims());
        let leads = |claims: &&_| !is_accelerator(claims);
        let accelerators: BTreeSet<(Device, &EvidenceKind)> = claims()
            .filter(|claims| is_accelerator(claims))
            .filter_map(|claims| Some((claims.device?, &claims.kind)))
            .collect();
        let platforms: BTreeSet<Device> = claims().filter(leads).filter_map(|claims| claims.device).collect();
        let mut wrong = Vec::new();
        let mut found: BTreeSet<Device> = accelerators.iter().map(|(device, _)| *device).collect();
        let wanted: BTreeSet<Device> = match self {
            // Where there is nothing but CPU platforms, they are what was named.
            Self::Devices(named) if found.is_empty() => {
                found.clone_from(&platforms);
                named.iter().copied().collect()
            }
            Self::Devices(named) => named.iter().copied().filter(|device| !platforms.contains(device)).collect(),
            Self::Row(row) => {
                wrong.extend(row_differences(row, &accelerators, &platforms));
                row.devices.iter().map(|device| device.device).collect()
            }
        };
        let said = |devices: &mut dyn Iterator<Item = &Device>, what: &str| -> Vec<String> {
            devices.map(|device| format!("{} {what}", text::short(*device))).collect()
        };
        wrong.extend(said(&mut wanted.difference(&found), "did not answer"));
        wrong.extend(said(&mut found.difference(&wanted), "is not in the roster"));
        let unnamed = devices.len().saturating_sub(claims().filter(|claims| claims.device.is_some()).count());
        match (wrong.is_empty(), unnamed) {
            (false, _) => DeviceFinding::fail("devices-roster", Culprit::Untrusted, text::list(wrong)),
            (true, 0) => {
                DeviceFinding::pass("devices-roster", format!("exactly the {} devices of the roster", found.len()))
            }
            (true, _) => {
                DeviceFinding::not_checked("devices-roster", format!("{unnamed} devices have no identity to compare"))
            }
        }
    }
}

/// Only accelerators have a chip family.
fn is_accelerator(claims: &weighbridge_attest_types::PlatformClaims) -> bool {
    claims.chip_family.is_some()
}

/// What a row says beyond which accelerators there are.
fn row_differences(
    row: &RosterRow,
    accelerators: &BTreeSet<(Device, &EvidenceKind)>,
    platforms: &BTreeSet<Device>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for device in &row.devices {
        let other = accelerators.iter().find(|(found, kind)| *found == device.device && **kind != device.kind);
        wrong.extend(other.map(|(found, kind)| format!("{} is {kind}, not {}", text::short(*found), device.kind)));
    }
    let foreign = platforms.iter().filter(|platform| **platform != row.cpu);
    wrong.extend(foreign.map(|platform| {
        format!("CPU platform {} answered, the row has {}", text::short(*platform), text::short(row.cpu))
    }));
    wrong
}
