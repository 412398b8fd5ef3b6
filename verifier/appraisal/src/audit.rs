//! **Duty.** The audit of a run in its bundle: the windows that ledgers commit to, the answers beside them, and the sampling
//! table. **Knows** which roots are in quoted heads. **Does not know** how a draw is judged (`weighbridge-audit`), and moves
//! no figure: only a sample could. **Spec.** PROTOCOL §5, §7; COMPUTE §9; decision 0072.

mod line;

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{Culprit, Digest32, NodeKey, RunManifest, SamplingLine};
use weighbridge_audit::{Answers, ChainOutcome, ClosedWindow, LedgerWindow, Outcome};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::name;
use crate::nodes::NodeChain;
use crate::text;

/// Failures that are named one by one.
const MANY: usize = 8;

/// The windows of one chain.
struct ChainWindows {
    node_key: NodeKey,
    /// All of them, quoted or not.
    windows: Vec<LedgerWindow>,
    /// Those that quoted heads hold.
    quoted: u64,
}

/// What the answers of all chains come to.
pub(crate) struct Judged<'a> {
    answers: &'a Answers,
    chains: Vec<ChainOutcome>,
    /// Windows behind the last quoted head of their chain: what is answered of them counts for nothing.
    unquoted: BTreeSet<(Digest32, u64)>,
}

