//! **Duty.** What an SEV-SNP report says beyond the claims that all TEEs share, and the rules a policy can have about it.
//! **Does not know** bytes of a report, keys or certificates. **Spec.** EVIDENCE §3.1–3.3.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Requirement;
use crate::digest::{as_hex, as_optional_hex};

/// A product line, named by the certificate chain. Bergamo and Siena stand under Genoa.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SnpProduct {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, 97x4 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl SnpProduct {
    /// All, in order of appearance.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// AMD's word, as it stands in certificate names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }
}

/// Which key signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnpSigner {
    /// Derived from the chip's own secret.
    Vcek,
    /// Loaded by a cloud provider, who vouches for its chips as a whole.
    Vlek,
}

/// Security versions of the firmware parts. Ordered part by part: one part higher and another lower is neither more nor
/// less, so [`Requirement::AtLeast`] wants every part at its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpTcb {
    /// First mutable code: Turin only.
    pub fmc: Option<u8>,
    /// Boot loader.
    pub bootloader: u8,
    /// Operating system of the secure processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Lowest microcode of all cores.
    pub microcode: u8,
}

impl PartialOrd for SnpTcb {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.fmc.is_some() != other.fmc.is_some() {
            return None;
        }
        let parts = |tcb: &Self| [tcb.fmc.unwrap_or(0), tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode];
        let (ours, theirs) = (parts(self), parts(other));
        let least = ours.iter().zip(&theirs).all(|(our, their)| our <= their);
        let most = ours.iter().zip(&theirs).all(|(our, their)| our >= their);
        match (least, most) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }
}

/// The four TCBs of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SnpTcbs {
    /// Running now.
    pub current: SnpTcb,
    /// Below which firmware cannot be rolled back.
    pub committed: SnpTcb,
    /// That the signing key was derived for.
    pub reported: SnpTcb,
    /// Running when the guest was launched.
    pub launch: SnpTcb,
}

/// What the launcher allowed this guest. Ordered by inclusion: more means that every bit of the other is set too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnpGuestPolicy(pub u64);

impl SnpGuestPolicy {
    const MUST_BE_ONE: u64 = 1 << 17;
    const MIGRATION_AGENT: u64 = 1 << 18;
    const DEBUG: u64 = 1 << 19;
    /// Bits 26 and above have no meaning yet.
    const KNOWN: u64 = (1 << 26) - 1;

    /// A migration agent may be attached.
    #[must_use]
    pub const fn migration_agent(self) -> bool {
        self.0 & Self::MIGRATION_AGENT != 0
    }

    /// The host may read and write guest memory.
    #[must_use]
    pub const fn debug(self) -> bool {
        self.0 & Self::DEBUG != 0
    }

    /// Bits whose meaning nobody here knows, with bit 17 if it is not set as it must be.
    #[must_use]
    pub const fn unknown(self) -> u64 {
        (self.0 & !Self::KNOWN) | (!self.0 & Self::MUST_BE_ONE)
    }
}

impl PartialOrd for SnpGuestPolicy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.0 & other.0 == self.0, self.0 & other.0 == other.0) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }
}

/// Claims of one report. A plain value; the scheme vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnpClaims {
    /// From the certificate chain.
    pub product: SnpProduct,
    /// Kind of the signing key.
    pub signer: SnpSigner,
    /// The cloud provider that a VLEK is for.
    pub csp_id: Option<String>,
    /// Version of the report.
    pub version: u32,
    /// Version of the guest, as its launcher numbers it.
    pub guest_svn: u32,
    /// Chosen by the launcher.
    #[serde(serialize_with = "as_hex")]
    pub family_id: [u8; 16],
    /// Chosen by the launcher.
    #[serde(serialize_with = "as_hex")]
    pub image_id: [u8; 16],
    /// Privilege level that asked for the report: 0 is the highest, 3 the lowest.
    pub vmpl: u32,
    /// Guest policy.
    pub policy: SnpGuestPolicy,
    /// Bits about the platform; some have no published meaning.
    pub platform_info: u64,
    /// TCBs.
    pub tcb: SnpTcbs,
    /// Data that the host gave at launch.
    #[serde(serialize_with = "as_hex")]
    pub host_data: [u8; 32],
    /// SHA-384 of the key that signed the guest's identity; zero without one.
    #[serde(serialize_with = "as_hex")]
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the key that certified the former, if it was given.
    #[serde(serialize_with = "as_optional_hex")]
    pub author_key_digest: Option<[u8; 48]>,
    /// Mitigations at launch and now (version 5).
    pub mitigations: Option<[u64; 2]>,
}

