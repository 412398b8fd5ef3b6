//! **Duty.** The quote's structure, read by own code so that its class is certain: what does not nest exactly is
//! malformed, before any signature. **Does not know** any key. **Spec.** EVIDENCE §2.1.

use super::body::{self, TdReport};
use crate::budget::MAX_TDX_QUOTE_BYTES;
use crate::error::EvidenceError;
use crate::pem::{pem_certificates, spelled};
use crate::reader::Reader;

pub(super) const CODE: &str = "tdx-quote";
const ECDSA_P256: u16 = 2;
const TEE_TDX: u32 = 0x81;
const INTEL_QE: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// Certification data: a QE report with its own certification data inside.
const QE_REPORT: u16 = 6;
/// Certification data: the PEM chain PCK, CA, root.
const PCK_CHAIN: u16 = 5;
const QE_REPORT_BYTES: usize = 384;

/// A parsed quote, still a rumour.
#[derive(Debug)]
pub(crate) struct TdxQuote<'a> {
    canonical: &'a [u8],
    signed: &'a [u8],
    /// 4 or 5.
    pub(super) version: u16,
    /// What the TDX module reports.
    pub(super) report: TdReport,
    /// By the attestation key over [`TdxQuote::signed`]: r ‖ s.
    pub(super) signature: [u8; 64],
    /// x ‖ y.
    pub(super) attestation_key: [u8; 64],
    /// The Quoting Enclave's own report, as received.
    pub(super) qe_report_bytes: [u8; QE_REPORT_BYTES],
    /// The fields of it.
    pub(super) qe_report: QeReport,
    /// By the PCK over `qe_report_bytes`.
    pub(super) qe_signature: [u8; 64],
    /// Hashed into the QE report together with the attestation key.
    pub(super) qe_auth: &'a [u8],
    /// As received, in its one spelling; it may end in one NUL.
    pub(super) pck_chain_pem: &'a [u8],
    /// The certificates of `pck_chain_pem`, DER.
    pub(super) pck_chain: Vec<Vec<u8>>,
}

/// The fields of the QE report that the QE identity speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QeReport {
    pub(super) misc_select: [u8; 4],
    pub(super) attributes: [u8; 16],
    pub(super) mr_signer: [u8; 32],
    pub(super) isv_prod_id: u16,
    pub(super) isv_svn: u16,
    pub(super) report_data: [u8; 64],
}

impl<'a> TdxQuote<'a> {
    /// Parses header, body and signature section. Bytes behind the section are unsigned padding of a driver's buffer:
    /// ignored, and not part of [`TdxQuote::canonical`].
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(bytes, CODE);
        if bytes.len() > MAX_TDX_QUOTE_BYTES {
            let message = format!("a quote of {} bytes is over the cap of {MAX_TDX_QUOTE_BYTES}", bytes.len());
            return Err(input.malformed(message));
        }
        let version = header(&mut input)?;
        let report = body::read(&mut input, version)?;
        let signed = bytes.get(..input.position()).unwrap_or_default();
        let length = input.length32("the signature section's length")?;
        let mut section = Reader::new(input.take(length, "the signature section")?, CODE);
        let canonical = bytes.get(..input.position()).unwrap_or_default();

        let signature = section.array("the quote signature")?;
        let attestation_key = section.array("the attestation key")?;
        let mut qe = certification(&mut section, QE_REPORT, "the QE certification data")?;
        section.end("the QE certification data")?;
        let qe_report_bytes: [u8; QE_REPORT_BYTES] = qe.array("the QE report")?;
        let qe_signature = qe.array("the QE report signature")?;
        let auth_length = qe.u16("the QE authentication data's length")?;
        let qe_auth = qe.take(usize::from(auth_length), "the QE authentication data")?;
        let pck_chain_pem = certification(&mut qe, PCK_CHAIN, "the PCK chain")?.rest();
        qe.end("the PCK chain")?;
        let pck_chain = pem_certificates(pck_chain_pem)?;
        // Nobody signs the text: another spelling would be another quote of the same content.
        let text = pck_chain_pem.strip_suffix(&[0]).unwrap_or(pck_chain_pem);
        if text != spelled(&pck_chain).as_bytes() {
            return Err(section.malformed("the PCK chain is not spelled as Intel's tools write it".to_owned()));
        }
        let qe_report = QeReport::parse(&qe_report_bytes)?;
        Ok(Self {
            canonical,
            signed,
            version,
            report,
            signature,
            attestation_key,
            qe_report_bytes,
            qe_report,
            qe_signature,
            qe_auth,
            pck_chain_pem,
            pck_chain,
        })
    }

    /// Header to signature section, nothing after.
    pub(super) const fn canonical(&self) -> &'a [u8] {
        self.canonical
    }

    /// What the attestation key signs: header, descriptor of a version 5 body, body, as received.
    pub(super) const fn signed(&self) -> &'a [u8] {
        self.signed
    }
}

