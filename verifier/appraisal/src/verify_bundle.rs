//! **Duty.** The procedure, top to bottom: bytes, facts that hold at any instant, evidence at an instant, report.
//! **Knows** the order of checks. **Does not know** how any single check is made.
//! **Spec.** PROTOCOL §6–7; docs/CHECKS.md.

use std::cell::Cell;

use weighbridge_attest::Endorsements;
use weighbridge_attest_types::{
    Bundle, BundleError, Culprit, Digest32, LedgerEntry, RosterRow, SamplingLine, ThresholdReport, TrustAnchors,
    UnixMillis,
};

use crate::audit::check_audit;
use crate::check::{CheckResult, Checks, Finding, Outcome};
use crate::ingest::{DeclarationsPart, NodeParts, Parts, ingest, name};
use crate::levels::Level;
use crate::nodes::{CheckedNode, NodeChain, SPARE_SETS, Trust, check_chain, check_evidence};
use crate::proof::{CheckedDeclared, check_declared};
use crate::report::{Grounds, issue};
use crate::time::{CLOCK_SKEW_MILLIS, Period, RowBracket, bracket_row};
use crate::{cross, policy, text, totals};

/// The instant at which evidence is appraised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppraisalTime {
    /// The instant that the bundle archives.
    Archived,
    /// Another one. The archived report must still be what the bundle gives at the archived instant.
    At(UnixMillis),
}

/// What a Verifier brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Whom it trusts.
    pub anchors: TrustAnchors,
    /// When it appraises.
    pub at: AppraisalTime,
}

/// Bytes by which an archived report may be too long and still be compared field by field.
const MAX_REPORT_EXCESS: usize = 64 * 1024;

/// Verifies a bundle from its bytes: same bytes, same options, same outcome.
#[must_use]
pub fn verify_bundle(bytes: &[u8], options: &VerifyOptions) -> Outcome {
    let mut checks = Checks::default();
    let report = verify(bytes, options, &mut checks);
    checks.close(report)
}

fn verify(bytes: &[u8], options: &VerifyOptions, checks: &mut Checks) -> Option<ThresholdReport> {
    let VerifyOptions { anchors, at } = options;
    let bundle = open(bytes, checks)?;
    let parts = ingest(&bundle, checks)?;
    let facts = Facts::establish(&parts, anchors, checks);
    let archived = parts.appraised_at;
    let asked = match at {
        AppraisalTime::Archived => archived,
        AppraisalTime::At(instant) => *instant,
    };
    let report = appraise_at(&parts, &facts, anchors, asked, checks);
    let report = if asked == archived { report } else { also_at(&parts, &facts, anchors, archived, checks) };
    compare_report(&parts, report, checks)
}

/// The report that the members of a bundle give, whether or not they already contain one.
pub(crate) fn recompute(bundle: &Bundle, anchors: &TrustAnchors, checks: &mut Checks) -> Option<ThresholdReport> {
    let parts = ingest(bundle, checks)?;
    let facts = Facts::establish(&parts, anchors, checks);
    appraise_at(&parts, &facts, anchors, parts.appraised_at, checks)
}

fn open(bytes: &[u8], checks: &mut Checks) -> Option<Bundle> {
    match Bundle::parse_bundle(bytes) {
        Ok(bundle) => {
            checks.record("bundle", "container", Ok(format!("{} bytes, every one accounted for", bytes.len())));
            Some(bundle)
        }
        Err(error) => {
            let culprit = match error {
                BundleError::Version(_) => Culprit::Unsupported,
                _ => Culprit::Malformed,
            };
            checks.record("bundle", "container", Err(Finding::fail(culprit, text::chain(&error))));
            None
        }
    }
}

/// What does not depend on the instant of appraisal.
#[derive(Debug)]
struct Facts<'a> {
    genesis: Digest32,
    /// Read once, however much evidence is held against them.
    endorsements: Endorsements,
    /// Per roster row one slot for each chain; empty when the chain does not hold together or is missing.
    chains: Vec<Vec<Option<NodeChain<'a>>>>,
    /// One per roster row.
    brackets: Vec<RowBracket>,
    period: Period,
    declared: Option<CheckedDeclared>,
    sampling: Option<SamplingLine>,
    level: Level,
}

