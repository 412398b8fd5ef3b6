//! **Duty.** The `sev` crate must agree with our own reading; where it does not, the evidence is untrusted and the
//! refusal says who said what. **Spec.** EVIDENCE §3.2.
//!
//! `sev` 8.0.0 verifies re-encoded bytes, looks at no date, no CRL, no anchor and no extension: own code does. It takes
//! the generation of a version 2 report from the chip id and cannot read one whose chip id is masked; genuine ones
//! exist, so there it is asked about the chain only.

use sev::certs::snp::{Certificate, Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use weighbridge_attest_types::{NotChecked, SnpTcb};

use super::chain::Links;
use super::report::SnpReport;
use super::verify::Checked;
use crate::error::Failure;

/// Asks; returns what it could not be asked.
pub(super) fn check(report: &SnpReport<'_>, checked: &Checked<'_, '_>) -> Result<Option<NotChecked>, Failure> {
    let links = checked.links;
    let chain = links.files.vek.second_reading([links.files.issuer, links.files.root], || read_chain(links));
    chain.map_err(|why| disagree(&why))?;
    if report.version == 2 && report.chip_id_is_masked() {
        return Ok(Some(NotChecked {
            code: "snp-second-parser".to_owned(),
            why: "sev cannot read version 2 reports without a chip id; it checked the chain, own code the report"
                .to_owned(),
        }));
    }
    let theirs = AttestationReport::from_bytes(report.canonical());
    let theirs = theirs.map_err(|why| disagree(&format!("it cannot read the report: {why}")))?;
    let vek = Certificate::from_der(links.vek.as_raw());
    let vek = vek.map_err(|why| disagree(&format!("it cannot read the VEK: {why}")))?;
    (&vek, &theirs).verify().map_err(|why| disagree(&format!("the signature does not hold: {why}")))?;
    match is_same(report, checked, &theirs) {
        true => Ok(None),
        false => Err(disagree("the report has other fields")),
    }
}

/// The chain alone: it is the same for every report of one VEK.
fn read_chain(links: Links<'_>) -> Result<(), String> {
    let chain = Chain::from_der(links.root.as_raw(), links.issuer.as_raw(), links.vek.as_raw());
    let chain = chain.map_err(|why| format!("it cannot read the chain: {why}"))?;
    chain.verify().map(drop).map_err(|why| format!("the chain does not hold: {why}"))
}

fn is_same(report: &SnpReport<'_>, checked: &Checked<'_, '_>, theirs: &AttestationReport) -> bool {
    let parts = |tcb: sev::firmware::host::TcbVersion| SnpTcb {
        fmc: tcb.fmc,
        bootloader: tcb.bootloader,
        tee: tcb.tee,
        snp: tcb.snp,
        microcode: tcb.microcode,
    };
    let tcb = checked.tcb;
    theirs.version == report.version
        && theirs.guest_svn == report.guest_svn
        && u64::from(theirs.policy) == report.policy.0 | (1 << 17)
        && theirs.vmpl == report.vmpl
        && theirs.report_data == report.report_data
        && theirs.measurement == report.measurement
        && theirs.host_data == report.host_data
        && theirs.id_key_digest == report.id_key_digest
        && theirs.author_key_digest == report.author_key_digest
        && theirs.chip_id == report.chip_id
        && [theirs.current_tcb, theirs.committed_tcb, theirs.reported_tcb, theirs.launch_tcb].map(parts)
            == [tcb.current, tcb.committed, tcb.reported, tcb.launch]
}

fn disagree(theirs: &str) -> Failure {
    let message = format!("sev says: {theirs}; own checks say: signature, chain and binding hold");
    Failure::new("snp-readers-disagree", message)
}
