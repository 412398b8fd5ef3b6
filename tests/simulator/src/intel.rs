//! **Duty.** An Intel-like PKI: root, PCK Platform CA, one PCK certificate per node with the SGX extension in Intel's
//! encoding, and the TCB signer directly below the root. **Does not know** quotes or the collateral's JSON.
//! **Spec.** EVIDENCE §2.2–2.3.

use rcgen::{BasicConstraints, CustomExtension, IsCa, KeyUsagePurpose};

use crate::collateral::IntelCertificate;
use crate::der;
use crate::keys::{P256Key, Seed};
use crate::pki::{self, CertificateAuthority, Validity};

/// Platforms of one simulated world share this FMSPC: the letters `SIMUL` and a zero.
pub(crate) const FMSPC: [u8; 6] = *b"SIMUL\0";
/// The provisioning certification enclave's id, as all genuine platforms have it.
pub(crate) const PCE_ID: [u8; 2] = [0, 0];

/// 1.2.840.113741.1.13.1, Intel's SGX extension.
const SGX_EXTENSION: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];

/// Security versions of a platform: what the PCK certificate states, and what its quotes report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformTcb {
    /// The 16 SGX components (`CPUSVN`).
    pub cpu_svn: [u8; 16],
    /// Version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// `TEE_TCB_SVN` of the quote: module version, module id, late microcode, and 13 more.
    pub tee_tcb_svn: [u8; 16],
}

