//! **Duty.** Two foreign verifiers must agree with our own reading; where they do not, the evidence is untrusted and the
//! refusal says who said what. The only module that names `tdx-quote` (AGPL-3.0-or-later, LICENSING.md).
//! **Spec.** EVIDENCE §2.6.
//!
//! `tdx-quote` 0.0.5 does not know the body descriptor of version 5: it refuses every genuine quote of that version. Its
//! refusal is no evidence against one, so there it is asked about the PCK chain only. It also knows no root but Intel's:
//! under an injected anchor it is given the PCK key of the chain that own code has checked.

use tdx_quote::pck::verify_pck_certificate_chain_pem;
use tdx_quote::{Quote, VerifyingKey};
use weighbridge_attest_types::{NotChecked, TcbStatus};

use super::collateral::CheckedCollateral;
use super::pck::PckFacts;
use super::quote::TdxQuote;
use super::tcb::Evaluation;
use crate::anchors::INTEL_SGX_ROOT;
use crate::error::{Failure, Failures};
use crate::x509::{TrustedPath, public_point};

/// Asks both; returns what could not be asked.
pub(super) fn check(
    quote: &TdxQuote<'_>,
    path: &TrustedPath<'_, '_>,
    pck: &PckFacts,
    collateral: &CheckedCollateral<'_>,
    evaluation: &Evaluation,
) -> Result<Vec<NotChecked>, Failures> {
    let dcap = dcap_agrees(quote, path, pck, collateral, evaluation);
    let second = tdx_quote_agrees(quote, path);
    match (dcap, second) {
        (Ok(()), second) => second.map_err(Failures::from),
        (Err(first), Ok(_)) => Err(first.into()),
        (Err(first), Err(other)) => Err(Failures::of(first, vec![other])),
    }
}

/// dcap-qvl must give the same status, advisories and fields; or refuse for exactly the reason that own code gives.
fn dcap_agrees(
    quote: &TdxQuote<'_>,
    path: &TrustedPath<'_, '_>,
    pck: &PckFacts,
    collateral: &CheckedCollateral<'_>,
    evaluation: &Evaluation,
) -> Result<(), Failure> {
    let disagree = |theirs: String, ours: String| {
        Err(Failure::new("tdx-readers-disagree", format!("dcap-qvl says: {theirs}; own checks say: {ours}")))
    };
    let expected = expected_refusals(quote, evaluation);
    match collateral.dcap_reading(quote, path.anchor()) {
        Err(refusal) if expected.iter().any(|start| refusal.starts_with(start)) => Ok(()),
        Err(refusal) => disagree(refusal, format!("TCB {:?}, expected refusals {expected:?}", evaluation.status)),
        Ok(theirs) => {
            let same = theirs.status == evaluation.status
                && theirs.advisories == evaluation.advisories
                && theirs.ppid == pck.ppid
                && theirs.fmspc == pck.fmspc
                && theirs.mrtd == quote.report.mrtd
                && theirs.report_data == quote.report.report_data
                && u64::from_le_bytes(theirs.attributes) == quote.report.attributes.0;
            if same && expected.is_empty() {
                return Ok(());
            }
            disagree(format!("{theirs:?}"), format!("{evaluation:?} of {:?} by {pck:?}", quote.report))
        }
    }
}

/// How the refusals of dcap-qvl 0.7.1 begin that own code foresees. It stops at the first, so any foreseen one counts.
/// Its last step refuses some TD attributes that policy here decides about; and it knows no status "not supported".
fn expected_refusals(quote: &TdxQuote<'_>, evaluation: &Evaluation) -> Vec<&'static str> {
    if evaluation.status == TcbStatus::NotSupported {
        return vec![
            "No matching TCB level found",
            "No TDX module identity with id TDX_",
            "TDX module ISVSVN ",
            "QE ISVSVN ",
        ];
    }
    let attributes = quote.report.attributes;
    let refusals = [
        (attributes.reserved() != 0, "Reserved bits in TD attributes are set"),
        (attributes.migratable(), "TD migration is enabled"),
        (attributes.service_td() && quote.report.td15.is_none(), "SERVTD_EXT is enabled"),
        (!attributes.sept_ve_disable(), "SEPT_VE_DISABLE is not enabled"),
    ];
    refusals.into_iter().filter(|(refused, _)| *refused).map(|(_, refusal)| refusal).collect()
}

/// tdx-quote must accept what it is able to read.
fn tdx_quote_agrees(quote: &TdxQuote<'_>, path: &TrustedPath<'_, '_>) -> Result<Vec<NotChecked>, Failure> {
    let disagree = |theirs: String| {
        let message = format!("tdx-quote says: {theirs}; own checks say: the signatures and the PCK chain hold");
        Failure::new("tdx-readers-disagree", message)
    };
    let intel = path.anchor().spki_sha256 == INTEL_SGX_ROOT;
    let pck = path.certificates().first().map(public_point).unwrap_or_default();
    let pck =
        VerifyingKey::from_sec1_bytes(pck).map_err(|_| disagree("the PCK key is not a P-256 point".to_owned()))?;
    if quote.version == 4 {
        read_version_4(quote, intel, &pck).map_err(disagree)?;
    } else if intel {
        let theirs = verify_pck_certificate_chain_pem(quote.pck_chain_pem.to_vec());
        let theirs = theirs.map_err(|error| disagree(format!("{error:?}")))?;
        if theirs != pck {
            return Err(disagree("the chain ends in another PCK".to_owned()));
        }
    }
    Ok(unasked(quote.version, intel))
}

fn read_version_4(quote: &TdxQuote<'_>, intel: bool, pck: &VerifyingKey) -> Result<(), String> {
    // Its parser cuts header and body off unchecked; own code has already read both from these bytes.
    let theirs = Quote::from_bytes(quote.canonical()).map_err(|error| format!("{error:?}"))?;
    let same = theirs.mrtd() == quote.report.mrtd
        && theirs.report_input_data() == quote.report.report_data
        && u64::from_le_bytes(theirs.body.tdattributes) == quote.report.attributes.0;
    if !same {
        return Err("the TD report has other fields".to_owned());
    }
    if !intel {
        return theirs.verify_with_pck(pck).map_err(|error| format!("{error:?}"));
    }
    match theirs.verify() {
        Ok(key) if key == *pck => Ok(()),
        Ok(_) => Err("the chain ends in another PCK".to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn unasked(version: u16, intel: bool) -> Vec<NotChecked> {
    let parts = [
        (version == 5, "tdx-second-parser", "tdx-quote cannot read quotes of version 5; own code and dcap-qvl did"),
        (!intel, "tdx-second-chain", "tdx-quote knows no root but Intel's; own code and dcap-qvl checked this chain"),
    ];
    let open = parts.into_iter().filter(|(open, _, _)| *open);
    open.map(|(_, code, why)| NotChecked { code: code.to_owned(), why: why.to_owned() }).collect()
}