impl QeReport {
    fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(bytes, CODE);
        input.take(16, "QE cpusvn")?;
        let misc_select = input.array("QE miscselect")?;
        input.take(28, "QE reserved")?;
        let attributes = input.array("QE attributes")?;
        input.take(64, "QE mrenclave")?;
        let mr_signer = input.array("QE mrsigner")?;
        input.take(96, "QE reserved")?;
        let isv_prod_id = input.u16("QE isvprodid")?;
        let isv_svn = input.u16("QE isvsvn")?;
        input.take(60, "QE reserved")?;
        let report_data = input.array("QE report_data")?;
        Ok(Self { misc_select, attributes, mr_signer, isv_prod_id, isv_svn, report_data })
    }
}

fn header(input: &mut Reader<'_>) -> Result<u16, EvidenceError> {
    let version = input.u16("the version")?;
    let key_type = input.u16("the attestation key type")?;
    let tee_type = u32::from_le_bytes(input.array("the TEE type")?);
    input.take(4, "the QE and PCE versions")?;
    let vendor: [u8; 16] = input.array("the QE vendor")?;
    input.take(20, "the user data")?;
    let known = matches!(version, 4 | 5) && key_type == ECDSA_P256 && tee_type == TEE_TDX && vendor == INTEL_QE;
    if known {
        return Ok(version);
    }
    let vendor = hex::encode(vendor);
    let found = format!("version {version}, key type {key_type}, TEE type {tee_type:#x}, QE vendor {vendor}");
    Err(input.malformed(format!("not a TDX quote of version 4 or 5 by Intel's enclave: {found}")))
}

