//! **Duty.** The only constructor of a [`ThresholdReport`], from checked values alone.
//! **Knows** what each line rests on and which grade that lends. **Does not know** bytes, and checks nothing.
//! **Spec.** COMPUTE §7–10; PROTOCOL §1 (grades), §6 (grade comes from the trust anchor), §7.

mod clock;
mod forecast;
mod law;
mod prose;
pub(crate) mod rules;
mod work;

use std::collections::BTreeMap;

use weighbridge_attest_types::{
    AttemptLine, BracketLine, ChainLine, CheckpointCommitment, CheckpointLine, CoverageLine, DeviceLine, Digest32,
    FleetLine, Flops, GapLine, Grade, NodeLine, PeriodLine, ProfileOrigin, RosterDevice, RunManifest, SamplingLine,
    Sentence, StatementLine, ThresholdProfile, ThresholdReport, TrustAnchors, UnixMillis, built_in_profiles,
    two_figures,
};

use crate::coverage::{ChainTime, NodeTime, cover};
use crate::ingest::DeclarationsPart;
use crate::levels::Level;
use crate::nodes::{CheckedChain, CheckedNode};
use crate::policy::Appraised;
use crate::proof::CheckedDeclared;
use crate::time::{NodeBracket, Period, RowBracket, TokenAnchor, TokenTime};
use crate::totals::{CeilingRate, ceiling_of, inventory_bound};
use crate::verdict::{Bracket, Completeness};

pub use rules::RULES;

const FORMAT: &str = "weighbridge/report/v1";

/// What a report is issued from: everything in it has passed its checks.
#[derive(Debug)]
pub(crate) struct Grounds<'a> {
    pub(crate) manifest: &'a RunManifest,
    pub(crate) appraised: &'a Appraised<'a>,
    pub(crate) period: &'a Period,
    /// One per node.
    pub(crate) brackets: &'a [RowBracket],
    pub(crate) declared: Option<&'a CheckedDeclared>,
    pub(crate) sampling: Option<&'a SamplingLine>,
    pub(crate) level: &'a Level,
    pub(crate) statement: Option<&'a DeclarationsPart>,
    /// Digest of all other members.
    pub(crate) members: Digest32,
    pub(crate) at: UnixMillis,
    pub(crate) anchors: &'a TrustAnchors,
}

/// Issues the report: figures first, then what follows from them alone.
pub(crate) fn issue(grounds: &Grounds<'_>) -> ThresholdReport {
    let mut report = figures(grounds);
    report.ledger = work::work_lines(&report);
    report.estimate = work::estimate_line(&report);
    report.forecast = forecast::forecast_line(&report);
    judge_profiles(&mut report, &built_in_profiles(), ProfileOrigin::BuiltIn);
    report
}

/// Adds a line per profile. It needs nothing but the report, so that a reader's own threshold is weighed by the same
/// rule as a law's.
pub(crate) fn judge_profiles(report: &mut ThresholdReport, profiles: &[ThresholdProfile], origin: ProfileOrigin) {
    let lines: Vec<_> = profiles.iter().map(|profile| law::profile_line(report, profile, origin)).collect();
    report.profiles.extend(lines);
}

fn figures(grounds: &Grounds<'_>) -> ThresholdReport {
    let Grounds { manifest, appraised, period, brackets, declared, sampling, level, statement, members, at, anchors } =
        grounds;
    let evidence = appraised.grade();
    let (coverage, gaps) = coverage(grounds);
    let mut not_checked = appraised.not_checked();
    not_checked.extend(appraised.waivers());
    let warning = prose::warning(&graded_anchors(grounds));
    let checkpoints = checkpoint_lines(appraised, evidence);
    ThresholdReport {
        format: FORMAT.to_owned(),
        level: level.as_str().to_owned(),
        level_basis: prose::level_basis(level.basis(), *sampling),
        provider: manifest.provider.clone(),
        model_id: manifest.model_id.clone(),
        phase: manifest.phase.clone(),
        genesis: manifest.genesis(),
        members: *members,
        appraised_at: *at,
        endorsements_valid_until: appraised.valid_until(),
        policy: appraised.policy_line(),
        anchors: anchor_lines(appraised, brackets, anchors),
        period: period_line(period),
        fleet: fleet_lines(appraised, period),
        bracket: bracket_line(grounds, &coverage),
        estimate: None,
        profiles: Vec::new(),
        ledger: Vec::new(),
        forecast: None,
        statement: statement.map(|part| statement_line(part, evidence)),
        totals: level.totals(evidence),
        declared: declared.map(|declared| declared.lines(evidence)).unwrap_or_default(),
        audit: prose::audit(*sampling),
        sampling: sampling.map(|line| SamplingLine { grade: Grade::Declared.min(evidence), ..line.clone() }),
        nodes: appraised.nodes().iter().zip(*brackets).map(|(node, times)| node_line(node, times, period)).collect(),
        coverage,
        gaps,
        attempts: attempt_lines(&checkpoints),
        checkpoints,
        not_checked,
        assumptions: prose::assumptions(&rate_bases(appraised), declared.is_some(), !time_anchors(brackets).is_empty()),
        not_proven: prose::not_proven(period, declared.is_some(), stated_by(manifest, *statement), *sampling),
        verify_command: prose::verify_command(&warning),
        warning,
    }
}

