//! **Duty.** What a TDX quote says beyond the claims that all TEEs share, and the rules a policy can have about it.
//! **Does not know** bytes of a quote, keys, certificates or collateral. **Spec.** EVIDENCE §2.1, §2.3–2.5, §2.7.

use serde::{Deserialize, Serialize};

use crate::digest::{as_hex, as_hex_list, as_optional_hex};
use crate::{EventLogClaims, Requirement, TcbStatus, UnixMillis};

/// What a trust domain may do and what may be done to it (TDX module ABI 348551-008US, table 3.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TdAttributes(pub u64);

impl TdAttributes {
    const DEBUG: u64 = 1;
    const PROFILING: u64 = 0b0111_0000;
    const SERVTD_EXT: u64 = 1 << 17;
    const SEPT_VE_DISABLE: u64 = 1 << 28;
    const MIGRATABLE: u64 = 1 << 29;
    /// Bits 1–3, 7–15, 23–26 and 32–61 must be zero.
    const RESERVED: u64 = 0x3fff_ffff_0780_ff8e;

    /// The host can look into the TD.
    #[must_use]
    pub const fn debug(self) -> bool {
        self.0 & Self::DEBUG != 0
    }

    /// The host can profile the TD: bits 4 to 6.
    #[must_use]
    pub const fn profiling(self) -> bool {
        self.0 & Self::PROFILING != 0
    }

    /// SERVTD_EXT: the hashes of service TDs are part of the report.
    #[must_use]
    pub const fn service_td(self) -> bool {
        self.0 & Self::SERVTD_EXT != 0
    }

    /// The host cannot make the TD's memory fault where the guest would not notice.
    #[must_use]
    pub const fn sept_ve_disable(self) -> bool {
        self.0 & Self::SEPT_VE_DISABLE != 0
    }

    /// The TD may be moved to another platform.
    #[must_use]
    pub const fn migratable(self) -> bool {
        self.0 & Self::MIGRATABLE != 0
    }

    /// Bits whose meaning nobody here knows.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & Self::RESERVED
    }
}

/// Kind of the TD report inside a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TdxBody {
    /// TDX 1.0, 584 bytes.
    Td10,
    /// TDX 1.5, 648 bytes.
    Td15,
    /// TDX 1.5 with service TDs and identity, 885 bytes.
    Td15Extended,
}

/// The TDX module that measured the TD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TdxModule {
    /// Measurement.
    #[serde(serialize_with = "as_hex")]
    pub mrseam: [u8; 48],
    /// Its signer; zero for Intel's own.
    #[serde(serialize_with = "as_hex")]
    pub mr_signer_seam: [u8; 48],
    /// Its attributes.
    #[serde(serialize_with = "as_hex")]
    pub attributes: [u8; 8],
    /// Major version at launch (`tee_tcb_svn[1]`); 0 for the first modules, which have no identity of their own.
    pub version: u8,
    /// Security version at launch (`tee_tcb_svn[0]`).
    pub svn: u8,
}

/// What the extended body adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxExtension {
    /// Index of the nested VM that asked; 0 for the TD itself.
    pub vmid: u8,
    /// Random identity of the TD.
    #[serde(serialize_with = "as_hex")]
    pub td_id: [u8; 32],
    /// Provisioning data of devices.
    #[serde(serialize_with = "as_hex")]
    pub dev_info: [u8; 48],
    /// Service TDs bound at creation.
    pub initial_service_td: TdxServiceTd,
    /// Service TDs bound now.
    pub current_service_td: TdxServiceTd,
    /// CPUSVN where the TD was created.
    #[serde(serialize_with = "as_hex")]
    pub initial_cpu_svn: [u8; 16],
    /// TCB of the module where the TD was created.
    #[serde(serialize_with = "as_hex")]
    pub initial_tee_tcb_svn: [u8; 16],
    /// FMSPC where the TD was created, as the module writes it.
    #[serde(serialize_with = "as_hex")]
    pub initial_fmspc: [u8; 12],
}

/// Bound service TDs, by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TdxServiceTd {
    /// Zero when none is bound.
    #[serde(serialize_with = "as_hex")]
    pub hash: [u8; 48],
    /// Their attributes.
    #[serde(serialize_with = "as_hex")]
    pub attributes: [u8; 8],
}

