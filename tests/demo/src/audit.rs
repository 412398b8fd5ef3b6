//! **Duty.** One rank's side of the audit: commits the traces of audited steps window by window, and answers the draws of each
//! window once its root is with the node. **Knows** traces and the policy. **Does not know** sockets, or whether an answer
//! passes. **Spec.** PROTOCOL §5 (mode `committed`); TRAINING §7 (answer before state is deleted).
//!
//! The challenge comes from the root alone: grade `self-check`. A run that is to be believed takes a beacon.

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Digest32, NodeKey, RunManifest, UnixMillis, sha256};
use weighbridge_audit::trace::{Trace, TraceError};
use weighbridge_audit::{
    Answer, AnswerFault, Answers, AuditMode, AuditPolicy, ChainAnswers, ChallengedWindow, CommittedUnit, Format, Key,
    NumericPolicy, OperationPolicy, RandomnessRule, RankRange, Ranks, RanksError, Revealed, Risk, Salts, Stratum,
    TraceCommitError, TraceWindow, Weight, WindowAnswers, WindowChain, WindowError, commit_trace, window_root,
};
use weighbridge_daemon_api::WindowReport;

use crate::ambient::random;
use crate::trace::Captured;

/// Steps between two audited ones.
pub(crate) const AUDIT_EVERY: u64 = 25;
/// Units of one window: so many traces of some 10 MB are kept until they are answered.
const UNITS_PER_WINDOW: usize = 4;
/// Most FLOP of a window: four units of 0.42 GFLOP, with room.
const FLOP_CAP: u128 = 2_000_000_000;
/// Most entries of links of a window.
const LINK_CAP: u128 = 100_000_000;
/// Draws of each stratum from each window: a demonstration, and far too few for a claim.
const DRAWS: u32 = 3;
/// How long answers may take.
const DEADLINE_MILLIS: u64 = 600_000;