fn bracket_line(grounds: &Grounds<'_>, coverage: &CoverageLine) -> BracketLine {
    let rates = rates(grounds.appraised);
    let upper = grounds.period.millis().and_then(|millis| inventory_bound(rates.iter().copied(), millis));
    // Nothing but a sample of audited steps supports a lower bound, and a bundle carries none yet: a self-check is none.
    let bracket = Bracket { lower: Flops(0), upper };
    let (complete, text) = match completeness(grounds, coverage) {
        Completeness::Covered(text) => (true, text),
        Completeness::Missing(text) => (false, text),
    };
    let basis =
        ["check:evidence-devices", "check:ledger-quoted", "check:time-order", "check:ceiling-rate", "field:/coverage"];
    BracketLine {
        lower: bracket.lower,
        lower_two_figures: two_figures(bracket.lower.0),
        lower_basis: prose::lower_basis(grounds.sampling),
        upper,
        upper_two_figures: upper.map(|upper| two_figures(upper.0)),
        upper_basis: prose::upper_basis(grounds.period, rates.len(), &rate_bases(grounds.appraised)),
        width: bracket.width(),
        grade: bracket_grade(grounds),
        clock: grounds.period.clock().to_owned(),
        complete,
        completeness: Sentence::on(basis, text),
    }
}

fn period_line(period: &Period) -> Option<PeriodLine> {
    let (from, to) = period.ends()?;
    Some(PeriodLine { from, to, charged_millis: external_millis(period) })
}

/// Accelerators by chip family and declared SKU.
fn fleet_lines(appraised: &Appraised<'_>, period: &Period) -> Vec<FleetLine> {
    let mut kinds: BTreeMap<(String, String), u64> = BTreeMap::new();
    for node in appraised.nodes() {
        for device in devices(node) {
            let count = kinds.entry((chip_family(node, device), device.sku.clone())).or_default();
            *count = count.saturating_add(1);
        }
    }
    let line = |((chip_family, sku), count): ((String, String), u64)| FleetLine {
        chip_family,
        sku,
        count,
        device_millis: external_millis(period).map(|millis| millis.saturating_mul(count)),
    };
    kinds.into_iter().map(line).collect()
}

fn chip_family(node: &CheckedNode<'_>, device: &RosterDevice) -> String {
    node.chip_family(device.device).map_or_else(|| "unknown".to_owned(), |family| family.0.clone())
}

fn stated_by(manifest: &RunManifest, statement: Option<&DeclarationsPart>) -> prose::StatedBy {
    match statement.map(|part| part.content.provider.legal_name == manifest.provider) {
        None => prose::StatedBy::Nobody,
        Some(true) => prose::StatedBy::Provider,
        Some(false) => prose::StatedBy::Other,
    }
}

fn statement_line(part: &DeclarationsPart, evidence: Grade) -> StatementLine {
    StatementLine { sha256: part.digest, content: part.content.clone(), grade: Grade::Declared.min(evidence) }
}