/// Where Intel's signed statements put this platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxTcb {
    /// Of the TCB that the TD was launched on, merged with module and Quoting Enclave.
    pub status: TcbStatus,
    /// The same, read as if nothing in it were out of date: what a grace period would let stand.
    pub status_without_age: TcbStatus,
    /// Of the TCB that runs now (TDX 1.5): a module can be updated under a running TD.
    pub current_status: Option<TcbStatus>,
    /// The same without age.
    pub current_status_without_age: Option<TcbStatus>,
    /// Launched out of date on a platform that is current by now: launching it again would mend it.
    pub relaunch_advised: bool,
    /// `tcbDate` of the platform's level, or of the module's if that is older; `None` where no level is met.
    pub level_date: Option<UnixMillis>,
    /// `tcbDate` of the Quoting Enclave's level; `None` where none is met.
    pub enclave_date: Option<UnixMillis>,
    /// The oldest `tcbDate` of all parts that are out of date; `None` when none is.
    pub out_of_date_level: Option<UnixMillis>,
    /// `tcbEvaluationDataNumber`, the lower of TCB info and QE identity.
    pub evaluation_number: u32,
    /// Earliest end of TCB info, QE identity, revocation lists and their signers.
    pub collateral_until: UnixMillis,
    /// The instant that all of this was asked about.
    pub at: UnixMillis,
}

/// What the PCK certificate says about the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxPlatform {
    /// Family, model, stepping, platform, custom SKU.
    #[serde(serialize_with = "as_hex")]
    pub fmspc: [u8; 6],
    /// Id of the Provisioning Certification Enclave.
    #[serde(serialize_with = "as_hex")]
    pub pce_id: [u8; 2],
    /// Its version.
    pub pce_svn: u16,
    /// SGX TCB components.
    #[serde(serialize_with = "as_hex")]
    pub cpu_svn: [u8; 16],
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// Changes when the platform is set up anew; certificates of the Processor CA have none.
    #[serde(serialize_with = "as_optional_hex")]
    pub instance: Option<[u8; 16]>,
    /// More packages can be added.
    pub dynamic: Option<bool>,
    /// Keys are cached by Intel's registration service.
    pub cached_keys: Option<bool>,
    /// Simultaneous multithreading is on.
    pub smt: Option<bool>,
}

/// Claims of one quote. A plain value; the scheme vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxClaims {
    /// 4 or 5.
    pub quote_version: u16,
    /// Kind of the TD report.
    pub body: TdxBody,
    /// TD attributes.
    pub attributes: TdAttributes,
    /// Extended features that the TD may use.
    pub xfam: u64,
    /// Launch measurement.
    #[serde(serialize_with = "as_hex")]
    pub mrtd: [u8; 48],
    /// Run-time measurement registers.
    #[serde(serialize_with = "as_hex_list")]
    pub rtmr: [[u8; 48]; 4],
    /// Chosen by whoever launched the TD.
    #[serde(serialize_with = "as_hex")]
    pub mr_config_id: [u8; 48],
    /// Chosen by whoever launched the TD.
    #[serde(serialize_with = "as_hex")]
    pub mr_owner: [u8; 48],
    /// Chosen by whoever launched the TD.
    #[serde(serialize_with = "as_hex")]
    pub mr_owner_config: [u8; 48],
    /// The module.
    pub module: TdxModule,
    /// TCB at launch.
    #[serde(serialize_with = "as_hex")]
    pub tee_tcb_svn: [u8; 16],
    /// TCB now; TDX 1.5.
    #[serde(serialize_with = "as_optional_hex")]
    pub current_tee_tcb_svn: Option<[u8; 16]>,
    /// MRSERVICETD; TDX 1.5.
    #[serde(serialize_with = "as_optional_hex")]
    pub mr_service_td: Option<[u8; 48]>,
    /// The extended body.
    pub extension: Option<Box<TdxExtension>>,
    /// Standing of the platform.
    pub tcb: TdxTcb,
    /// The platform.
    pub platform: TdxPlatform,
    /// What an event log explains of the registers.
    pub event_log: EventLogClaims,
}