/// Why the audit came to nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum AuditError {
    /// A trace that our own capture wrote and our own parser refuses.
    #[error("a captured step is no trace")]
    Trace(#[from] TraceError),
    /// A trace that cannot be committed.
    #[error("a captured step cannot be committed")]
    Commit(#[from] TraceCommitError),
    /// Windows in an order that no audit has.
    #[error("a window cannot be drawn from")]
    Window(#[from] WindowError),
    /// A draw without an answer.
    #[error("a draw cannot be answered")]
    Answer(#[from] AnswerFault),
    /// A rank that no range holds.
    #[error("the ranks of a node are no ranks")]
    Ranks(#[from] RanksError),
    /// A policy that makes no sense.
    #[error("the demo's audit policy makes no sense")]
    Policy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No randomness for salts.
    #[error("no randomness for the salts of a window")]
    Random(#[source] std::io::Error),
    /// A trace before the run's manifest was known.
    #[error("a step was captured before the node was in a run")]
    NoRun,
}

impl AuditError {
    /// Who has to act.
    #[must_use]
    pub(crate) const fn culprit(&self) -> Culprit {
        match self {
            Self::Random(_) => Culprit::Unavailable,
            _ => Culprit::Internal,
        }
    }
}

/// How the demo is audited; both digests stand in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    /// Mode, randomness, strata.
    pub(crate) audit: AuditPolicy,
    /// Formats and envelopes.
    pub(crate) numeric: NumericPolicy,
}

/// One rank's open work.
pub(crate) struct Auditor {
    policies: Policies,
    rank: u32,
    key: Option<Keyed>,
    waiting: Vec<(Captured, Vec<CommittedUnit>)>,
    answered: Vec<(NodeKey, Vec<Answered>)>,
}

/// What belongs to one node key.
struct Keyed {
    genesis: Digest32,
    node_key: NodeKey,
    salts: Salts,
    next: u64,
    last: Option<Key>,
}

/// A window with the answers to all its draws.
#[derive(Debug)]
struct Answered {
    root: weighbridge_audit::Node,
    salt: [u8; 28],
    answers: Vec<Answer>,
}

/// A window whose root goes to the node before anything is drawn from it.
pub(crate) struct Closing {
    /// What the node is told.
    pub(crate) report: WindowReport,
    window: TraceWindow,
    traces: Vec<Captured>,
    salt: [u8; 28],
}

impl Policies {
    /// The demo's.
    ///
    /// # Errors
    /// [`AuditError::Policy`].
    pub(crate) fn new() -> Result<Self, AuditError> {
        let half = Risk::new(25_000).map_err(|error| AuditError::Policy(error.into()))?;
        let stratum = |weight, cap| Stratum { weight, cap, draws: DRAWS, risk: half };
        let strata = vec![stratum(Weight::Flop, FLOP_CAP), stratum(Weight::Link, LINK_CAP)];
        let rule = RandomnessRule::SelfCheck;
        let audit = AuditPolicy::new(AuditMode::Committed, rule, DEADLINE_MILLIS, Risk::FIVE_PERCENT, strata);
        let audit = audit.map_err(|error| AuditError::Policy(error.into()))?;
        Ok(Self { audit, numeric: NumericPolicy::uniform(OperationPolicy::of(Format::F32, Format::F32)) })
    }

    /// Names them in a manifest, before the run.
    pub(crate) fn announce(&self, manifest: &mut RunManifest) {
        manifest.audit_policy = hex::encode(self.audit.digest().0);
        manifest.numeric_policy = hex::encode(self.numeric.digest().0);
        manifest.randomness_rule = self.audit.randomness().grade().as_str().to_owned();
    }

    /// All answers of a run, as they travel.
    ///
    /// # Errors
    /// [`AuditError::Ranks`].
    pub(crate) fn answers(&self, auditors: Vec<Auditor>, answered: UnixMillis) -> Result<Answers, AuditError> {
        let mut chains = Vec::new();
        for auditor in auditors {
            let range = RankRange { attempts: (0, u16::MAX), ranks: (auditor.rank, auditor.rank) };
            let ranks = Ranks::new(vec![range])?;
            for (node_key, windows) in auditor.answered {
                let window = |Answered { root, salt, answers }| WindowAnswers { root, salt, answered, answers };
                let windows = windows.into_iter().map(window).collect();
                chains.push(ChainAnswers { node_key, ranks: ranks.clone(), windows });
            }
        }
        chains.sort_by_key(|chain| chain.node_key);
        Ok(Answers { policy: self.audit.clone(), numeric: self.numeric.clone(), chains })
    }
}

impl Auditor {
    /// Of a rank that is alone on its node.
    pub(crate) const fn new(policies: Policies, rank: u32) -> Self {
        Self { policies, rank, key: None, waiting: Vec::new(), answered: Vec::new() }
    }

    /// Under which key the node is now; windows of a new one count from 0 again.
    ///
    /// # Errors
    /// [`AuditError::Random`].
    pub(crate) fn under(&mut self, genesis: Digest32, node_key: NodeKey) -> Result<(), AuditError> {
        if self.key.as_ref().is_some_and(|key| key.node_key == node_key) {
            return Ok(());
        }
        let secret = random().map_err(AuditError::Random)?;
        let last = self.key.as_ref().and_then(|key| key.last);
        self.key = Some(Keyed { genesis, node_key, salts: Salts::new(secret), next: 0, last });
        self.answered.push((node_key, Vec::new()));
        Ok(())
    }

    /// Commits the trace of a step.
    ///
    /// # Errors
    /// [`AuditError`].
    pub(crate) fn take(&mut self, captured: Captured) -> Result<(), AuditError> {
        let Some(Keyed { salts, .. }) = &self.key else { return Err(AuditError::NoRun) };
        let trace = Trace::parse(&captured.graph, &captured.tensors)?;
        let units = commit_trace(&trace, sha256(&captured.graph), salts)?;
        self.waiting.push((captured, units));
        Ok(())
    }

    /// Whether as many units wait as a window holds.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= UNITS_PER_WINDOW
    }

    /// Closes the window over all units that wait, if there are any.
    ///
    /// # Errors
    /// [`AuditError`].
    pub(crate) fn close(&mut self) -> Result<Option<Closing>, AuditError> {
        let Some(key) = &self.key else { return Ok(None) };
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let (traces, units): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        let window = TraceWindow::new(units.concat())?;
        let salt = key.salts.window(key.next);
        let report = WindowReport { index: key.next, root: window_root(key.next, window.root(), &salt) };
        Ok(Some(Closing { report, window, traces, salt }))
    }

    /// Answers every draw of a window whose root the node has.
    ///
    /// # Errors
    /// [`AuditError`].
    pub(crate) fn answer(&mut self, closing: Closing) -> Result<(), AuditError> {
        let Closing { report, window, traces, salt } = closing;
        let Some(key) = &mut self.key else { return Err(AuditError::NoRun) };
        let policy = self.policies.audit.clone();
        let strata = policy.strata().to_vec();
        let mut chain = WindowChain::continued(key.genesis, key.node_key.digest(), policy, (key.next, key.last))?;
        // When the head that holds it is quoted is not known here, and nothing of a self-check depends on it.
        let times = (UnixMillis(0), UnixMillis(0));
        let committed = chain.commit((report.index, report.root), (*window.root(), &salt), times)?;
        let challenged = committed.challenge(&Revealed::Nothing)?;
        let parsed: Result<Vec<Trace<'_>>, TraceError> =
            traces.iter().map(|captured| Trace::parse(&captured.graph, &captured.tensors)).collect();
        let parsed = parsed?;
        let mut answers = Vec::new();
        for (stratum, Stratum { draws, .. }) in (0u8..).zip(&strata) {
            for draw in 0..*draws {
                answers.extend(answer(&window, &challenged, (stratum, draw), &parsed, &self.policies.numeric)?);
            }
        }
        (key.next, key.last) = (chain.committed(), Some(window.root().max));
        let answered = Answered { root: *window.root(), salt, answers };
        self.answered.last_mut().ok_or(AuditError::NoRun)?.1.push(answered);
        Ok(())
    }

    /// Windows that were answered.
    pub(crate) fn windows(&self) -> usize {
        self.answered.iter().map(|(_, windows)| windows.len()).sum()
    }
}

fn answer<'t>(
    window: &TraceWindow,
    challenged: &ChallengedWindow,
    place: (u8, u32),
    traces: &'t [Trace<'t>],
    numeric: &NumericPolicy,
) -> Result<Option<Answer>, AnswerFault> {
    // A step of the demo is one unit.
    window.answer(challenged, place, &|unit| traces.get(unit), numeric)
}

impl std::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditor").field("rank", &self.rank).field("windows", &self.windows()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use weighbridge_audit::{LedgerWindow, Outcome};

    use super::*;
    use crate::data::WineTable;
    use crate::ranks::{Attempt, Job, JobEvent, Sink, train};
    use crate::spec::TrainingSpec;

    const GENESIS: Digest32 = Digest32([1; 32]);
    const NODE: NodeKey = NodeKey([2; 32]);

    /// Every third step of rank 0, as the job hands it on.
    fn captured(spec: &TrainingSpec) -> Vec<Captured> {
        let folder = tempfile::tempdir().unwrap();
        let folders: Vec<_> = (0..spec.ranks).map(|rank| folder.path().join(rank.to_string())).collect();
        let split = WineTable::load().split(spec);
        let job = Job {
            spec,
            split: &split,
            steps_per_second: None,
            checkpoint_every: 100,
            evaluate_every: 100,
            audit_every: Some(3),
            folders: &folders,
            attempt: Attempt::default(),
        };
        let traces: Vec<Mutex<Vec<Captured>>> = folders.iter().map(|_| Mutex::default()).collect();
        let keep = |list: &Mutex<Vec<Captured>>, event| {
            if let JobEvent::Trace(captured) = event {
                list.lock().unwrap().push(captured);
            }
        };
        let sinks = traces.iter().map(|list| Box::new(move |event| keep(list, event)) as Sink<'_>).collect();
        train(&job, sinks, &|_| {}).unwrap();
        traces.into_iter().next().unwrap().into_inner().unwrap()
    }

    #[test]
    fn steps_of_the_job_are_traces_that_add_up_and_all_their_draws_pass() {
        let spec = TrainingSpec { widths: vec![11, 48, 40, 11], micro_batch: 80, ranks: 2, ..TrainingSpec::wine(9) };
        let policies = Policies::new().unwrap();
        let mut auditor = Auditor::new(policies.clone(), 0);
        auditor.under(GENESIS, NODE).unwrap();
        let steps = captured(&spec);
        assert_eq!(steps.len(), 3);
        let mut ledger = Vec::new();
        for (index, step) in (0u64..).zip(steps) {
            // What the trace's products add up to is what the rank declares for the step.
            auditor.take(step).unwrap();
            let closing = auditor.close().unwrap().unwrap();
            assert_eq!(closing.window.root().sums.flops(), spec.micro_batch_flop());
            assert_eq!(closing.report.index, index);
            ledger.push(LedgerWindow { index, root: closing.report.root, quoted: UnixMillis(5) });
            auditor.answer(closing).unwrap();
        }
        assert!(auditor.close().unwrap().is_none());
        let answers = policies.answers(vec![auditor], UnixMillis(7)).unwrap();
        let outcome = answers.judge(&answers.chains[0], GENESIS, &ledger).unwrap();
        for (_, place, judged) in &outcome.judged {
            assert_eq!((judged.outcome, &judged.why), (Outcome::Passed, &None), "{place:?}");
        }
        assert_eq!(outcome.judged.len(), 18);
    }

    /// Every link of a whole step, not only what a few draws fall on: the rules hold for candle as they do for PyTorch.
    #[test]
    fn a_rehearsal_over_a_step_refuses_nothing() {
        let spec = TrainingSpec { micro_batch: 128, ..TrainingSpec::wine(3) };
        let step = captured(&spec).remove(0);
        let trace = Trace::parse(&step.graph, &step.tensors).unwrap();
        let plan = weighbridge_audit::trial::Plan { draws: 400, seed: [3; 32] };
        let envelope = weighbridge_audit::trial::Envelope;
        let outcome = weighbridge_audit::trial::rehearse(&trace, &plan, &envelope, &mut |_, _| {}).unwrap();
        assert_eq!(outcome.refusals, Vec::new());
        assert!(outcome.holds(), "{outcome:?}");
    }
}