/// Checks everything about the audit; the report's table of it, where the run is audited.
///
/// `chains` holds, row by row, one slot per chain; an empty slot is a chain that is missing or does not hold together.
pub(crate) fn check_audit(
    manifest: &RunManifest,
    answers: Option<&Answers>,
    chains: &[&Option<NodeChain<'_>>],
    checks: &mut Checks,
) -> Option<SamplingLine> {
    let sound = |chain: &&Option<NodeChain<'_>>| chain.as_ref().is_some_and(NodeChain::is_sound);
    let are_sound = chains.iter().all(sound);
    let whole: Option<Vec<&NodeChain<'_>>> = chains.iter().map(|chain| chain.as_ref()).collect();
    let windows: Vec<ChainWindows> = whole.iter().flatten().map(|chain| ChainWindows::of(chain)).collect();
    let count: u64 = windows.iter().map(|chain| chain.windows.len() as u64).fold(0, u64::saturating_add);
    let Some(policy) = manifest.audit() else {
        refuse_unannounced(answers.is_some(), count, checks);
        return None;
    };
    let Some(answers) = answers else {
        let said = format!(
            "the manifest announces an audit, the ledgers commit to {count} windows, and the bundle answers none of their \
             draws: each counts as failed"
        );
        checks.record(name::ANSWERS, "audit-answers", Err(Finding::unknown(said.clone())));
        return Some(line::unanswered(manifest, policy, &windows, said));
    };
    let is_theirs = checks.record(name::ANSWERS, "audit-policy", is_announced(manifest, answers));
    if whole.is_none() || !are_sound || !is_theirs {
        let why = "a ledger does not hold together, or the answers are under another policy";
        checks.record(name::ANSWERS, "audit-answers", Err(Finding::skipped(why)));
        return None;
    }
    let judged = judge(manifest, answers, &windows, checks)?;
    let result = line::answered(&judged, &windows);
    let (line, verdict) = match result {
        Ok(both) => both,
        Err(error) => {
            checks.record(name::ANSWERS, "audit-draws", Err(Finding::fail(error.culprit(), text::chain(&error))));
            return None;
        }
    };
    checks.record(name::ANSWERS, "audit-draws", verdict);
    Some(line)
}

/// Windows and answers that no manifest announced: nobody said before the run how they are drawn.
fn refuse_unannounced(has_answers: bool, windows: u64, checks: &mut Checks) {
    if has_answers || windows > 0 {
        let what = if has_answers { "the bundle answers draws" } else { "the ledgers commit to windows" };
        let finding = Finding::untrusted(format!("{what}, and the run manifest announces no audit"));
        checks.record(name::ANSWERS, "audit-policy", Err(finding));
    }
}

/// Both policies and the source of randomness are those that genesis names.
fn is_announced(manifest: &RunManifest, answers: &Answers) -> CheckResult {
    let grade = answers.policy.randomness().grade().as_str();
    let pairs = [
        ("audit policy", manifest.audit() == Some(answers.policy.digest())),
        ("numeric policy", manifest.numeric() == Some(answers.numeric.digest())),
        ("randomness rule", manifest.randomness_rule == grade),
    ];
    let wrong: Vec<&str> = pairs.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
    match wrong.is_empty() {
        true => Ok(format!("under the audit and numeric policies of the run manifest; challenges: {grade}")),
        false => Err(Finding::untrusted(format!(
            "under another {} than the run manifest names",
            text::list(wrong.into_iter())
        ))),
    }
}

/// Every chain that commits to windows has its answers, no other has; each answer opens what was drawn.
fn judge<'a>(
    manifest: &RunManifest,
    answers: &'a Answers,
    windows: &[ChainWindows],
    checks: &mut Checks,
) -> Option<Judged<'a>> {
    let with_windows: Vec<&ChainWindows> = windows.iter().filter(|chain| !chain.windows.is_empty()).collect();
    let expected: BTreeSet<NodeKey> = with_windows.iter().map(|chain| chain.node_key).collect();
    let found: BTreeSet<NodeKey> = answers.chains.iter().map(|chain| chain.node_key).collect();
    // A ledger that is there twice would have its answers judged twice.
    if expected.len() != with_windows.len() || expected != found {
        let (expected, found) = (with_windows.len(), found.len());
        let finding = Finding::untrusted(format!(
            "{expected} chains commit to windows, and there are answers under {found} keys that are not all theirs"
        ));
        checks.record(name::ANSWERS, "audit-windows", Err(finding));
        return None;
    }
    let mut chains = Vec::new();
    for chain in &with_windows {
        let of_key = answers.chains.iter().find(|found| found.node_key == chain.node_key)?;
        match answers.judge(of_key, manifest.genesis(), &chain.windows) {
            Ok(outcome) => chains.push(outcome),
            Err(error) => {
                let code = match error {
                    weighbridge_audit::AnswersError::Answer { .. } => "audit-answers",
                    _ => "audit-windows",
                };
                checks.record(name::ANSWERS, code, Err(Finding::fail(error.culprit(), text::chain(&error))));
                return None;
            }
        }
    }
    let behind = |chain: &&ChainWindows| {
        let key = chain.node_key.digest();
        let all = chain.windows.iter().map(move |window| (key, window.index));
        all.skip(usize::try_from(chain.quoted).unwrap_or(usize::MAX)).collect::<Vec<_>>()
    };
    let unquoted: BTreeSet<(Digest32, u64)> = with_windows.iter().flat_map(behind).collect();
    let all: u64 = with_windows.iter().map(|chain| chain.windows.len() as u64).fold(0, u64::saturating_add);
    let silent = windows.len().saturating_sub(with_windows.len());
    checks.record(name::ANSWERS, "audit-windows", holds_windows(all, unquoted.len() as u64, silent));
    let judged: usize = chains.iter().map(|chain| chain.judged.len()).fold(0, usize::saturating_add);
    let said = format!("{judged} answers, each opens the tile that its draw falls on");
    checks.record(name::ANSWERS, "audit-answers", Ok(said));
    Some(Judged { answers, chains, unquoted })
}

fn holds_windows(all: u64, unquoted: u64, silent: usize) -> CheckResult {
    let others = if silent == 0 { String::new() } else { format!("; {silent} chains commit to no window") };
    match unquoted {
        0 if all == 0 => Err(Finding::unknown("an audit was announced, and no chain commits to a window".to_owned())),
        0 => Ok(format!("the roots of {all} windows stand in quoted heads, and open{others}")),
        _ => Err(Finding::unknown(format!(
            "{unquoted} of {all} windows stand behind the last quoted head: their draws count as unanswered"
        ))),
    }
}

