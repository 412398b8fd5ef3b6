//! **Duty.** What a VEK certificate says about the chip and its firmware: AMD's extensions. **Does not know** whether
//! the certificate is trusted. **Spec.** EVIDENCE §3.2 (1.3.6.1.4.1.3704.1).

use weighbridge_attest_types::{SnpProduct, SnpSigner, SnpTcb};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::X509Certificate;

use super::report::SnpReport;
use crate::error::Failure;
use crate::x509::{common_name, extension};

const IA5_STRING: u8 = 0x16;
const INTEGER: u8 = 0x02;
const VCEK_NAME: &str = "SEV-VCEK";
const VLEK_NAME: &str = "SEV-VLEK";

/// A VEK certificate's facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VekFacts {
    pub(super) signer: SnpSigner,
    pub(super) product: SnpProduct,
    pub(super) tcb: SnpTcb,
    /// Raw; VCEK only.
    pub(super) hwid: Option<Vec<u8>>,
    /// VLEK only.
    pub(super) csp_id: Option<String>,
}

impl VekFacts {
    /// Chip and TCB, for people who keep such certificates.
    pub(super) fn describe(&self) -> String {
        let Self { signer, product, tcb, hwid, csp_id } = self;
        let fmc = tcb.fmc.map_or_else(String::new, |fmc| format!("fmc {fmc} "));
        let SnpTcb { fmc: _, bootloader, tee, snp, microcode } = tcb;
        let tcb = format!("TCB {fmc}bootloader {bootloader} tee {tee} snp {snp} microcode {microcode}");
        let whose = match (signer, hwid, csp_id) {
            (SnpSigner::Vcek, Some(hwid), _) => format!("VCEK of {} chip {}", product.as_str(), hex::encode(hwid)),
            (_, _, csp_id) => format!("VLEK of {} for {}", product.as_str(), csp_id.as_deref().unwrap_or("nobody")),
        };
        // A chip id has 128 characters: what tells two certificates of one chip apart comes first.
        format!("{tcb}, {whose}")
    }
}

/// The kind of key that a certificate's name claims.
pub(super) fn signer_of(certificate: &X509Certificate<'_>) -> Option<SnpSigner> {
    match common_name(certificate)? {
        VCEK_NAME => Some(SnpSigner::Vcek),
        VLEK_NAME => Some(SnpSigner::Vlek),
        _ => None,
    }
}

/// Reads all extensions; each of its exact form, none that the kind of key does not have.
pub(super) fn read_facts(vek: &X509Certificate<'_>) -> Result<VekFacts, Failure> {
    let unreadable = |what: &str| Failure::new("vek-extension", format!("the VEK certificate has no readable {what}"));
    let signer = signer_of(vek).ok_or_else(|| unreadable("name"))?;
    let product = product_of(vek).ok_or_else(|| unreadable("product name"))?;
    let tcb = tcb_of(vek, product).ok_or_else(|| unreadable("TCB"))?;
    let hwid = extension(vek, &oid!(1.3.6.1.4.1.3704.1.4)).map(<[u8]>::to_vec);
    let csp_id = extension(vek, &oid!(1.3.6.1.4.1.3704.1.5)).map(ia5).map(|text| text.map(str::to_owned));
    match (signer, hwid, csp_id) {
        (SnpSigner::Vcek, Some(hwid), None) if hwid.len() == hwid_bytes(product) => {
            Ok(VekFacts { signer, product, tcb, hwid: Some(hwid), csp_id: None })
        }
        (SnpSigner::Vcek, ..) => Err(unreadable("hwid")),
        (SnpSigner::Vlek, None, Some(Some(csp_id))) => {
            Ok(VekFacts { signer, product, tcb, hwid: None, csp_id: Some(csp_id) })
        }
        (SnpSigner::Vlek, ..) => Err(unreadable("cloud provider")),
    }
}

/// Everything that the certificate and the report both say.
pub(super) fn check_binding(report: &SnpReport<'_>, facts: &VekFacts) -> Vec<Failure> {
    let mut failures = Vec::new();
    if report.signer != facts.signer {
        let message =
            format!("the report says it is signed by a {:?}, the certificate is a {:?}", report.signer, facts.signer);
        failures.push(Failure::new("vek-kind-differs", message));
    }
    if report.reported_tcb.read(facts.product) != Some(facts.tcb) {
        let found = hex::encode(report.reported_tcb.0);
        let message = format!("the report's TCB {found} is not the certificate's {:?}", facts.tcb);
        failures.push(Failure::new("vek-tcb-differs", message));
    }
    if let Some(hwid) = &facts.hwid {
        let (id, rest) = report.chip_id.split_at_checked(hwid.len()).unwrap_or_default();
        if id != hwid || rest.iter().any(|byte| *byte != 0) {
            let message =
                format!("the report names chip {}, the certificate {}", hex::encode(report.chip_id), hex::encode(hwid));
            failures.push(Failure::new("vek-chip-differs", message));
        }
    }
    if let Some(cpuid) = report.cpuid
        && product_of_cpuid(cpuid) != Some(facts.product)
    {
        let message = format!("CPUID {} is not a {} processor", hex::encode(cpuid), facts.product.as_str());
        failures.push(Failure::new("cpuid-differs", message));
    }
    failures
}

