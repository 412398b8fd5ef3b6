//! **Duty.** A TDREPORT as far as a quote over it can vouch for it. It is MACed for its own CPU, so nothing of it counts
//! by itself. **Does not know** quotes. **Spec.** EVIDENCE §4; TDX module ABI 348551 (TDREPORT_STRUCT).

use ring::digest::{SHA384, digest};
use weighbridge_attest_types::TdxClaims;

use crate::error::EvidenceError;
use crate::reader::Reader;

const CODE: &str = "td-report";
/// The rest of the report's place in a blob is zero.
const PADDING_BYTES: usize = 160;
const TEE_TCB_INFO_BYTES: usize = 239;
const TD_INFO_BYTES: usize = 512;

/// The structure, taken apart.
#[derive(Debug)]
pub(super) struct TdReportStructure {
    pub(super) report_data: [u8; 64],
    tcb_hash: [u8; 48],
    info_hash: [u8; 48],
    tee_tcb_info: [u8; TEE_TCB_INFO_BYTES],
    td_info: [u8; TD_INFO_BYTES],
}

impl TdReportStructure {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(bytes, CODE);
        let kind: [u8; 4] = input.array("the report type")?;
        if !matches!(kind, [0x81, 0, 0 | 1, 0]) {
            return Err(input.malformed(format!("report type {} is not that of a TD", hex::encode(kind))));
        }
        zero(&mut input, 12, "the bytes after the report type")?;
        input.take(16, "CPUSVN")?;
        let (tcb_hash, info_hash) = (input.array("the TCB info's hash")?, input.array("the TD info's hash")?);
        let report_data = input.array("report_data")?;
        zero(&mut input, 32, "the bytes before the MAC")?;
        input.take(32, "the MAC")?;
        let tee_tcb_info = input.array("the TCB info")?;
        zero(&mut input, 17, "the bytes after the TCB info")?;
        let td_info = input.array("the TD info")?;
        zero(&mut input, PADDING_BYTES, "the bytes after the TDREPORT")?;
        input.end("the TDREPORT")?;
        Ok(Self { report_data, tcb_hash, info_hash, tee_tcb_info, td_info })
    }

    /// Whether a verified quote is about this very report: what both have is equal, and the report's own hashes cover the
    /// rest. CPUSVN and MAC are left, which only the CPU that made them can check.
    pub(super) fn is_of(&self, quote: &TdxClaims) -> bool {
        let sha384 = |bytes: &[u8]| digest(&SHA384, bytes);
        sha384(&self.tee_tcb_info).as_ref() == self.tcb_hash
            && sha384(&self.td_info).as_ref() == self.info_hash
            && self.tee_tcb_info.get(8..).is_some_and(|info| info.starts_with(&tcb_fields(quote)))
            && self.td_info.starts_with(&td_fields(quote))
    }
}

/// In the order of TEE_TCB_INFO, after its valid bits.
fn tcb_fields(quote: &TdxClaims) -> Vec<u8> {
    let module = &quote.module;
    [&quote.tee_tcb_svn[..], &module.mrseam, &module.mr_signer_seam, &module.attributes].concat()
}

/// In the order of TDINFO.
fn td_fields(quote: &TdxClaims) -> Vec<u8> {
    let (attributes, xfam) = (quote.attributes.0.to_le_bytes(), quote.xfam.to_le_bytes());
    let registers = quote.rtmr.concat();
    let fields: [&[u8]; 7] =
        [&attributes, &xfam, &quote.mrtd, &quote.mr_config_id, &quote.mr_owner, &quote.mr_owner_config, &registers];
    fields.concat()
}

fn zero(input: &mut Reader<'_>, count: usize, what: &str) -> Result<(), EvidenceError> {
    match input.take(count, what)?.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(input.malformed(format!("{what} are not zero"))),
    }
}
