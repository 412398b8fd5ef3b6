//! **Duty.** The blob that the paravisor keeps in the vTPM's NV index 0x01400001: header, hardware report, claims.
//! **Does not know** signatures. **Spec.** EVIDENCE §4.

use weighbridge_attest_types::sha256;

use super::runtime::RuntimeClaims;
use super::td_report::TdReportStructure;
use super::{check_inner, malformed};
use crate::budget::MAX_HCL_BYTES;
use crate::error::{EvidenceError, Failure};
use crate::reader::Reader;

const CODE: &str = "hcl-blob";
const MAGIC: &[u8; 4] = b"HCLA";
const ATTESTATION_REQUEST: u32 = 2;
/// The hardware report's place in the blob has the size of an SEV-SNP report, whatever is in it.
const REPORT_BYTES: usize = 1184;
/// Where `report_data` stands in an SEV-SNP report.
const SNP_REPORT_DATA: std::ops::Range<usize> = 0x50..0x90;
/// Header and report.
const DATA_AT: usize = 0x4c0;
/// data_size, version, report_type, hash algorithm, claims_size.
const DATA_HEADER_BYTES: usize = 20;
const DATA_VERSION: u32 = 1;
const SEV_SNP: u32 = 2;
const TDX: u32 = 4;
const SHA256: u32 = 1;

/// A parsed blob, still a rumour.
#[derive(Debug)]
pub(super) struct HclBlob {
    used: usize,
    /// 1 or 2.
    pub(super) version: u32,
    pub(super) report: HardwareReport,
    /// As they are hashed.
    claims: Vec<u8>,
    pub(super) runtime: RuntimeClaims,
}

/// What the hardware said.
#[derive(Debug)]
pub(super) enum HardwareReport {
    /// A whole SEV-SNP report.
    SevSnp(Box<[u8; REPORT_BYTES]>),
    /// A TDREPORT: authenticated by a key of its CPU only.
    Tdx(Box<TdReportStructure>),
}

impl HardwareReport {
    /// Whether a TDX quote belongs to it.
    pub(super) const fn is_td(&self) -> bool {
        matches!(self, Self::Tdx(_))
    }
}

impl HclBlob {
    /// Every size must be the one that the others lead to, every field known, and whatever follows zero.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(bytes, CODE);
        if bytes.len() > MAX_HCL_BYTES {
            return Err(input.malformed(format!("{} bytes are over the cap of {MAX_HCL_BYTES}", bytes.len())));
        }
        let (version, announced) = read_header(&mut input)?;
        let report = input.array("the hardware report")?;
        let (kind, claims_bytes) = read_data_header(&mut input)?;
        let claims = input.take(claims_bytes, "the claims")?.to_vec();
        let used = input.position();
        if used != announced {
            return Err(input.malformed(format!("the header says that {announced} bytes are used, not {used}")));
        }
        if input.rest().iter().any(|byte| *byte != 0) {
            return Err(input.malformed("the bytes after the claims are not zero".to_owned()));
        }
        let report = match kind {
            SEV_SNP => HardwareReport::SevSnp(Box::new(report)),
            _ => HardwareReport::Tdx(Box::new(TdReportStructure::parse(&report)?)),
        };
        check_inner(&report)?;
        let runtime = RuntimeClaims::parse(&claims).map_err(|why| malformed("hcl-claims", why))?;
        Ok(Self { used, version, report, claims, runtime })
    }

    /// Length of the part that counts.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// The hardware's `report_data` is SHA-256 of the claims, then zeros.
    pub(super) fn check_binding(&self) -> Option<Failure> {
        let found = match &self.report {
            HardwareReport::SevSnp(report) => report.get(SNP_REPORT_DATA).unwrap_or_default(),
            HardwareReport::Tdx(report) => &report.report_data,
        };
        let wanted = [sha256(&self.claims).0, [0; 32]].concat();
        let message = "the hardware report is about other claims than those in the blob";
        (found != wanted).then(|| Failure::new("hcl-claims-differ", message))
    }
}

/// Version, and how many bytes are said to be used.
fn read_header(input: &mut Reader<'_>) -> Result<(u32, usize), EvidenceError> {
    let magic: [u8; 4] = input.array("the magic")?;
    let version = u32_of(input, "the version")?;
    let used = input.length32("the used size")?;
    let request = u32_of(input, "the request type")?;
    let reserved: [u8; 16] = input.array("the reserved bytes")?;
    if &magic != MAGIC || !matches!(version, 1 | 2) || request != ATTESTATION_REQUEST || reserved != [0; 16] {
        let found = format!("magic {}, version {version}, request {request}", hex::encode(magic));
        return Err(input.malformed(format!("not an HCL blob of version 1 or 2 with an attestation: {found}")));
    }
    Ok((version, used))
}

/// Kind of the report, and the length of the claims.
fn read_data_header(input: &mut Reader<'_>) -> Result<(u32, usize), EvidenceError> {
    debug_assert_eq!(input.position(), DATA_AT);
    let data_size = input.length32("the data size")?;
    let version = u32_of(input, "the data version")?;
    let kind = u32_of(input, "the report type")?;
    let algorithm = u32_of(input, "the hash algorithm")?;
    let claims = input.length32("the claims' size")?;
    if version != DATA_VERSION || !matches!(kind, SEV_SNP | TDX) || algorithm != SHA256 {
        let found = format!("version {version}, report type {kind}, hash algorithm {algorithm}");
        return Err(input.malformed(format!("the claims are of an unknown form: {found}")));
    }
    if claims.checked_add(DATA_HEADER_BYTES) != Some(data_size) {
        return Err(input.malformed(format!("{claims} bytes of claims do not fit {data_size} bytes of data")));
    }
    Ok((kind, claims))
}

fn u32_of(input: &mut Reader<'_>, what: &str) -> Result<u32, EvidenceError> {
    Ok(u32::from_le_bytes(input.array(what)?))
}