/// Bytes of the id of a chip in its certificate.
const fn hwid_bytes(product: SnpProduct) -> usize {
    match product {
        SnpProduct::Milan | SnpProduct::Genoa => 64,
        SnpProduct::Turin => 8,
    }
}

const fn product_of_cpuid([family, model, _]: [u8; 3]) -> Option<SnpProduct> {
    match (family, model) {
        (0x19, 0x00..=0x0f) => Some(SnpProduct::Milan),
        (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(SnpProduct::Genoa),
        (0x1a, _) => Some(SnpProduct::Turin),
        _ => None,
    }
}

/// "Milan" or "Milan-B0".
fn product_of(vek: &X509Certificate<'_>) -> Option<SnpProduct> {
    let name = ia5(extension(vek, &oid!(1.3.6.1.4.1.3704.1.2))?)?;
    let line = name.split_once('-').map_or(name, |(line, _stepping)| line);
    SnpProduct::ALL.into_iter().find(|product| product.as_str() == line)
}

fn tcb_of(vek: &X509Certificate<'_>, product: SnpProduct) -> Option<SnpTcb> {
    let part = |oid: &Oid<'_>| integer(extension(vek, oid)?);
    let fmc: Oid<'_> = oid!(1.3.6.1.4.1.3704.1.3.9);
    let fmc = match (product, extension(vek, &fmc)) {
        (SnpProduct::Turin, Some(value)) => Some(integer(value)?),
        (SnpProduct::Milan | SnpProduct::Genoa, None) => None,
        _ => return None,
    };
    Some(SnpTcb {
        fmc,
        bootloader: part(&oid!(1.3.6.1.4.1.3704.1.3.1))?,
        tee: part(&oid!(1.3.6.1.4.1.3704.1.3.2))?,
        snp: part(&oid!(1.3.6.1.4.1.3704.1.3.3))?,
        microcode: part(&oid!(1.3.6.1.4.1.3704.1.3.8))?,
    })
}

/// A DER INTEGER from 0 to 255, in its one spelling.
fn integer(value: &[u8]) -> Option<u8> {
    match *value {
        [INTEGER, 1, low] if low < 0x80 => Some(low),
        [INTEGER, 2, 0, high] if high >= 0x80 => Some(high),
        _ => None,
    }
}

/// Printable text in a short DER IA5String.
fn ia5(value: &[u8]) -> Option<&str> {
    let (&[IA5_STRING, length], text) = value.split_first_chunk()? else {
        return None;
    };
    let printable = text.iter().all(|byte| (b' '..=b'~').contains(byte));
    let fits = length < 0x80 && usize::from(length) == text.len() && printable;
    fits.then(|| std::str::from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        assert_eq!(
            [integer(&[2, 1, 0]), integer(&[2, 1, 0x7f]), integer(&[2, 2, 0, 0xdb])],
            [Some(0), Some(0x7f), Some(0xdb)]
        );
        for bad in [
            &[2u8, 1, 0x80][..],
            &[2, 2, 0, 0x7f],
            &[2, 2, 1, 0],
            &[2, 1],
            &[2, 1, 0, 0],
            &[4, 1, 0],
            &[2, 0x81, 1, 0],
            &[],
        ] {
            assert_eq!(integer(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn texts_are_short_and_printable() {
        assert_eq!(ia5(b"\x16\x05Genoa"), Some("Genoa"));
        for bad in
            [&b"\x16\x05Geno"[..], b"\x16\x04Genoa", b"\x0c\x05Genoa", b"\x16", b"", b"\x16\x01\x1b", b"\x16\x01\xff"]
        {
            assert_eq!(ia5(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_processor_belongs_to_one_line() {
        let line = |family, model| product_of_cpuid([family, model, 0]);
        assert_eq!(
            [line(0x19, 1), line(0x19, 0x11), line(0x19, 0xa0)],
            [Some(SnpProduct::Milan), Some(SnpProduct::Genoa), Some(SnpProduct::Genoa)]
        );
        assert_eq!([line(0x1a, 2), line(0x19, 0x20), line(0x17, 1)], [Some(SnpProduct::Turin), None, None]);
    }
}
