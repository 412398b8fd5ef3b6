//! **Duty.** What sets GPUs and switches apart: numbers, names in certificates, codes of refusals. Everything else about
//! NVIDIA's reports is written once. **Spec.** EVIDENCE §1.1–1.4.

use weighbridge_attest_types::EvidenceKind;

/// The two kinds of NVIDIA evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// GPUs: Hopper and Blackwell.
    Gpu,
    /// NVSwitch LS10.
    Switch,
}

/// Codes of refusals: a person sees at once which kind of device is meant.
pub(super) struct Codes {
    pub(super) report: &'static str,
    pub(super) chain_size: &'static str,
    pub(super) chain_length: &'static str,
    pub(super) chain_names: &'static str,
    pub(super) family_unknown: &'static str,
    pub(super) pdi: &'static str,
    pub(super) signature: &'static str,
    pub(super) fwid: &'static str,
    pub(super) fwid_differs: &'static str,
    pub(super) fwid_unknown: &'static str,
    pub(super) rim: &'static str,
    pub(super) ocsp: &'static str,
}

const GPU_CODES: Codes = Codes {
    report: "gpu-report",
    chain_size: "gpu-chain-size",
    chain_length: "gpu-chain-length",
    chain_names: "gpu-chain-names",
    family_unknown: "gpu-family-unknown",
    pdi: "gpu-pdi",
    signature: "gpu-signature",
    fwid: "gpu-fwid",
    fwid_differs: "gpu-fwid-differs",
    fwid_unknown: "gpu-fwid-unknown",
    rim: "gpu-rim",
    ocsp: "gpu-ocsp",
};

const SWITCH_CODES: Codes = Codes {
    report: "switch-report",
    chain_size: "switch-chain-size",
    chain_length: "switch-chain-length",
    chain_names: "switch-chain-names",
    family_unknown: "switch-family-unknown",
    pdi: "switch-pdi",
    signature: "switch-signature",
    fwid: "switch-fwid",
    fwid_differs: "switch-fwid-differs",
    fwid_unknown: "switch-fwid-unknown",
    rim: "switch-rim",
    ocsp: "switch-ocsp",
};

/// A chip family: how certificates spell it, how manifests do, and which identity authority vouches for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) in_certificates: &'static str,
    pub(super) in_manifests: &'static str,
    /// The family in the identity authority's name: LS10 stands below Hopper's.
    pub(super) identity: &'static str,
}

const GPU_FAMILIES: &[Family] = &[
    Family { in_certificates: "GH100", in_manifests: "GH100", identity: "GH100" },
    Family { in_certificates: "GB100", in_manifests: "GB100", identity: "GB100" },
];
const SWITCH_FAMILIES: &[Family] = &[Family { in_certificates: "LS_10", in_manifests: "LS10", identity: "GH100" }];

impl Part {
    /// Name of the evidence format.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Gpu => EvidenceKind::NVIDIA_GPU,
            Self::Switch => EvidenceKind::NVIDIA_NVSWITCH,
        }
    }

    /// How a person calls it.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Gpu => "GPU",
            Self::Switch => "switch",
        }
    }

    /// Measurement blocks of a report.
    pub(super) const fn blocks(self) -> u8 {
        match self {
            Self::Gpu => 64,
            Self::Switch => 31,
        }
    }

    /// The processor that signs, in the names of the two lowest certificates.
    pub(super) const fn processor(self) -> &'static str {
        match self {
            Self::Gpu => "GSP",
            Self::Switch => "FSP",
        }
    }

    /// What stands before the PDI in the BROM certificate's serialNumber.
    pub(super) const fn pdi_prefix(self) -> &'static str {
        match self {
            Self::Gpu => "41",
            Self::Switch => "50",
        }
    }

    /// Chips whose reports are understood.
    pub(super) const fn families(self) -> &'static [Family] {
        match self {
            Self::Gpu => GPU_FAMILIES,
            Self::Switch => SWITCH_FAMILIES,
        }
    }

    /// Codes of refusals.
    pub(super) const fn codes(self) -> &'static Codes {
        match self {
            Self::Gpu => &GPU_CODES,
            Self::Switch => &SWITCH_CODES,
        }
    }
}