impl<'a> Facts<'a> {
    fn establish(parts: &'a Parts, anchors: &TrustAnchors, checks: &mut Checks) -> Self {
        let genesis = parts.manifest.genesis();
        cross::check_roster(parts, checks);
        policy::check_policy_member(&parts.policy, checks);
        let endorsements = read_endorsements(&parts.endorsements, checks);
        let mut chains = Vec::new();
        let mut brackets = Vec::new();
        for (number, row) in rows(parts) {
            let node = parts.nodes.get(&number).map(Vec::as_slice).unwrap_or_default();
            let checked: Vec<_> = node.iter().map(|chain| check_chain(row, chain, genesis, checks)).collect();
            let ledgers = checked.iter().map(|chain| chain.as_ref().map(NodeChain::ledger));
            let found: Vec<_> = node.iter().zip(ledgers).collect();
            brackets.push(bracket_row(row, &found, anchors, checks));
            chains.push(if checked.is_empty() { vec![None] } else { checked });
        }
        cross::check_chains(chains.iter().flatten(), checks);
        let period = period_of(parts, &brackets);
        let declared = match &parts.proof {
            Some(proof) => check_declared(proof, &parts.manifest, &chains.iter().flatten().collect::<Vec<_>>(), checks),
            None => {
                let finding = Finding::skipped("the bundle makes no statement about declared totals");
                checks.record(name::PROOF, "proof-holds", Err(finding));
                None
            }
        };
        let all: Vec<_> = chains.iter().flatten().collect();
        let sampling = check_audit(&parts.manifest, parts.answers.as_ref(), &all, checks);
        let level = Level::of(&chains, parts.proof.as_ref(), checks);
        if let Some(part) = &parts.declarations {
            checks.record(name::DECLARATIONS, "declarations-model", is_about_model(part, &parts.manifest.model_id));
            checks.record(name::DECLARATIONS, "declarations-provider", is_by_provider(part, &parts.manifest.provider));
        }
        Self { genesis, endorsements, chains, brackets, period, declared, sampling, level }
    }
}

fn period_of(parts: &Parts, brackets: &[RowBracket]) -> Period {
    fn entries(chain: &NodeParts) -> &[LedgerEntry] {
        &chain.ledger.entries
    }
    let ledgers: Vec<Vec<_>> = parts.nodes.values().map(|chains| chains.iter().map(entries).collect()).collect();
    let brackets: Vec<_> = brackets.iter().map(|row| row.whole().clone()).collect();
    Period::of(&brackets, &ledgers)
}

/// Every endorsement is one that a scheme knows and can read, and they stand in the one order that assembling gives
/// them: nobody can add bytes that mean nothing.
fn read_endorsements(files: &[Vec<u8>], checks: &mut Checks) -> Endorsements {
    let endorsements = Endorsements::recognise(files);
    let ascending = files.iter().zip(files.iter().skip(1)).all(|(earlier, later)| earlier < later);
    let unknown = endorsements.unrecognised();
    let result = match (endorsements.within_budget(), ascending, unknown.is_empty()) {
        (Err(error), _, _) => Err(Finding::fail(error.culprit(), text::chain(&error))),
        (Ok(()), true, true) => match endorsements.unreadable().next() {
            None => Ok(format!("{} endorsements, each known to a scheme", files.len())),
            Some(failure) => Err(Finding::untrusted(failure.message.clone())),
        },
        (Ok(()), false, _) => Err(Finding::malformed("endorsements are not in ascending order, or one is repeated")),
        (Ok(()), true, false) => {
            Err(Finding::malformed(format!("no scheme knows these endorsements: {}", text::list(unknown))))
        }
    };
    checks.record(name::ENDORSEMENTS, "endorsements", result);
    endorsements
}

fn rows(parts: &Parts) -> impl Iterator<Item = (u64, &RosterRow)> {
    (0u64..).zip(&parts.manifest.roster)
}

/// A statement about another model says nothing about this run.
fn is_about_model(part: &DeclarationsPart, model_id: &str) -> CheckResult {
    match part.content.model.id == model_id {
        true => Ok("the provider's statement is about this run's model; all of it is declared".to_owned()),
        false => Err(Finding::untrusted("the provider's statement is about another model than the run manifest")),
    }
}

/// A name may be written in several ways: another one is told, and refuses nothing.
fn is_by_provider(part: &DeclarationsPart, provider: &str) -> CheckResult {
    match part.content.provider.legal_name == provider {
        true => Ok("the statement is made in the name of the run manifest's provider".to_owned()),
        false => Err(Finding::unknown(
            "the statement is made in another name than the run manifest's provider; whether they are one is not known",
        )),
    }
}

