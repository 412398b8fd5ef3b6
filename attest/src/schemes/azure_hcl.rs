//! **Duty.** Blobs of the paravisor (HCL) of Azure's confidential VMs: the hardware report inside, the claims that it is
//! about, and the vTPM's quote under the key that those claims name. **Knows** the blob, TPM 2.0 quotes and TDREPORTs.
//! **Does not know** SEV-SNP or TDX: their schemes verify what is inside. **Spec.** EVIDENCE §4, docs/decisions/0037.

mod blob;
mod runtime;
mod td_report;
mod tpm;
mod verify;

#[cfg(test)]
mod tests;

use weighbridge_attest_types::{AzureEvidence, Canonical as _, EvidenceKind, PlatformClaims, TrustAnchors, UnixMillis};

use super::sev_snp::SevSnp;
use super::tdx::Tdx;
use crate::budget::{MAX_HCL_BYTES, MAX_TDX_QUOTE_BYTES, MAX_TPM_ATTEST_BYTES};
use crate::description::VendorStatement;
use crate::endorsements::Endorsements;
use crate::error::{EvidenceError, Failure};
use crate::scheme::{RawEvidence, Scheme};
use crate::verified::Verified;

/// Longest body with everything in it. Source: the sum of its parts, and a signature, 24 PCRs and framing.
const MAX_BODY_BYTES: usize = MAX_HCL_BYTES + MAX_TDX_QUOTE_BYTES + MAX_TPM_ATTEST_BYTES + 2048;

pub(super) struct AzureHcl;

/// A parsed body, still a rumour.
pub(crate) struct HclEvidence {
    blob: blob::HclBlob,
    tpm_quote: Option<tpm::TpmQuote>,
    /// Canonical.
    td_quote: Option<Vec<u8>>,
}

/// A TDX quote that comes as an endorsement of the TDREPORT in a blob; canonical.
#[derive(Debug)]
pub(crate) struct TdQuoteFile(Vec<u8>);

impl Scheme for AzureHcl {
    const KIND: &'static str = EvidenceKind::AZURE_HCL;
    const CHAIN_BESIDE: bool = false;
    type Evidence<'a> = HclEvidence;
    type Endorsement = TdQuoteFile;

    fn parse(raw: RawEvidence<'_>) -> Result<HclEvidence, EvidenceError> {
        if !raw.certificates.is_empty() {
            let message = "the certificates of an Azure VM's platform are endorsements; none may come beside it";
            return Err(malformed("hcl-certificates", message.to_owned()));
        }
        parse(raw.body)
    }

    fn canonical(body: &[u8]) -> Result<&[u8], EvidenceError> {
        let evidence = parse(body)?;
        let used = if is_composed(body) { body.len() } else { evidence.blob.used() };
        Ok(body.get(..used).unwrap_or_default())
    }

    fn recognise(bytes: &[u8]) -> Option<Result<TdQuoteFile, Failure>> {
        let is_quote = matches!(bytes, [4 | 5, 0, 2, 0, 0x81, 0, 0, 0, ..]);
        let unreadable = |error: EvidenceError| Failure::new("td-quote-unreadable", error.to_string());
        is_quote.then(|| Ok(TdQuoteFile(Tdx::canonical(bytes).map_err(unreadable)?.to_vec())))
    }

    /// A quote names no dates of its own; its platform's collateral has them.
    fn describe(endorsement: &TdQuoteFile) -> Vec<VendorStatement> {
        let about = format!("TDX quote of {} bytes for an Azure VM", endorsement.0.len());
        vec![VendorStatement::timeless("TDX quote", &about)]
    }

    fn verify(
        evidence: &HclEvidence,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        now: UnixMillis,
    ) -> Result<Verified<PlatformClaims>, EvidenceError> {
        verify::verify(evidence, endorsements, anchors, now)
    }
}

/// A blob alone, or a blob with what belongs to it.
fn parse(body: &[u8]) -> Result<HclEvidence, EvidenceError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(malformed("hcl-size", format!("{} bytes are over the cap of {MAX_BODY_BYTES}", body.len())));
    }
    if !is_composed(body) {
        return Ok(HclEvidence { blob: blob::HclBlob::parse(body)?, tpm_quote: None, td_quote: None });
    }
    let parts = AzureEvidence::from_bytes(body).map_err(|why| malformed("azure-evidence", why.to_string()))?;
    let blob = blob::HclBlob::parse(&parts.blob)?;
    whole(blob.used(), &parts.blob, "the blob")?;
    if parts.td_quote.is_some() && !blob.report.is_td() {
        return Err(malformed("azure-evidence", "a TDX quote stands beside an SEV-SNP report".to_owned()));
    }
    if let Some(quote) = &parts.td_quote {
        whole(Tdx::canonical(quote)?.len(), quote, "the TDX quote")?;
    }
    let tpm_quote = parts.tpm_quote.map(tpm::TpmQuote::parse).transpose()?;
    Ok(HclEvidence { blob, tpm_quote, td_quote: parts.td_quote })
}

fn is_composed(body: &[u8]) -> bool {
    body.starts_with(&AzureEvidence::prefix())
}

/// Where several pieces come together nothing may follow the part of a piece that counts: digests are taken over all of it.
fn whole(used: usize, bytes: &[u8], what: &str) -> Result<(), EvidenceError> {
    match bytes.len() == used {
        true => Ok(()),
        false => Err(malformed("azure-evidence", format!("bytes follow {what}; collectors cut them off"))),
    }
}

/// What the report inside must be before anybody asks for its signature.
fn check_inner(report: &blob::HardwareReport) -> Result<(), EvidenceError> {
    match report {
        blob::HardwareReport::SevSnp(body) => SevSnp::canonical(body.as_slice()).map(drop),
        blob::HardwareReport::Tdx(_) => Ok(()),
    }
}

fn malformed(code: &'static str, message: String) -> EvidenceError {
    EvidenceError::Malformed(Failure::new(code, message).into())
}
