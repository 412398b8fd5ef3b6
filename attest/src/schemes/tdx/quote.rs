//! **Duty.** The quote's structure, read by own code so that its class is certain: what does not nest exactly is
//! malformed, before any signature. **Does not know** any key. **Spec.** EVIDENCE §2.1.

use crate::budget::MAX_TDX_QUOTE_BYTES;
use crate::error::EvidenceError;
use crate::pem::pem_certificates;
use crate::reader::Reader;

const CODE: &str = "tdx-quote";
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
    /// As received; it may end in NUL.
    pub(super) pck_chain_pem: &'a [u8],
    /// The certificates of `pck_chain_pem`, DER.
    pub(super) pck_chain: Vec<Vec<u8>>,
}

/// The fields of a TD report that somebody here reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TdReport {
    pub(super) tee_tcb_svn: [u8; 16],
    pub(super) mr_signer_seam: [u8; 48],
    pub(super) seam_attributes: [u8; 8],
    pub(super) attributes: TdAttributes,
    pub(super) mrtd: [u8; 48],
    pub(super) report_data: [u8; 64],
    /// TDX 1.5 and later.
    pub(super) td15: Option<Td15>,
}

/// What TDX 1.5 adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Td15 {
    /// The current TCB, after a module update that kept the TD running.
    pub(super) tee_tcb_svn2: [u8; 16],
    /// Whether a service TD is, or was at creation, attached.
    pub(super) service_td: bool,
}

/// TD attributes, EVIDENCE §2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TdAttributes(pub(super) u64);

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
        let report = body(&mut input, version)?;
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

impl TdAttributes {
    /// The owner or the host can look into the TD: DEBUG or a profiling bit.
    pub(super) const fn debug(self) -> bool {
        self.0 & 0b0111_0001 != 0
    }

    /// SERVTD_EXT: a service TD's hash is part of the report.
    pub(super) const fn service_td(self) -> bool {
        self.0 >> 17 & 1 == 1
    }

    /// SEPT_VE_DISABLE.
    pub(super) const fn sept_ve_disable(self) -> bool {
        self.0 >> 28 & 1 == 1
    }

    /// MIGRATABLE.
    pub(super) const fn migratable(self) -> bool {
        self.0 >> 29 & 1 == 1
    }

    /// Bits that must be zero (TDX module ABI 348551-008US, table 3.23): 1–3, 7–15, 23–26, 32–61.
    pub(super) const fn reserved(self) -> u64 {
        self.0 & 0x3fff_ffff_0780_ff8e
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

fn body(input: &mut Reader<'_>, version: u16) -> Result<TdReport, EvidenceError> {
    let kind = if version == 4 { 2 } else { input.u16("the body type")? };
    let size = match kind {
        2 => 584,
        3 => 648,
        4 => 885,
        _ => return Err(input.malformed(format!("body type {kind} is unknown"))),
    };
    if version == 5 {
        let announced = input.length32("the body size")?;
        if announced != size {
            return Err(input.malformed(format!("body type {kind} has {size} bytes, not {announced}")));
        }
    }
    let mut body = Reader::new(input.take(size, "the TD report")?, CODE);
    let report = td10(&mut body)?;
    let td15 = match kind {
        2 => None,
        3 => Some(td15(&mut body)?),
        _ => Some(td15_extended(&mut body)?),
    };
    body.end("the TD report")?;
    Ok(TdReport { td15, ..report })
}

fn td10(body: &mut Reader<'_>) -> Result<TdReport, EvidenceError> {
    let tee_tcb_svn = body.array("tee_tcb_svn")?;
    body.take(48, "mrseam")?;
    let mr_signer_seam = body.array("mrsignerseam")?;
    let seam_attributes = body.array("seamattributes")?;
    let attributes = TdAttributes(u64::from_le_bytes(body.array("tdattributes")?));
    body.take(8, "xfam")?;
    let mrtd = body.array("mrtd")?;
    body.take(7 * 48, "mrconfigid to rtmr3")?;
    let report_data = body.array("report_data")?;
    Ok(TdReport { tee_tcb_svn, mr_signer_seam, seam_attributes, attributes, mrtd, report_data, td15: None })
}

fn td15(body: &mut Reader<'_>) -> Result<Td15, EvidenceError> {
    let tee_tcb_svn2 = body.array("tee_tcb_svn2")?;
    let mr_service_td: [u8; 48] = body.array("mrservicetd")?;
    Ok(Td15 { tee_tcb_svn2, service_td: mr_service_td != [0; 48] })
}

/// The extended body also names service TDs that were bound later.
fn td15_extended(body: &mut Reader<'_>) -> Result<Td15, EvidenceError> {
    let base = td15(body)?;
    body.take(1 + 32 + 48, "vmid, td_id and dev_info")?;
    let initial: [u8; 48] = body.array("init_servtd_hash")?;
    body.take(8 + 16 + 16 + 12, "initial service TD attributes and TCB")?;
    let current: [u8; 48] = body.array("cur_servtd_hash")?;
    body.take(8, "cur_servtd_attr")?;
    Ok(Td15 { service_td: base.service_td || initial != [0; 48] || current != [0; 48], ..base })
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
            assert_eq!((parsed.report.attributes, parsed.report.report_data[0]), (TdAttributes(1), 9));
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
    fn service_tds_show_wherever_a_body_names_one() {
        for (kind, size, offset) in [(3, 648, 600), (4, 885, 600), (4, 885, 729), (4, 885, 829)] {
            let mut body = vec![0; size];
            body[offset] = 1;
            let bytes = quote(5, kind, &body);
            assert!(TdxQuote::parse(&bytes).unwrap().report.td15.unwrap().service_td, "{offset}");
        }
        let plain = quote(5, 4, &[0; 885]);
        assert!(!TdxQuote::parse(&plain).unwrap().report.td15.unwrap().service_td);
    }

    #[test]
    fn attribute_bits_are_where_the_specification_puts_them() {
        let bits = |numbers: &[u32]| TdAttributes(numbers.iter().map(|bit| 1 << bit).sum());
        for bit in [0, 4, 5, 6] {
            assert!(bits(&[bit]).debug(), "{bit}");
        }
        assert!(bits(&[17]).service_td() && bits(&[28]).sept_ve_disable() && bits(&[29]).migratable());
        let lawful = [0, 4, 5, 6, 16, 17, 18, 19, 20, 21, 22, 27, 28, 29, 30, 31, 62, 63];
        for bit in 0..64 {
            assert_eq!(bits(&[bit]).reserved() != 0, !lawful.contains(&bit), "{bit}");
        }
        assert!(!bits(&lawful[4..]).debug() && !bits(&[0, 27, 30]).sept_ve_disable());
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
