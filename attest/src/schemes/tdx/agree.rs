//! **Duty.** Two foreign verifiers must agree with our own reading; where they do not, the evidence is untrusted and the
//! refusal says who said what. The only module that names `tdx-quote` (AGPL-3.0-or-later, LICENSING.md).
//! **Spec.** EVIDENCE §2.6.
//!
//! `tdx-quote` 0.0.5 does not know the body descriptor of version 5: it refuses every genuine quote of that version. Its
//! refusal is no evidence against one, so there it is asked about the PCK chain only. It also knows no root but Intel's:
//! under an injected anchor it is given the PCK key of the chain that own code has checked.

use tdx_quote::pck::verify_pck_certificate_chain_pem;
use tdx_quote::{Quote, VerifyingKey};
use weighbridge_attest_types::{NotChecked, TcbStatus, UnixMillis};

use super::collateral::{CheckedCollateral, DcapReading};
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
    until: UnixMillis,
    collateral: &CheckedCollateral<'_>,
    evaluation: &Evaluation,
) -> Result<Vec<NotChecked>, Failures> {
    let own = OwnReading { quote, pck, until, evaluation, evaluation_number: collateral.evaluation_number() };
    let dcap = own.dcap_agrees(collateral.dcap_reading(quote, path.anchor()));
    let second = tdx_quote_agrees(quote, path);
    match (dcap, second) {
        (Ok(open), second) => second
            .map(|mut all| {
                all.extend(open);
                all
            })
            .map_err(Failures::from),
        (Err(first), Ok(_)) => Err(first.into()),
        (Err(first), Err(other)) => Err(Failures::of(first, vec![other])),
    }
}

/// What own code read.
struct OwnReading<'q> {
    quote: &'q TdxQuote<'q>,
    pck: &'q PckFacts,
    until: UnixMillis,
    evaluation: &'q Evaluation,
    evaluation_number: u32,
}

impl OwnReading<'_> {
    /// dcap-qvl must read the same; or refuse for exactly a reason that own code foresees. Where it refuses TD attributes,
    /// which it does last of all, its reading of the TCB stays unknown, and that shows.
    fn dcap_agrees(&self, theirs: Result<DcapReading, String>) -> Result<Option<NotChecked>, Failure> {
        let disagree = |theirs: String, ours: String| {
            Err(Failure::new("tdx-readers-disagree", format!("dcap-qvl says: {theirs}; own checks say: {ours}")))
        };
        let expected = expected_refusals(self.quote, self.evaluation);
        match theirs {
            Err(refusal) if expected.iter().any(|start| refusal.starts_with(start)) => Ok(self.unread_tcb()),
            Err(refusal) => disagree(refusal, format!("TCB {:?}, expected {expected:?}", self.evaluation.status)),
            Ok(theirs) if expected.is_empty() && theirs == self.in_their_words() => Ok(None),
            Ok(theirs) => {
                disagree(format!("{theirs:?}"), format!("{:?}, expected {expected:?}", self.in_their_words()))
            }
        }
    }

    fn in_their_words(&self) -> DcapReading {
        DcapReading {
            status: self.evaluation.status,
            relaunch_advised: self.evaluation.relaunch_advised,
            advisories: self.evaluation.advisories.clone(),
            level_date: self.evaluation.level_date,
            evaluation_number: self.evaluation_number,
            pck: self.pck.clone(),
            report: self.quote.report.clone(),
            until: self.until.seconds(),
        }
    }

    fn unread_tcb(&self) -> Option<NotChecked> {
        (self.evaluation.status != TcbStatus::NotSupported).then(|| NotChecked {
            code: "tdx-second-tcb".to_owned(),
            why: "dcap-qvl refuses such TD attributes and says no TCB status then; own code alone evaluated it"
                .to_owned(),
        })
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
    let attributes = quote.report.td10.attributes;
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
    let (body, own) = (&theirs.body, &quote.report.td10);
    let same = theirs.mrtd() == own.mrtd
        && theirs.report_input_data() == own.report_data
        && u64::from_le_bytes(body.tdattributes) == own.attributes.0
        && [theirs.rtmr0(), theirs.rtmr1(), theirs.rtmr2(), theirs.rtmr3()] == own.rtmr
        && body.mrseam == own.mrseam
        && body.mrsignerseam == own.mr_signer_seam
        && [body.mrconfigid, body.mrowner, body.mrownerconfig] == [own.mr_config_id, own.mr_owner, own.mr_owner_config];
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
