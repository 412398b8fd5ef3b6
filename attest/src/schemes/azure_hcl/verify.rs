//! **Duty.** The steps, in order: the claims are those that the hardware report is about, the vTPM's quote is by the key
//! that they name, the platform inside is genuine by its own scheme. All failures of a class are listed.
//! **Spec.** EVIDENCE §4, docs/decisions/0037.

use weighbridge_attest_types::{
    AzureClaims, BoundValue, EvidenceKind, NotChecked, PlatformClaims, TrustAnchors, UnixMillis, sha256,
};

use super::blob::HardwareReport;
use super::td_report::TdReportStructure;
use super::{HclEvidence, TdQuoteFile};
use crate::budget::MAX_NAMESAKES;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure, Failures};
use crate::scheme::{RawEvidence, Scheme as _};
use crate::schemes::sev_snp::SevSnp;
use crate::schemes::tdx::Tdx;
use crate::verified::Verified;

/// Where `report_data` stands in a canonical quote, by version.
const REPORT_DATA_AT: [(u8, usize); 2] = [(4, 48 + 520), (5, 54 + 520)];

/// Where an SEV-SNP report says at which privilege level it was asked for: u32, little-endian.
const SNP_VMPL_AT: usize = 0x30;

pub(super) fn verify(
    evidence: &HclEvidence,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let mut own: Vec<Failure> = evidence.blob.check_binding().into_iter().collect();
    let modulus = &evidence.blob.runtime.modulus;
    own.extend(evidence.tpm_quote.iter().flat_map(|quote| quote.check(modulus)));
    own.extend(asked_by(&evidence.blob.report));
    let platform = match &evidence.blob.report {
        HardwareReport::SevSnp(report) => verify_snp(report.as_slice(), endorsements, anchors, now),
        HardwareReport::Tdx(report) => verify_td(evidence, report, endorsements, anchors, now),
    };
    let platform = joined(platform, own)?;
    Ok(Verified::assertion(claims(evidence, platform.claims())))
}

/// The paravisor runs at VMPL 0; what runs above it can ask for reports of its own, about a key of its own.
fn asked_by(report: &HardwareReport) -> Option<Failure> {
    let HardwareReport::SevSnp(report) = report else { return None };
    let level = report.as_slice().get(SNP_VMPL_AT..).and_then(|rest| rest.first_chunk()).copied();
    let message = || format!("the report was asked for at VMPL {level:?}, where no paravisor runs");
    (level != Some([0; 4])).then(|| Failure::new("hcl-vmpl", message()))
}

/// The platform's refusal with our own failures, where both are of one class; else the worse of both.
fn joined(
    platform: Result<Verified<PlatformClaims>, EvidenceError>,
    own: Vec<Failure>,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let Some(failures) = Failures::collect(own) else { return platform };
    match platform {
        Err(error @ (EvidenceError::Malformed(_) | EvidenceError::Unsupported(_))) => Err(error),
        Err(EvidenceError::Untrusted(theirs)) => {
            let all = failures.iter().chain(theirs.iter()).cloned();
            Err(Failures::collect(all).map_or(EvidenceError::Untrusted(theirs), EvidenceError::Untrusted))
        }
        _ => Err(EvidenceError::Untrusted(failures)),
    }
}

fn verify_snp(
    report: &[u8],
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let report = SevSnp::parse(RawEvidence { body: report, certificates: &[] })?;
    SevSnp::verify(&report, endorsements, anchors, now)
}

/// A TDREPORT counts only through a quote over it: the one in the evidence, else one among the endorsements.
fn verify_td(
    evidence: &HclEvidence,
    report: &TdReportStructure,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let candidates: Vec<&[u8]> = match &evidence.td_quote {
        Some(quote) => vec![quote],
        None => {
            let files = endorsements.readable_as::<TdQuoteFile>().map(|TdQuoteFile(quote)| quote.as_slice());
            let about = files.filter(|quote| report_data_of(quote) == Some(&report.report_data[..]));
            about.take(MAX_NAMESAKES).collect()
        }
    };
    let mut first = None;
    for quote in candidates {
        match verify_quote(quote, report, endorsements, anchors, now) {
            Ok(platform) => return Ok(platform),
            Err(error) => first = first.or(Some(error)),
        }
    }
    // What was to be the quote and does not parse is not merely missing.
    let unreadable = Failures::collect(endorsements.unreadable_as::<TdQuoteFile>().cloned());
    let first = first.or_else(|| unreadable.map(EvidenceError::Untrusted));
    Err(first.unwrap_or_else(|| {
        let message = "a TDREPORT proves nothing outside of its CPU, and no TDX quote with its report_data was given";
        EvidenceError::Unavailable(Failure::new("td-quote-missing", message).into())
    }))
}

fn verify_quote(
    quote: &[u8],
    report: &TdReportStructure,
    endorsements: &Endorsements,
    anchors: &TrustAnchors,
    now: UnixMillis,
) -> Result<Verified<PlatformClaims>, EvidenceError> {
    let quote = Tdx::parse(RawEvidence { body: quote, certificates: &[] })?;
    let platform = Tdx::verify(&quote, endorsements, anchors, now)?;
    let claims = platform.claims();
    let is_about_it = claims.bound_value == BoundValue::ReportData(report.report_data);
    if is_about_it && claims.tdx.as_ref().is_some_and(|tdx| report.is_of(tdx)) {
        return Ok(platform);
    }
    let message = "the TDX quote is about another TDREPORT than the one in the blob";
    Err(EvidenceError::Untrusted(Failure::new("td-report-differs", message).into()))
}

fn report_data_of(quote: &[u8]) -> Option<&[u8]> {
    let version = quote.first()?;
    let (_, at) = REPORT_DATA_AT.into_iter().find(|(known, _)| known == version)?;
    quote.get(at..at.checked_add(64)?)
}

/// What the platform says, about the question that the vTPM answered.
fn claims(evidence: &HclEvidence, platform: &PlatformClaims) -> PlatformClaims {
    let mut claims = platform.clone();
    claims.kind = EvidenceKind::new(EvidenceKind::AZURE_HCL);
    let quote = evidence.tpm_quote.as_ref().map(|quote| quote.claims().clone());
    claims.bound_value = match &quote {
        Some(quote) => BoundValue::ExtraData(quote.extra_data.clone()),
        None => BoundValue::Nothing,
    };
    let open = match &quote {
        None => {
            Some(("azure-tpm-quote", "no TPM quote came along: the blob proves the VM and its key, not the moment"))
        }
        Some(quote) if quote.pcrs.is_none() => {
            Some(("azure-tpm-pcrs", "no PCR values came along: only their digest is known"))
        }
        Some(_) => None,
    };
    let open = open.map(|(code, why)| NotChecked { code: code.to_owned(), why: why.to_owned() });
    claims.not_checked.extend(open);
    let (blob, vm) = (&evidence.blob, &evidence.blob.runtime.vm);
    claims.azure = Some(Box::new(AzureClaims {
        version: blob.version,
        attestation_key: sha256(&blob.runtime.modulus),
        vm_id: vm.vm_id.clone(),
        secure_boot: vm.secure_boot,
        console_enabled: vm.console_enabled,
        tpm_persisted: vm.tpm_persisted,
        tpm_quote: quote,
    }));
    claims
}