/// Privilege level of a guest, as policy compares it: the lowest number has the most privilege, so that more of it is not
/// better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vmpl(pub u32);

impl fmt::Debug for Vmpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// TCB rules of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpTcbRules {
    /// Of the TCB that the signing key was derived for.
    pub reported: Requirement<SnpTcb>,
    /// Of the floor against rolling back.
    pub committed: Requirement<SnpTcb>,
    /// Of the TCB at launch.
    pub launch: Requirement<SnpTcb>,
}

/// Rules about SEV-SNP guests beyond debugging, migration and measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpRules {
    /// TCB of Milan.
    pub milan: SnpTcbRules,
    /// TCB of Genoa, Bergamo and Siena.
    pub genoa: SnpTcbRules,
    /// TCB of Turin.
    pub turin: SnpTcbRules,
    /// Privilege level that asked for the report.
    pub vmpl: Requirement<Vmpl>,
    /// Guest policy bits.
    pub guest_policy: Requirement<SnpGuestPolicy>,
    /// Host data, hex.
    pub host_data: Requirement<String>,
    /// Identity key digest, hex.
    pub id_key_digest: Requirement<String>,
    /// Author key digest, hex.
    pub author_key_digest: Requirement<String>,
}

impl SnpRules {
    /// Everything waived for one reason.
    #[must_use]
    pub fn waived(reason: &str) -> Self {
        fn waived<T>(reason: &str) -> Requirement<T> {
            Requirement::Waived { reason: reason.to_owned() }
        }
        let tcb = || SnpTcbRules { reported: waived(reason), committed: waived(reason), launch: waived(reason) };
        Self {
            milan: tcb(),
            genoa: tcb(),
            turin: tcb(),
            vmpl: waived(reason),
            guest_policy: waived(reason),
            host_data: waived(reason),
            id_key_digest: waived(reason),
            author_key_digest: waived(reason),
        }
    }

    /// The TCB rules of a product.
    #[must_use]
    pub const fn tcb(&self, product: SnpProduct) -> &SnpTcbRules {
        match product {
            SnpProduct::Milan => &self.milan,
            SnpProduct::Genoa => &self.genoa,
            SnpProduct::Turin => &self.turin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCB: SnpTcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };

    #[test]
    fn a_minimum_holds_for_every_part() {
        let least = Requirement::AtLeast(TCB);
        assert!(least.is_met_by(Some(&TCB)));
        assert!(least.is_met_by(Some(&SnpTcb { microcode: 255, ..TCB })));
        let swapped = SnpTcb { bootloader: 9, microcode: 218, ..TCB };
        assert_eq!(swapped.partial_cmp(&TCB), None);
        for low in [
            swapped,
            SnpTcb { bootloader: 3, ..TCB },
            SnpTcb { snp: 23, microcode: 255, ..TCB },
            SnpTcb { fmc: Some(9), ..TCB },
        ] {
            assert!(!least.is_met_by(Some(&low)), "{low:?}");
        }
        assert!(!Requirement::AtLeast(SnpTcb { fmc: Some(0), ..TCB }).is_met_by(Some(&TCB)));
        assert!(!least.is_met_by(None));
    }

    #[test]
    fn policy_bits_are_compared_by_inclusion() {
        let policy = SnpGuestPolicy(0x3_001f);
        assert!(Requirement::AtLeast(SnpGuestPolicy(0x2_0000)).is_met_by(Some(&policy)));
        // A greater number without the wanted bit is not more.
        assert!(!Requirement::AtLeast(SnpGuestPolicy(0x2_0000)).is_met_by(Some(&SnpGuestPolicy(0x10_0000))));
        assert_eq!((policy.debug(), policy.migration_agent(), policy.unknown()), (false, false, 0));
        assert!(SnpGuestPolicy(0xb_0000).debug() && SnpGuestPolicy(0x7_0000).migration_agent());
        assert_eq!(SnpGuestPolicy(1 << 26).unknown(), (1 << 26) | (1 << 17));
    }
}