impl ChainWindows {
    fn of(chain: &NodeChain<'_>) -> Self {
        let mut windows = Vec::new();
        let mut quoted = 0u64;
        for entry in chain.ledger().entries() {
            for window in &entry.public.windows {
                let ends = entry.public.end_wall;
                windows.push(LedgerWindow { index: window.index, root: window.root, quoted: ends });
                quoted = quoted.saturating_add(u64::from(entry.public.index <= chain.quoted_through()));
            }
        }
        Self { node_key: chain.node_key(), windows, quoted }
    }
}

impl Judged<'_> {
    /// All windows, with what stands behind a last quoted head as unanswered.
    fn closed(&self) -> Vec<ClosedWindow> {
        let mut closed: Vec<ClosedWindow> = self.chains.iter().flat_map(|chain| chain.closed.clone()).collect();
        for window in closed.iter_mut().filter(|window| self.unquoted.contains(&(window.node_key_digest, window.index)))
        {
            for count in &mut window.counts {
                let lost = count.passed.saturating_add(count.not_proven);
                count.unanswered = count.unanswered.saturating_add(lost);
                (count.passed, count.not_proven) = (0, 0);
            }
        }
        closed
    }

    /// Whether a quoted head holds this window.
    fn is_quoted(&self, node_key: Digest32, index: u64) -> bool {
        !self.unquoted.contains(&(node_key, index))
    }

    /// What came of the answers that count: those of windows in quoted heads.
    fn counted(&self) -> impl Iterator<Item = &weighbridge_audit::Judged> {
        let of_chain = |chain: &ChainOutcome| chain.closed.first().map(|window| window.node_key_digest);
        let chains = self.chains.iter().filter_map(move |chain| Some((of_chain(chain)?, chain)));
        let all =
            chains.flat_map(|(key, chain)| chain.judged.iter().map(move |(index, _, found)| (key, *index, found)));
        all.filter(|(key, index, _)| self.is_quoted(*key, *index)).map(|(_, _, found)| found)
    }

    /// How many windows each key committed: none may be missing.
    fn committed(&self) -> BTreeMap<Digest32, u64> {
        let mut committed = BTreeMap::new();
        for window in self.chains.iter().flat_map(|chain| &chain.closed) {
            let count: &mut u64 = committed.entry(window.node_key_digest).or_default();
            *count = count.saturating_add(1);
        }
        committed
    }

    /// Draws of one outcome by name, the first few.
    fn named(&self, outcome: Outcome) -> String {
        let all = self.chains.iter().flat_map(|chain| chain.of(outcome));
        let words = all
            .take(MANY)
            .map(|(window, (stratum, draw), why)| format!("window {window}, stratum {stratum}, draw {draw}: {why}"));
        text::list(words)
    }
}

/// Draws that did not pass: a refused one is a finding at any count, all others are failures of the sample.
fn draws_hold(judged: &Judged<'_>, [passed, not_proven, refused, unanswered]: [u64; 4]) -> CheckResult {
    if refused > 0 {
        let named = judged.named(Outcome::Refused);
        let said = format!("{refused} draws show a wrong result ({named})");
        return Err(Finding::fail(Culprit::Rejected, said));
    }
    let failed = not_proven.saturating_add(unanswered);
    let all = passed.saturating_add(failed);
    if all == 0 {
        return Err(Finding::unknown("nothing was drawn: no window holds work".to_owned()));
    }
    if failed > 0 {
        let named = judged.named(Outcome::NotProven);
        return Err(Finding::unknown(format!(
            "{failed} of {all} draws count as failed: {unanswered} unanswered, {not_proven} not proven ({named})"
        )));
    }
    Ok(format!("{passed} of {all} draws passed"))
}
