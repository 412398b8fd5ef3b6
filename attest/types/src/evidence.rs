//! **Duty.** Evidence in transit: bounded bytes under a media-type-like kind. **Does not know** what any kind means.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, CodecError, Decoder, Encoder, framed};
use crate::{Binding, Device};

/// Devices of one node that a set may hold. HGX boards hold 8 GPUs and 4 switches; 64 leaves room.
const MAX_DEVICES: usize = 64;
/// Certificates of one chain (EVIDENCE §0 rule 5).
const MAX_CERTIFICATES: usize = 10;

/// Names one evidence format, as `appraise --kind` spells it. A newtype, not an enum: this floor need not know every TEE.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvidenceKind(String);

impl EvidenceKind {
    /// Intel TDX quotes.
    pub const TDX: &'static str = "tdx";
    /// AMD SEV-SNP reports.
    pub const SEV_SNP: &'static str = "sev-snp";
    /// NVIDIA GPU attestation reports.
    pub const NVIDIA_GPU: &'static str = "nvidia-gpu";

    /// Wraps a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Canonical for EvidenceKind {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.0);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.take()?))
    }
}

/// One piece of CPU evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceEnvelope {
    /// Its format.
    pub kind: EvidenceKind,
    /// The bytes as received from the platform.
    pub body: Vec<u8>,
}

/// One accelerator's report with its certificate chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvidence {
    /// Which device this claims to be; the Verifier derives it again from the certificates.
    pub device: Device,
    /// Its format.
    pub kind: EvidenceKind,
    /// The canonical report: request, response and signature, nothing after.
    pub report: Vec<u8>,
    /// DER certificates, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

/// A CPU quote with all accelerator reports that its `report_data` covers, and what they are said to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceSet {
    /// What the evidence must be about.
    pub binding: Binding,
    /// The CPU TEE leads.
    pub cpu: EvidenceEnvelope,
    /// Accelerators, ascending by device, each once.
    pub devices: Vec<DeviceEvidence>,
}

framed!(EvidenceEnvelope { kind, body });
framed!(DeviceEvidence { device, kind, report, certificates[MAX_CERTIFICATES] });
framed!(EvidenceSet { binding, cpu, devices[MAX_DEVICES] });