/// Attempts that checkpoints were seen of; steps between two checkpoints leave no trace here.
fn attempt_lines(checkpoints: &[CheckpointLine]) -> Vec<AttemptLine> {
    let mut attempts: BTreeMap<u16, AttemptLine> = BTreeMap::new();
    for line in checkpoints {
        let CheckpointLine { attempt, step, grade, .. } = *line;
        let fresh = AttemptLine { attempt, checkpoints: 0, first_step: step, last_step: step, grade };
        let seen = attempts.entry(attempt).or_insert(fresh);
        seen.checkpoints = seen.checkpoints.saturating_add(1);
        seen.first_step = seen.first_step.min(step);
        seen.last_step = seen.last_step.max(step);
    }
    attempts.into_values().collect()
}

/// The upper figure rests on evidence and on time; a host's clock is only declared.
fn bracket_grade(grounds: &Grounds<'_>) -> Grade {
    let time = match grounds.period {
        Period::External { grade, .. } => *grade,
        Period::Host(_) => Grade::Declared,
    };
    time.min(grounds.appraised.grade())
}

/// Complete = external bracket, at least one quoted interval and one accelerator on every node, and a ceiling rate for
/// every device.
fn completeness(grounds: &Grounds<'_>, coverage: &CoverageLine) -> Completeness {
    let rates = rates(grounds.appraised);
    if matches!(grounds.period, Period::Host(_)) {
        return Completeness::Missing("no external bracket bounds the time of every node".to_owned());
    }
    let nodes = grounds.appraised.nodes();
    let is_quoted = |chain: &CheckedChain<'_>| chain.chain().quoted_through() > 0;
    let unquoted = nodes.iter().filter(|node| !node.chains().iter().any(is_quoted)).count();
    if unquoted > 0 || grounds.period.millis() == Some(0) {
        return Completeness::Missing(format!("{unquoted} nodes have no quoted interval, or the period has no length"));
    }
    // A node that reports no accelerator cannot be told from one whose image hides them.
    let without = nodes.iter().filter(|node| devices(node).next().is_none()).count();
    if without > 0 || rates.is_empty() {
        return Completeness::Missing(format!("{without} nodes of the roster have no accelerator to weigh"));
    }
    let unknown = rates.iter().filter(|rate| rate.is_none()).count();
    if unknown > 0 {
        return Completeness::Missing(format!("no ceiling rate is established for {unknown} accelerators"));
    }
    let is_silent = |node: &&CheckedNode<'_>| node.chains().last().is_some_and(|chain| !is_quoted(chain));
    let silent = nodes.iter().filter(is_silent).count();
    Completeness::Covered(prose::rests_on(rates.len(), grounds.period.millis(), coverage, silent))
}

fn coverage(grounds: &Grounds<'_>) -> (CoverageLine, Vec<GapLine>) {
    let nodes: Vec<_> = grounds.appraised.nodes().iter().map(node_time).collect();
    cover(&nodes, external_millis(grounds.period))
}

fn node_time<'a>(node: &CheckedNode<'a>) -> NodeTime<'a> {
    let chain = |checked: &CheckedChain<'a>| {
        let chain = checked.chain();
        ChainTime {
            node_key: chain.node_key(),
            intervals: chain.ledger().entries().iter().map(|entry| &entry.public).collect(),
            quoted_through: chain.quoted_through(),
        }
    };
    NodeTime {
        chains: node.chains().iter().map(chain).collect(),
        devices: devices(node).map(|row| (row.device, rate(node, row))).collect(),
    }
}

/// Only an external bracket is charged for; a period by host clocks is a condition, not a charge.
fn external_millis(period: &Period) -> Option<u64> {
    match period {
        Period::External { .. } => period.millis(),
        Period::Host(_) => None,
    }
}

fn node_line(node: &CheckedNode<'_>, times: &RowBracket, period: &Period) -> NodeLine {
    let row = node.row();
    let chains: Vec<ChainLine> =
        node.chains().iter().zip(times.chains()).map(|(chain, own)| chain_line(chain, own)).collect();
    let charged_millis = external_millis(period);
    let device_line = |device: &RosterDevice| DeviceLine {
        device: device.device,
        chip_family: chip_family(node, device),
        sku: device.sku.clone(),
        ceiling_flop_per_second: rate(node, device),
        charged_millis,
    };
    NodeLine {
        node_key: row.node_key,
        cpu_kind: row.cpu_kind.to_string(),
        devices: row.devices.iter().map(device_line).collect(),
        intervals: chains.iter().map(|chain| chain.intervals).fold(0, u64::saturating_add),
        quoted_through: chains.last().map_or(0, |chain| chain.quoted_through),
        quotes: chains.iter().map(|chain| chain.quotes).fold(0, u64::saturating_add),
        chains,
        not_before: times.whole().not_before().map(TokenTime::at),
        not_after: times.whole().not_after().map(TokenTime::at),
        not_before_by: times.whole().not_before().map(|token| token.by().to_owned()),
        not_after_by: times.whole().not_after().map(|token| token.by().to_owned()),
        grade: node.grade(),
    }
}

