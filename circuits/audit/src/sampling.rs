//! **Duty.** All answers of a run as they travel beside its ledgers, and what they come to. **Knows** the two policies,
//! windows and answers. **Does not know** ledgers: whoever has them says which roots they hold and when.
//! **Spec.** PROTOCOL §5, §7 (challenge transcript); decision 0071.

use thiserror::Error;
use weighbridge_attest_types::{
    Canonical, CodecError, Culprit, Decoder, Digest32, Encoder, NodeKey, PoseidonDigest, UnixMillis,
};

use crate::answer::{Answer, AnswerError, Judged};
use crate::flop_tree::Node;
use crate::gemm::NumericPolicy;
use crate::ranks::Ranks;
use crate::window::{
    AuditPolicy, ClosedWindow, Outcome, RandomnessGrade, Response, Revealed, WindowChain, WindowError,
};

/// Most bytes of all answers of a run. Source: ours; how long the worst ones take is not measured.
pub const MAX_ANSWERS_BYTES: usize = 32 * 1024 * 1024;
/// What the bytes begin with.
const FORMAT: &str = "weighbridge/audit/v1";
/// Node keys of a run that windows were committed under.
const MAX_CHAINS: usize = 16_384;
/// Most ranges of ranks of all chains: every pair of chains may have to be compared, once.
const MAX_ALL_RANGES: usize = 32_768;
/// Windows of one key.
const MAX_WINDOWS: usize = 65_536;
/// Answers of one window.
const MAX_ANSWERS: usize = 65_536;

/// All answers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// How the run is audited; its digest is in the manifest.
    pub policy: AuditPolicy,
    /// How its tiles are judged; its digest is in the manifest.
    pub numeric: NumericPolicy,
    /// Ascending by node key.
    pub chains: Vec<ChainAnswers>,
}

/// Answers of the windows that were committed under one node key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainAnswers {
    /// The key.
    pub node_key: NodeKey,
    /// The ranks whose work its windows hold.
    pub ranks: Ranks,
    /// From index 0 on.
    pub windows: Vec<WindowAnswers>,
}

/// Answers of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowAnswers {
    /// Root of its tree, which opens the published one.
    pub root: Node,
    /// Salt of the published root.
    pub salt: [u8; 28],
    /// When the answers were given, by the word of whoever gave them.
    pub answered: UnixMillis,
    /// Ascending by stratum and draw.
    pub answers: Vec<Answer>,
}

/// A window's root in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerWindow {
    /// Its index under the node key.
    pub index: u64,
    /// As published.
    pub root: PoseidonDigest,
    /// When the interval that holds it ended, by the node's clock.
    pub quoted: UnixMillis,
}

/// What the windows of one node key come to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainOutcome {
    /// One for each of its windows.
    pub closed: Vec<ClosedWindow>,
    /// What came of each answer, window by window.
    pub judged: Vec<(u64, (u8, u32), Judged)>,
}

/// Answers that do not belong to the ledger's windows, or show nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnswersError {
    /// Challenges of a kind that bundles do not carry yet.
    #[error("challenges of grade `{}` are not read from a bundle by this version", .0.as_str())]
    Challenge(RandomnessGrade),
    /// More or fewer windows than the ledger holds.
    #[error("answers to {found} windows; the ledger holds {expected}")]
    Windows {
        /// In the ledger.
        expected: u64,
        /// With answers, or none of their own.
        found: u64,
    },
    /// A window that the ledger does not hold so, or an order that no audit has.
    #[error("window {index} cannot be drawn from")]
    Window {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: WindowError,
    },
    /// Answers from before the commitment.
    #[error("window {index} was answered before its root was in the ledger")]
    Early {
        /// Its index.
        index: u64,
    },
    /// An answer that shows nothing.
    #[error("window {index}, stratum {stratum}, draw {draw}: the answer shows nothing")]
    Answer {
        /// Its window.
        index: u64,
        /// Its stratum.
        stratum: u8,
        /// Its draw.
        draw: u32,
        /// Why.
        #[source]
        source: AnswerError,
    },
}

impl AnswersError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Challenge(_) => Culprit::Unsupported,
            Self::Window { source, .. } => source.culprit(),
            Self::Answer { source, .. } => source.culprit(),
            Self::Windows { .. } | Self::Early { .. } => Culprit::Untrusted,
        }
    }
}