impl TdxClaims {
    /// Whether a service TD is, was, or may be attached: it could read and move the TD.
    #[must_use]
    pub fn service_td(&self) -> bool {
        let bound = |service: &TdxServiceTd| service.hash != [0; 48];
        self.attributes.service_td()
            || self.mr_service_td.is_some_and(|hash| hash != [0; 48])
            || self
                .extension
                .as_ref()
                .is_some_and(|extension| bound(&extension.initial_service_td) || bound(&extension.current_service_td))
    }
}

/// Rules about TDX guests beyond debugging, migration and launch measurement (MRTD), which all TEEs are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxRules {
    /// Allowed TCB statuses, at launch and now.
    pub tcb_status: Requirement<TcbStatus>,
    /// Days for which a TCB that is out of date is read without its age, counted from the `tcbDate` of its level; 0 for
    /// none (docs/decisions/0035).
    pub out_of_date_grace_days: u16,
    /// Each advisory that applies; met when none does.
    pub advisories: Requirement<String>,
    /// `tcbEvaluationDataNumber` of the collateral.
    pub evaluation_number: Requirement<u32>,
    /// SEPT_VE_DISABLE.
    pub sept_ve_disable: Requirement<bool>,
    /// Profiling.
    pub profiling: Requirement<bool>,
    /// A service TD: MRSERVICETD, SERVTD_EXT, or any hash of one.
    pub service_td: Requirement<bool>,
    /// Reserved attribute bits, as a number.
    pub reserved_attributes: Requirement<u64>,
    /// Measurement of the TDX module, hex.
    pub mrseam: Requirement<String>,
    /// RTMR0, hex: firmware and its configuration.
    pub rtmr0: Requirement<String>,
    /// RTMR1, hex: boot loader and kernel.
    pub rtmr1: Requirement<String>,
    /// RTMR2, hex: command line and initial file system.
    pub rtmr2: Requirement<String>,
    /// RTMR3, hex: what the guest extends at run time.
    pub rtmr3: Requirement<String>,
    /// MRCONFIGID, hex.
    pub mr_config_id: Requirement<String>,
    /// MROWNER, hex.
    pub mr_owner: Requirement<String>,
    /// MROWNERCONFIG, hex.
    pub mr_owner_config: Requirement<String>,
    /// An event log explains all four registers.
    pub event_log: Requirement<bool>,
}

impl TdxRules {
    /// What nobody can do without, and everything that needs reference values waived for one reason.
    #[must_use]
    pub fn built_in(reason: &str) -> Self {
        let waived = || Requirement::Waived { reason: reason.to_owned() };
        Self {
            tcb_status: Requirement::OneOf(vec![TcbStatus::UpToDate]),
            out_of_date_grace_days: 0,
            advisories: Requirement::Waived { reason: "the TCB status already weighs the advisories".to_owned() },
            evaluation_number: Requirement::Waived {
                reason: "collateral is bounded by its own dates; its evaluation number is a claim".to_owned(),
            },
            sept_ve_disable: Requirement::Equals(true),
            profiling: Requirement::Equals(false),
            service_td: Requirement::Equals(false),
            reserved_attributes: Requirement::Equals(0),
            mrseam: waived(),
            rtmr0: waived(),
            rtmr1: waived(),
            rtmr2: waived(),
            rtmr3: waived(),
            mr_config_id: waived(),
            mr_owner: waived(),
            mr_owner_config: waived(),
            event_log: Requirement::Waived { reason: reason.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_bits_are_where_the_specification_puts_them() {
        let bits = |numbers: &[u32]| TdAttributes(numbers.iter().map(|bit| 1 << bit).sum());
        for bit in [4, 5, 6] {
            assert!(bits(&[bit]).profiling() && !bits(&[bit]).debug(), "{bit}");
        }
        assert!(bits(&[0]).debug() && !bits(&[0]).profiling());
        assert!(bits(&[17]).service_td() && bits(&[28]).sept_ve_disable() && bits(&[29]).migratable());
        let lawful = [0, 4, 5, 6, 16, 17, 18, 19, 20, 21, 22, 27, 28, 29, 30, 31, 62, 63];
        for bit in 0..64 {
            assert_eq!(bits(&[bit]).reserved() != 0, !lawful.contains(&bit), "{bit}");
        }
        let others = bits(&[16, 18, 19, 20, 21, 22, 27, 30, 31, 62, 63]);
        let said = [others.debug(), others.profiling(), others.service_td(), others.sept_ve_disable()];
        assert_eq!((said, others.migratable()), ([false; 4], false));
    }
}