impl PlatformTcb {
    /// Meets the highest level of the simulated TCB info.
    pub const UP_TO_DATE: Self = Self {
        cpu_svn: [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        pce_svn: 13,
        tee_tcb_svn: [6, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// Meets only the lower level, which is `OutOfDate`.
    pub const OUT_OF_DATE: Self = Self {
        cpu_svn: [2, 2, 2, 2, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        pce_svn: 5,
        tee_tcb_svn: [6, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// Meets no level at all.
    pub const NOT_SUPPORTED: Self = Self { cpu_svn: [0; 16], ..Self::OUT_OF_DATE };
}

/// The authorities, and the key under TCB info and QE identity.
#[derive(Debug, Clone)]
pub(crate) struct IntelPki {
    pub(crate) root: CertificateAuthority<P256Key>,
    pub(crate) platform: CertificateAuthority<P256Key>,
    pub(crate) tcb_key: P256Key,
    tcb_certificate: rcgen::Certificate,
    /// Of PCK certificates.
    validity: Validity,
}

/// From when to when each kind of certificate holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntelValidity {
    pub(crate) root: Validity,
    pub(crate) platform: Validity,
    pub(crate) pck: Validity,
    pub(crate) tcb_signer: Validity,
}

impl IntelValidity {
    /// All alike.
    pub(crate) const fn all(validity: Validity) -> Self {
        Self { root: validity, platform: validity, pck: validity, tcb_signer: validity }
    }

    /// One of them otherwise.
    pub(crate) const fn with(mut self, which: IntelCertificate, validity: Validity) -> Self {
        match which {
            IntelCertificate::Root => self.root = validity,
            IntelCertificate::PlatformAuthority => self.platform = validity,
            IntelCertificate::Pck => self.pck = validity,
            IntelCertificate::TcbSigner => self.tcb_signer = validity,
        }
        self
    }
}

/// A platform's certificate, with the key that signs its QE reports.
#[derive(Debug, Clone)]
pub(crate) struct Pck {
    pub(crate) key: P256Key,
    pub(crate) serial: [u8; 20],
    /// PEM of leaf, Platform CA and root.
    pub(crate) chain: String,
}

/// What the PCK certificate says about a platform.
#[derive(Debug)]
pub(crate) struct PlatformFacts {
    pub(crate) ppid: [u8; 16],
    pub(crate) instance: [u8; 16],
    pub(crate) tcb: PlatformTcb,
}

impl IntelPki {
    /// Grows the authorities. Names are Intel's, so that code which tells Platform from Processor by them works;
    /// the root, which is known by its key, says what it is.
    pub(crate) fn grow(seed: Seed, validity: IntelValidity) -> Self {
        let key = P256Key::derive(seed, "intel/root");
        let subject = pki::subject("SIMULATED Intel SGX Root CA");
        let mut params = pki::authority_params(subject, &key, validity.root, BasicConstraints::Constrained(1));
        params.crl_distribution_points = vec![pki::distribution_point("IntelSGXRootCA.der")];
        let root = CertificateAuthority::root(params, key);

        let key = P256Key::derive(seed, "intel/pck-platform-ca");
        let subject = pki::subject("Intel SGX PCK Platform CA");
        let mut params = pki::authority_params(subject, &key, validity.platform, BasicConstraints::Constrained(0));
        params.crl_distribution_points = vec![pki::distribution_point("IntelSGXRootCA.der")];
        let platform = root.subordinate(params, key);

        let tcb_key = P256Key::derive(seed, "intel/tcb-signing");
        let signer = leaf_params("Intel SGX TCB Signing", &tcb_key, validity.tcb_signer);
        let tcb_certificate = root.issue(&signer, &tcb_key);
        Self { root, platform, tcb_key, tcb_certificate, validity: validity.pck }
    }

    /// Serial number of a certificate that the root issued.
    pub(crate) fn serial_of(&self, which: IntelCertificate) -> Vec<u8> {
        match which {
            IntelCertificate::TcbSigner => pki::serial_of(&self.tcb_key).to_vec(),
            IntelCertificate::Root => pki::serial_of(self.root.key()).to_vec(),
            IntelCertificate::PlatformAuthority | IntelCertificate::Pck => pki::serial_of(self.platform.key()).to_vec(),
        }
    }

    /// Certifies a platform. Other security versions mean another key, as with Intel.
    pub(crate) fn certify(&self, seed: Seed, facts: &PlatformFacts) -> Pck {
        let PlatformTcb { cpu_svn, pce_svn, .. } = facts.tcb;
        let label = format!("intel/pck/{}/{}/{pce_svn}", hex::encode(facts.ppid), hex::encode(cpu_svn));
        let key = P256Key::derive(seed, &label);
        let mut params = leaf_params("Intel SGX PCK Certificate", &key, self.validity);
        params.crl_distribution_points = vec![pki::distribution_point("pckcrl?ca=platform&encoding=der")];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&SGX_EXTENSION, sgx_extension(facts))];
        let leaf = self.platform.issue(&params, &key);
        Pck { serial: pki::serial_of(&key), chain: leaf.pem() + &self.platform_chain(), key }
    }

    /// PEM of Platform CA and root.
    pub(crate) fn platform_chain(&self) -> String {
        self.platform.certificate().pem() + &self.root.certificate().pem()
    }

    /// PEM of TCB signer and root.
    pub(crate) fn tcb_chain(&self) -> String {
        self.tcb_certificate.pem() + &self.root.certificate().pem()
    }
}

fn leaf_params(common_name: &str, key: &P256Key, validity: Validity) -> rcgen::CertificateParams {
    let mut params = pki::certificate_params(pki::subject(common_name), key, validity);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
    params.crl_distribution_points = vec![pki::distribution_point("IntelSGXRootCA.der")];
    params
}

/// PPID .1, TCB .2, PCEID .3, FMSPC .4, SGX type .5 (1 = scalable), platform instance .6, configuration .7
/// (.1 dynamic platform, .2 cached keys, .3 SMT enabled).
fn sgx_extension(facts: &PlatformFacts) -> Vec<u8> {
    der::sequence(&[
        field(&[1], der::octets(&facts.ppid)),
        field(&[2], tcb_sequence(&facts.tcb)),
        field(&[3], der::octets(&PCE_ID)),
        field(&[4], der::octets(&FMSPC)),
        field(&[5], der::enumerated(1)),
        field(&[6], der::octets(&facts.instance)),
        field(
            &[7],
            der::sequence(&[
                field(&[7, 1], der::boolean(true)),
                field(&[7, 2], der::boolean(false)),
                field(&[7, 3], der::boolean(true)),
            ]),
        ),
    ])
}

/// Components .1–.16, PCESVN .17, CPUSVN .18.
fn tcb_sequence(tcb: &PlatformTcb) -> Vec<u8> {
    let components = (1..).zip(tcb.cpu_svn).map(|(at, svn)| field(&[2, at], der::integer(u16::from(svn))));
    let pce_svn = field(&[2, 17], der::integer(tcb.pce_svn));
    let cpu_svn = field(&[2, 18], der::octets(&tcb.cpu_svn));
    der::sequence(&components.chain([pce_svn, cpu_svn]).collect::<Vec<_>>())
}

fn field(arcs: &[u64], value: Vec<u8>) -> Vec<u8> {
    der::sequence(&[der::oid(&[&SGX_EXTENSION, arcs].concat()), value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sgx_extension_is_laid_out_like_a_genuine_one() {
        let facts = PlatformFacts { ppid: [0xaa; 16], instance: [0xbb; 16], tcb: PlatformTcb::UP_TO_DATE };
        let encoded = hex::encode(sgx_extension(&facts));
        // Head and tail as in a genuine PCK certificate, where only PPID, FMSPC and instance differ.
        assert!(encoded.starts_with("30820226301e060a2a864886f84d010d01010410aaaa"));
        assert!(encoded.contains("30820163060a2a864886f84d010d0102308201533010060b2a864886f84d010d010201020103"));
        assert!(encoded.contains("3010060b2a864886f84d010d01021102010d301f060b2a864886f84d010d0102120410030302020401"));
        assert!(encoded.contains("3010060a2a864886f84d010d0103040200003014060a2a864886f84d010d0104040653494d554c00"));
        assert!(encoded.ends_with(
            "3044060a2a864886f84d010d010730363010060b2a864886f84d010d0107010101ff3010060b2a864886f84d010d010702010100\
             3010060b2a864886f84d010d0107030101ff"
        ));
    }
}