fn chain_line(checked: &CheckedChain<'_>, own: &NodeBracket) -> ChainLine {
    let chain = checked.chain();
    let publics = || chain.ledger().entries().iter().map(|entry| &entry.public);
    ChainLine {
        node_key: chain.node_key(),
        predecessor: chain.ledger().start().predecessor,
        intervals: chain.ledger().last_index(),
        quoted_through: chain.quoted_through(),
        quotes: chain.parts().head_quotes.len() as u64,
        starts: publics().next().map(|public| public.start_wall),
        ends: publics().next_back().map(|public| public.end_wall),
        not_before: own.not_before().map(TokenTime::at),
    }
}

/// The daemon hashes checkpoints itself, but no reference value pins its image yet: what it says is declared.
fn checkpoint_lines(appraised: &Appraised<'_>, evidence: Grade) -> Vec<CheckpointLine> {
    let of_chain = |checked: &CheckedChain<'_>| {
        let node_key = checked.chain().node_key();
        let entries = checked.chain().ledger().entries().iter();
        let commitments = entries.flat_map(|entry| &entry.public.checkpoints);
        let line = move |commitment: &CheckpointCommitment| CheckpointLine {
            node_key,
            attempt: commitment.attempt,
            step: commitment.step,
            fast_root: commitment.fast_root,
            algebraic_root: commitment.algebraic_root,
            grade: Grade::Declared.min(evidence),
        };
        commitments.map(line).collect::<Vec<_>>()
    };
    appraised.nodes().iter().flat_map(CheckedNode::chains).flat_map(of_chain).collect()
}

fn devices<'a>(node: &CheckedNode<'a>) -> impl Iterator<Item = &'a RosterDevice> {
    node.row().devices.iter()
}

fn rate(node: &CheckedNode<'_>, row: &RosterDevice) -> Option<Flops> {
    ceiling_of(node, row.device).map(CeilingRate::flop_per_second)
}

fn rates(appraised: &Appraised<'_>) -> Vec<Option<Flops>> {
    appraised.nodes().iter().flat_map(|node| devices(node).map(|row| rate(node, row))).collect()
}

/// Each rate that was charged, in words, once.
fn rate_bases(appraised: &Appraised<'_>) -> Vec<String> {
    let rows = appraised.nodes().iter().flat_map(|node| devices(node).filter_map(|row| ceiling_of(node, row.device)));
    let mut bases: Vec<String> = rows.map(CeilingRate::basis).collect();
    bases.sort_unstable();
    bases.dedup();
    bases
}

/// Time anchors whose tokens count, each once.
fn time_anchors(brackets: &[RowBracket]) -> Vec<&TokenAnchor> {
    let tokens = brackets.iter().flat_map(RowBracket::tokens);
    let mut anchors: Vec<_> = tokens.map(TokenTime::anchor).collect();
    anchors.sort_unstable_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    anchors.dedup();
    anchors
}

fn anchor_lines(appraised: &Appraised<'_>, brackets: &[RowBracket], anchors: &TrustAnchors) -> Vec<String> {
    let time = time_anchors(brackets).into_iter().map(|anchor| {
        let TokenAnchor { name, grade, fingerprint } = anchor;
        format!("{name} ({}, {fingerprint})", grade.as_str())
    });
    appraised.anchor_lines(anchors).into_iter().chain(time).collect()
}

/// Grade and name of every anchor that anything in the report rests on.
fn graded_anchors<'a>(grounds: &Grounds<'a>) -> Vec<(Grade, &'a str)> {
    let time = time_anchors(grounds.brackets).into_iter().map(|anchor| (anchor.grade, anchor.name.as_str()));
    grounds.appraised.graded_anchors().into_iter().chain(time).collect()
}

#[cfg(test)]
mod tests;