impl Answers {
    /// Judges the answers of one node key against the windows that its ledger holds, in the order of the audit: commit,
    /// challenge, close. What has no answer is unanswered.
    ///
    /// # Errors
    /// [`AnswersError`]: the answers are about something else, or show nothing.
    pub fn judge(
        &self,
        chain: &ChainAnswers,
        genesis: Digest32,
        ledger: &[LedgerWindow],
    ) -> Result<ChainOutcome, AnswersError> {
        let grade = self.policy.randomness().grade();
        if grade != RandomnessGrade::SelfCheck {
            return Err(AnswersError::Challenge(grade));
        }
        let (expected, found) = (ledger.len() as u64, chain.windows.len() as u64);
        if expected != found {
            return Err(AnswersError::Windows { expected, found });
        }
        let about = |index| move |source| AnswersError::Window { index, source };
        let windows = WindowChain::new(genesis, chain.node_key.digest(), self.policy.clone());
        let mut windows = windows.map_err(about(0))?.with_ranks(chain.ranks.clone());
        let (mut closed, mut judged) = (Vec::new(), Vec::new());
        for (LedgerWindow { index, root, quoted }, answered) in ledger.iter().zip(&chain.windows) {
            let (index, quoted) = (*index, *quoted);
            if answered.answered < quoted {
                return Err(AnswersError::Early { index });
            }
            let opened = (answered.root, &answered.salt);
            let committed = windows.commit((index, *root), opened, (quoted, quoted)).map_err(about(index))?;
            let challenged = committed.challenge(&Revealed::Nothing).map_err(about(index))?;
            let mut responses = Vec::new();
            for answer in &answered.answers {
                let (stratum, draw) = (answer.stratum, answer.draw);
                let found = answer.judge(&challenged, &self.numeric);
                let found = found.map_err(|source| AnswersError::Answer { index, stratum, draw, source })?;
                responses.push(Response { stratum, draw, received: answered.answered, outcome: found.outcome });
                judged.push((index, (stratum, draw), found));
            }
            closed.push(challenged.close(&responses).map_err(about(index))?);
        }
        Ok(ChainOutcome { closed, judged })
    }
}

impl ChainOutcome {
    /// Answers of one outcome, in order: window, stratum and draw, and why.
    pub fn of(&self, outcome: Outcome) -> impl Iterator<Item = (u64, (u8, u32), &str)> {
        let found = self.judged.iter().filter(move |(_, _, judged)| judged.outcome == outcome);
        found.map(|(index, place, judged)| (*index, *place, judged.why.as_deref().unwrap_or_default()))
    }
}

impl Canonical for Answers {
    fn encode(&self, out: &mut Encoder) {
        let Self { policy, numeric, chains } = self;
        out.field(FORMAT.as_bytes()).put(policy).put(numeric).count(chains.len());
        for ChainAnswers { node_key, ranks, windows } in chains {
            out.put(node_key).put(ranks).count(windows.len());
            for WindowAnswers { root, salt, answered, answers } in windows {
                out.put(root).put(salt).put(answered).count(answers.len());
                answers.iter().for_each(|answer| {
                    out.put(answer);
                });
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        if input.field()? != FORMAT.as_bytes() {
            return Err(CodecError::NotCanonical("format of the answers"));
        }
        let (policy, numeric) = (input.take()?, input.take()?);
        let count = input.count("chains", MAX_CHAINS)?;
        let chains: Result<Vec<ChainAnswers>, CodecError> = (0..count).map(|_| chain(input)).collect();
        let chains = chains?;
        if !chains.is_sorted_by(|one, next| one.node_key < next.node_key) {
            return Err(CodecError::NotCanonical("order of the chains"));
        }
        let ranges = chains.iter().map(|chain| chain.ranks.ranges()).fold(0, usize::saturating_add);
        if ranges > MAX_ALL_RANGES {
            return Err(CodecError::NotCanonical("number of ranges of ranks"));
        }
        Ok(Self { policy, numeric, chains })
    }
}

fn chain(input: &mut Decoder<'_>) -> Result<ChainAnswers, CodecError> {
    let (node_key, ranks) = (input.take()?, input.take()?);
    let count = input.count("windows", MAX_WINDOWS)?;
    let windows: Result<Vec<WindowAnswers>, CodecError> = (0..count).map(|_| window(input)).collect();
    Ok(ChainAnswers { node_key, ranks, windows: windows? })
}

fn window(input: &mut Decoder<'_>) -> Result<WindowAnswers, CodecError> {
    let (root, salt, answered) = (input.take()?, input.take()?, input.take()?);
    let count = input.count("answers", MAX_ANSWERS)?;
    let answers: Result<Vec<Answer>, CodecError> = (0..count).map(|_| input.take()).collect();
    let answers = answers?;
    let place = |answer: &Answer| (answer.stratum, answer.draw);
    if !answers.is_sorted_by(|one, next| place(one) < place(next)) {
        return Err(CodecError::NotCanonical("order of the answers"));
    }
    Ok(WindowAnswers { root, salt, answered, answers })
}