/// Evidence, devices and policy at one instant; a report only if nothing failed there or before.
fn appraise_at(
    parts: &Parts,
    facts: &Facts<'_>,
    anchors: &TrustAnchors,
    at: UnixMillis,
    checks: &mut Checks,
) -> Option<ThresholdReport> {
    checks.record(name::APPRAISED_AT, "instant", is_after_the_run(at, &facts.period));
    let spare = Cell::new(SPARE_SETS);
    let trust = Trust { endorsements: &facts.endorsements, anchors, now: at, spare: &spare };
    let mut nodes: Vec<CheckedNode<'_>> = Vec::new();
    for ((number, row), chains) in rows(parts).zip(&facts.chains) {
        let Some(node) = parts.nodes.get(&number) else { continue };
        let found = node.iter().zip(chains);
        let found = found.map(|(part, chain)| check_evidence(row, part, chain.as_ref(), facts.genesis, trust, checks));
        let found = found.collect();
        nodes.extend(CheckedNode::join(row, node, found, checks));
    }
    let all_rows_stand = nodes.len() == parts.manifest.roster.len();
    cross::check_devices(&nodes, parts.manifest.roster.len(), checks);
    totals::check_rates(&nodes, checks);
    let appraised = policy::appraise(nodes, checks)?;
    if checks.any_failed() || !all_rows_stand {
        return None;
    }
    let grounds = Grounds {
        manifest: &parts.manifest,
        appraised: &appraised,
        period: &facts.period,
        brackets: &facts.brackets,
        declared: facts.declared.as_ref(),
        sampling: facts.sampling.as_ref(),
        level: &facts.level,
        statement: parts.declarations.as_ref(),
        members: parts.members,
        at,
        anchors,
    };
    Some(issue(&grounds))
}

/// The same at the archived instant; what fails only there is listed with that instant.
fn also_at(
    parts: &Parts,
    facts: &Facts<'_>,
    anchors: &TrustAnchors,
    archived: UnixMillis,
    checks: &mut Checks,
) -> Option<ThresholdReport> {
    let mut then = Checks::default();
    let report = appraise_at(parts, facts, anchors, archived, &mut then);
    checks.adopt_failures(then, &format!("at the archived instant {}", text::instant(archived)));
    report
}

/// Evidence that is appraised before the run ended could lean on endorsements that had been withdrawn by then.
fn is_after_the_run(at: UnixMillis, period: &Period) -> CheckResult {
    let Some((_, to)) = period.ends() else {
        return Err(Finding::skipped("the run has no end to compare the instant with"));
    };
    let (when, end) = (text::instant(at), text::instant(to));
    match (at.0.saturating_add(CLOCK_SKEW_MILLIS) >= to.0, period) {
        (false, _) => Err(Finding::untrusted(format!("appraised at {when}, before the run ended at {end}"))),
        (true, Period::External { .. }) => Ok(format!("appraised at {when}, after the run ended")),
        (true, Period::Host(_)) => {
            Err(Finding::unknown(format!("appraised at {when}; only the host's clock says that the run ended before")))
        }
    }
}

/// The report is a function of all other members, the anchors and the instant: the archived one must be that.
fn compare_report(parts: &Parts, recomputed: Option<ThresholdReport>, checks: &mut Checks) -> Option<ThresholdReport> {
    let Some(bytes) = &parts.report else {
        let finding = Finding::malformed("the bundle does not have this member");
        checks.record(name::REPORT, "member-missing", Err(finding));
        return None;
    };
    let (code, result) = match &recomputed {
        Some(recomputed) => is_same_report(bytes, recomputed),
        None => {
            let why = "checks failed, so there is no report to compare the archived one with";
            ("report-differs", Err(Finding::skipped(why)))
        }
    };
    let same = checks.record(name::REPORT, code, result);
    recomputed.filter(|_| same)
}

/// Bytes first; the archived report is parsed only to name what differs, and only if it is about as long as it should be.
fn is_same_report(archived: &[u8], recomputed: &ThresholdReport) -> (&'static str, CheckResult) {
    let expected = text::json(recomputed);
    let differs = |what: String| ("report-differs", Err(Finding::untrusted(what)));
    if archived == expected {
        return ("report-differs", Ok("recomputed from the other members, byte for byte".to_owned()));
    }
    if archived.len() > expected.len().saturating_add(MAX_REPORT_EXCESS) {
        return differs(format!(
            "the archived report has {} bytes, the recomputed one {}",
            archived.len(),
            expected.len()
        ));
    }
    let parsed = match serde_json::from_slice::<ThresholdReport>(archived) {
        Ok(parsed) => parsed,
        Err(error) => return ("member-parses", Err(Finding::malformed(text::chain(&error)))),
    };
    let fields = differing_fields(&parsed, recomputed);
    let what = if fields.is_empty() { "its spelling".to_owned() } else { text::list(fields) };
    differs(format!(
        "the archived report is not what the other members give under these trust anchors; it differs in: {what}"
    ))
}

/// Names of the report's fields whose values differ.
fn differing_fields(left: &ThresholdReport, right: &ThresholdReport) -> Vec<String> {
    let fields = |report| match serde_json::to_value(report) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let right = fields(right);
    fields(left).into_iter().filter(|(name, value)| right.get(name) != Some(value)).map(|(name, _)| name).collect()
}