fn certification<'a>(input: &mut Reader<'a>, wanted: u16, what: &str) -> Result<Reader<'a>, EvidenceError> {
    let kind = input.u16(what)?;
    if kind != wanted {
        return Err(input.malformed(format!("{what} is of type {kind}, not {wanted}")));
    }
    let size = input.length32(what)?;
    Ok(Reader::new(input.take(size, what)?, CODE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weighbridge_attest_types::TdAttributes;

    use super::*;

    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n\0";

    /// A quote of the right shape with made-up signatures.
    fn quote(version: u16, kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = [version.to_le_bytes(), ECDSA_P256.to_le_bytes()].concat();
        bytes.extend(TEE_TDX.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(INTEL_QE);
        bytes.extend([0; 20]);
        if version == 5 {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        }
        bytes.extend(body);
        let chain = section(PCK_CHAIN, PEM);
        let auth = [&[32u8, 0][..], &[8; 32]].concat();
        let qe = section(QE_REPORT, &[&[6; QE_REPORT_BYTES][..], &[7; 64], &auth, &chain].concat());
        let signatures = [&[4u8; 64][..], &[5; 64], &qe].concat();
        bytes.extend(u32::try_from(signatures.len()).unwrap().to_le_bytes());
        bytes.extend(signatures);
        bytes
    }

    fn section(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(content);
        bytes
    }

    #[test]
    fn each_lawful_shape_is_read_and_padding_is_ignored() {
        for (version, kind, size) in [(4, 2, 584), (5, 2, 584), (5, 3, 648), (5, 4, 885)] {
            let mut body = vec![0; size];
            body[120] = 1;
            body[520] = 9;
            let bytes = quote(version, kind, &body);
            let padded = [&bytes[..], &[3; 39]].concat();
            let parsed = TdxQuote::parse(&padded).unwrap();
            assert_eq!(parsed.canonical(), &bytes[..]);
            assert_eq!(parsed.signed().len(), size + if version == 4 { 48 } else { 54 });
            assert_eq!((parsed.report.td10.attributes, parsed.report.td10.report_data[0]), (TdAttributes(1), 9));
            assert_eq!((parsed.qe_auth, parsed.pck_chain.as_slice()), (&[8; 32][..], &[vec![1, 2, 3]][..]));
            assert_eq!(parsed.report.td15.is_some(), kind > 2);
        }
    }

    #[test]
    fn every_truncation_is_malformed() {
        for (version, kind, size) in [(4, 2, 584), (5, 4, 885)] {
            let bytes = quote(version, kind, &vec![0; size]);
            for length in 0..bytes.len() {
                assert_eq!(TdxQuote::parse(&bytes[..length]).unwrap_err().code(), CODE, "{length}");
            }
        }
    }

    #[test]
    fn foreign_headers_bodies_and_sizes_are_malformed() {
        let bytes = quote(5, 3, &[0; 648]);
        let section_at = 54 + 648;
        // Version, key type, TEE type, vendor, body type, body size, section length, QE type and size, auth length,
        // chain type and size.
        let qe_at = section_at + 4 + 128;
        let auth_at = qe_at + 6 + 384 + 64;
        let chain_at = auth_at + 2 + 32;
        let offsets =
            [0, 2, 4, 12, 48, 50, section_at, qe_at, qe_at + 2, auth_at, chain_at, chain_at + 2, bytes.len() - 10];
        for offset in offsets {
            let mut changed = bytes.clone();
            changed[offset] ^= 1;
            let error = TdxQuote::parse(&changed).unwrap_err();
            assert!(matches!(error, EvidenceError::Malformed(_)), "offset {offset}");
        }
        assert!(TdxQuote::parse(&vec![0; MAX_TDX_QUOTE_BYTES + 1]).unwrap_err().to_string().contains("over the cap"));
    }

    #[test]
    fn an_enclave_in_place_of_a_td_is_not_supported() {
        let error = TdxQuote::parse(&quote(5, 1, &[0; 384])).unwrap_err();
        assert!(matches!(error, EvidenceError::Unsupported(_)) && error.code() == "tdx-body-kind", "{error}");
    }

    #[test]
    fn another_spelling_of_the_chain_is_malformed() {
        let spelled = |text: &[u8]| {
            let chain = section(PCK_CHAIN, text);
            let auth = [&[0u8, 0][..]].concat();
            let qe = section(QE_REPORT, &[&[6; QE_REPORT_BYTES][..], &[7; 64], &auth, &chain].concat());
            let signatures = [&[4u8; 64][..], &[5; 64], &qe].concat();
            let mut bytes = quote(4, 2, &[0; 584])[..48 + 584].to_vec();
            bytes.extend(u32::try_from(signatures.len()).unwrap().to_le_bytes());
            bytes.extend(signatures);
            TdxQuote::parse(&bytes).map(drop).map_err(|error| error.code())
        };
        let text = &PEM[..PEM.len() - 1];
        assert_eq!([spelled(PEM), spelled(text)], [Ok(()), Ok(())]);
        let crlf = String::from_utf8(text.to_vec()).unwrap().replace('\n', "\r\n");
        let short_lines = String::from_utf8(text.to_vec()).unwrap().replace("AQID", "AQ\nID");
        for other in [
            &[PEM, &[0]].concat()[..],
            &text[..text.len() - 1],
            &[text, b"\n"].concat(),
            &[b" ", text].concat(),
            crlf.as_bytes(),
            short_lines.as_bytes(),
        ] {
            assert_eq!(spelled(other), Err(CODE));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let _ = TdxQuote::parse(&bytes);
        }

        #[test]
        fn a_changed_quote_never_panics(at in 0usize..2000, value: u8) {
            let mut bytes = quote(4, 2, &[0; 584]);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = TdxQuote::parse(&bytes);
        }
    }
}
