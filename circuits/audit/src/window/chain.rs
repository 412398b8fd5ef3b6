//! **Duty.** One node's windows in order: each committed once, challenged once, closed once. **Knows** roots and instants.
//! **Does not know** how a response was checked. **Spec.** PROTOCOL §5.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_attest_types::{Digest32, Flops, PoseidonDigest, UnixMillis};

use crate::draw::Seed;
use crate::flop_tree::{Node, Sums, Weight};
use crate::gemm::TileVerdict;
use crate::key::Key;
use crate::ranks::Ranks;
use crate::statistics::{Correctness, StratumOutcome};
use crate::window::policy::{AuditMode, AuditPolicy, Stratum};
use crate::window::round::{RandomnessGrade, Revealed};
use crate::window::{WindowError, window_root};

/// The windows of one node of one run.
#[derive(Debug, Clone)]
pub struct WindowChain {
    pub(crate) genesis: Digest32,
    pub(crate) node_key_digest: Digest32,
    policy: AuditPolicy,
    ranks: Ranks,
    next: u64,
    last_unit: Option<Key>,
}

/// A window whose root stands in a quoted head. It has no seed.
#[derive(Debug)]
pub struct CommittedWindow {
    pub(crate) genesis: Digest32,
    pub(crate) node_key_digest: Digest32,
    pub(crate) policy: AuditPolicy,
    pub(crate) index: u64,
    ranks: Ranks,
    root: Node,
    pub(crate) published: PoseidonDigest,
    quoted: UnixMillis,
    witnessed: UnixMillis,
}

/// A window with its seed: draws can be made and answered.
#[derive(Debug)]
pub struct ChallengedWindow {
    pub(crate) committed: CommittedWindow,
    pub(crate) seed: Seed,
    pub(crate) deadline: UnixMillis,
}

/// What a check said about one draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it holds: path, tile, links.
    Passed,
    /// The check says too little: counts like unanswered.
    NotProven,
    /// Something does not hold: a finding at any count.
    Refused,
}

impl From<&TileVerdict> for Outcome {
    fn from(verdict: &TileVerdict) -> Self {
        match verdict {
            TileVerdict::Accepted(_) => Self::Passed,
            TileVerdict::NotProven(_) => Self::NotProven,
            TileVerdict::Refused(_) => Self::Refused,
        }
    }
}

/// The answer to one draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// Which stratum, by its place in the policy.
    pub stratum: u8,
    /// Which draw of it.
    pub draw: u32,
    /// When it came.
    pub received: UnixMillis,
    /// What came of it.
    pub outcome: Outcome,
}

/// Draws of one stratum in one window: they add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StratumCount {
    /// The stratum.
    pub stratum: Stratum,
    /// Draws that passed.
    pub passed: u32,
    /// Not proven.
    pub not_proven: u32,
    /// Refused.
    pub refused: u32,
    /// Without an answer, or with one after the deadline.
    pub unanswered: u32,
}

/// A window whose deadline is past. Only `close` makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedWindow {
    /// Genesis of its run.
    pub genesis: Digest32,
    /// Digest of the policy that it was drawn under.
    pub policy: Digest32,
    /// Digest of its node's key.
    pub node_key_digest: Digest32,
    /// Ranks of its node.
    pub ranks: Ranks,
    /// First and last unit.
    pub units: (Key, Key),
    /// What it holds.
    pub sums: Sums,
    /// Its index.
    pub index: u64,
    /// What its draws are worth.
    pub grade: RandomnessGrade,
    /// Counts by stratum.
    pub counts: Vec<StratumCount>,
}

impl WindowChain {
    /// A chain without windows, of a node that has all ranks of the run ([`Self::with_ranks`]). Indices count from 0.
    ///
    /// # Errors
    /// [`WindowError::NotImplemented`] for the mode `surprise`.
    pub fn new(genesis: Digest32, node_key_digest: Digest32, policy: AuditPolicy) -> Result<Self, WindowError> {
        match policy.mode() {
            AuditMode::Surprise => Err(WindowError::NotImplemented("surprise")),
            AuditMode::Committed | AuditMode::Replayed => {
                let ranks = Ranks::all();
                Ok(Self { genesis, node_key_digest, policy, ranks, next: 0, last_unit: None })
            }
        }
    }

    /// The chain from a later window on, for whoever looks at that window alone: what came before it is the caller's word,
    /// and [`Self::committed`] counts it.
    ///
    /// # Errors
    /// [`WindowError::NotImplemented`] for the mode `surprise`.
    pub fn continued(
        genesis: Digest32,
        node_key_digest: Digest32,
        policy: AuditPolicy,
        (next, last_unit): (u64, Option<Key>),
    ) -> Result<Self, WindowError> {
        let last_unit = last_unit.map(Key::unit);
        Ok(Self { next, last_unit, ..Self::new(genesis, node_key_digest, policy)? })
    }

    /// The same for a node that has some of the ranks: windows of two nodes are taken together only where their ranks are
    /// apart, or their work lies apart in the run.
    #[must_use]
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// Windows that were committed: each of them must be closed, with responses or without.
    #[must_use]
    pub const fn committed(&self) -> u64 {
        self.next
    }

    /// Takes the next window: its published root, the tree's root that opens it, when the window's end was quoted and when
    /// somebody else witnessed that. One root per index; keys grow; no stratum holds more than its cap.
    ///
    /// # Errors
    /// [`WindowError`]; the chain is then unchanged.
    pub fn commit(
        &mut self,
        (index, published): (u64, PoseidonDigest),
        (root, salt): (Node, &[u8; 28]),
        (quoted, witnessed): (UnixMillis, UnixMillis),
    ) -> Result<CommittedWindow, WindowError> {
        if index != self.next {
            return Err(WindowError::Index { expected: self.next, found: index });
        }
        if window_root(index, &root, salt) != published {
            return Err(WindowError::Root { index });
        }
        // Windows are cut between work units, whether their leaves are units or tiles: no unit is counted in two of them.
        if root.min > root.max || self.last_unit.is_some_and(|last| last >= root.min.unit()) {
            return Err(WindowError::Keys { index });
        }
        if !self.ranks.hold(root.min) || !self.ranks.hold(root.max) {
            return Err(WindowError::Ranks { index });
        }
        for stratum in self.policy.strata() {
            let found = root.sums.weight(stratum.weight);
            if found > stratum.cap {
                return Err(WindowError::OverCap { index, found: Flops(found), cap: Flops(stratum.cap) });
            }
        }
        self.next = self.next.saturating_add(1);
        self.last_unit = Some(root.max.unit());
        let Self { genesis, node_key_digest, policy, ranks, .. } = self.clone();
        Ok(CommittedWindow { genesis, node_key_digest, policy, index, ranks, root, published, quoted, witnessed })
    }
}

impl CommittedWindow {
    /// The window's index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The root of its tree.
    #[must_use]
    pub const fn root(&self) -> &Node {
        &self.root
    }

    /// The ranks whose work it may hold.
    #[must_use]
    pub const fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Takes the challenge that the policy's rule names. The commitment was quoted, and witnessed before the challenge.
    ///
    /// # Errors
    /// [`WindowError::RandomnessSource`], [`WindowError::Round`], [`WindowError::Witnessed`].
    pub fn challenge(self, revealed: &Revealed) -> Result<ChallengedWindow, WindowError> {
        let Self { quoted, witnessed, .. } = self;
        let revealed_at = self.policy.randomness().revealed_at(quoted, revealed)?;
        // A self-check has no outside: nobody witnesses, and nothing of it is a sample.
        let is_outside = self.policy.randomness().grade().is_a_sample();
        if is_outside && (witnessed < quoted || witnessed >= revealed_at) {
            return Err(WindowError::Witnessed { quoted, witnessed, revealed: revealed_at });
        }
        let challenge = revealed.challenge();
        let seed = Seed::derive(self.genesis, self.node_key_digest, self.index, self.published, &challenge);
        let deadline = UnixMillis(revealed_at.0.saturating_add(self.policy.deadline_millis()));
        Ok(ChallengedWindow { committed: self, seed, deadline })
    }
}

impl ChallengedWindow {
    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// Last instant of a response.
    #[must_use]
    pub const fn deadline(&self) -> UnixMillis {
        self.deadline
    }

    /// The root that is drawn from.
    #[must_use]
    pub const fn root(&self) -> &Node {
        &self.committed.root
    }

    /// The root that is drawn from with the ranks of its node: what an opened unit is held to.
    #[must_use]
    pub const fn drawn_from(&self) -> (&Node, &Ranks) {
        (&self.committed.root, &self.committed.ranks)
    }

    /// Where one draw falls: a point of its stratum's weight. `None` where there is no such draw, or the window holds
    /// nothing of that weight.
    #[must_use]
    pub fn point(&self, stratum: u8, draw: u32) -> Option<(Weight, u128)> {
        let Stratum { weight, draws, .. } = *self.committed.policy.strata().get(usize::from(stratum))?;
        if draw >= draws {
            return None;
        }
        let total = self.committed.root.sums.weight(weight);
        Some((weight, self.seed.draw(stratum, draw).point(total)?))
    }

    /// Counts the responses, in the mode `committed`. Whatever has none, or a late one, is unanswered.
    ///
    /// # Errors
    /// [`WindowError::Response`]; [`WindowError::Mode`] in the mode `replayed`, whose units are replayed first.
    pub fn close(self, responses: &[Response]) -> Result<ClosedWindow, WindowError> {
        match self.committed.policy.mode() {
            AuditMode::Committed => count(&self.committed, self.deadline, responses),
            AuditMode::Replayed => Err(WindowError::Mode("replayed")),
            AuditMode::Surprise => Err(WindowError::NotImplemented("surprise")),
        }
    }
}

pub(crate) fn count(
    committed: &CommittedWindow,
    deadline: UnixMillis,
    responses: &[Response],
) -> Result<ClosedWindow, WindowError> {
    let strata = committed.policy.strata();
    let mut answers: BTreeMap<(u8, u32), Outcome> = BTreeMap::new();
    let mut late: BTreeSet<(u8, u32)> = BTreeSet::new();
    for Response { stratum, draw, received, outcome } in responses {
        let (stratum, draw) = (*stratum, *draw);
        // A window that holds nothing of a weight has nothing to draw.
        let has = |known: &Stratum| committed.root.sums.weight(known.weight) > 0 && draw < known.draws;
        let is_drawn = strata.get(usize::from(stratum)).is_some_and(has);
        let place = (stratum, draw);
        if !is_drawn || answers.contains_key(&place) || late.contains(&place) {
            return Err(WindowError::Response { stratum, draw });
        }
        // A finding is one whenever it comes.
        if *received <= deadline || *outcome == Outcome::Refused {
            answers.insert(place, *outcome);
        } else {
            late.insert(place);
        }
    }
    let counts = (0u8..).zip(strata).map(|(number, stratum)| {
        let of = |wanted: Outcome| {
            let found = answers.iter().filter(|((of, _), outcome)| *of == number && **outcome == wanted).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let (passed, not_proven, refused) = (of(Outcome::Passed), of(Outcome::NotProven), of(Outcome::Refused));
        let answered = passed.saturating_add(not_proven).saturating_add(refused);
        // A window that holds nothing of a weight has nothing false of it; but products without a link between them are
        // links left out, and none of those draws can be answered.
        let lacks_links = stratum.weight == Weight::Link && committed.root.sums.flops().0 > 0;
        let is_empty = committed.root.sums.weight(stratum.weight) == 0 && !lacks_links;
        let unanswered = if is_empty { 0 } else { stratum.draws.saturating_sub(answered) };
        StratumCount { stratum: *stratum, passed, not_proven, refused, unanswered }
    });
    let grade = committed.policy.randomness().grade();
    Ok(ClosedWindow {
        genesis: committed.genesis,
        policy: committed.policy.digest(),
        node_key_digest: committed.node_key_digest,
        ranks: committed.ranks.clone(),
        units: (committed.root.min.unit(), committed.root.max.unit()),
        sums: committed.root.sums,
        index: committed.index,
        grade,
        counts: counts.collect(),
    })
}

impl StratumCount {
    /// Draws that did not pass, for whatever reason.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.not_proven.saturating_add(self.refused).saturating_add(self.unanswered)
    }
}

impl ClosedWindow {
    /// All windows of a run as the outcome of one stratum, and the lowest grade among them. `committed` says how many
    /// windows each node committed: one that is missing here would count as clean.
    ///
    /// # Errors
    /// [`WindowError::Runs`] unless all are of one run under one policy; [`WindowError::Ranks`], [`WindowError::Keys`] where
    /// work could stand in two of them; [`WindowError::Windows`] unless every node's windows are there, each once, and no others;
    /// [`WindowError::Strata`] unless each has the stratum, with the same cap and number of draws.
    pub fn outcome(
        windows: &[Self],
        committed: &BTreeMap<Digest32, u64>,
        weight: Weight,
    ) -> Result<(StratumOutcome, RandomnessGrade), WindowError> {
        let found: BTreeSet<(Digest32, u64)> =
            windows.iter().map(|window| (window.node_key_digest, window.index)).collect();
        let total = committed.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        let is_committed = |(node, index): &(Digest32, u64)| committed.get(node).is_some_and(|count| index < count);
        // As many as were committed, all different, and each of them committed: none is missing.
        let are_all = windows.len() as u64 == total && found.len() == windows.len() && found.iter().all(is_committed);
        let (Some(first), true) = (windows.first(), are_all) else {
            return Err(WindowError::Windows { committed: total, found: found.len() as u64 });
        };
        if windows.iter().any(|window| (window.genesis, window.policy) != (first.genesis, first.policy)) {
            return Err(WindowError::Runs);
        }
        Self::are_apart(windows)?;
        let of = |window: &Self| window.counts.iter().find(|count| count.stratum.weight == weight).copied();
        let Stratum { cap, draws, risk, .. } = of(first).ok_or(WindowError::Strata)?.stratum;
        let (mut failures, mut grade) = (0u32, first.grade);
        for window in windows {
            let count = of(window).ok_or(WindowError::Strata)?;
            if count.stratum != (Stratum { weight, cap, draws, risk }) {
                return Err(WindowError::Strata);
            }
            failures = failures.saturating_add(count.failures());
            grade = grade.min(window.grade);
        }
        let windows = u32::try_from(windows.len()).unwrap_or(u32::MAX);
        Ok((StratumOutcome { weight, cap, draws, windows, failures, risk }, grade))
    }

    /// What all windows of a run say of the FLOP that the ledgers declare.
    ///
    /// # Errors
    /// Those of [`Self::outcome`]; [`WindowError::NotASample`] of a self-check; [`WindowError::Refused`] where a draw of any
    /// stratum was refused; [`WindowError::Declared`] unless the windows hold what is declared; [`WindowError::Statistics`].
    pub fn conclude(
        windows: &[Self],
        committed: &BTreeMap<Digest32, u64>,
        declared: Flops,
    ) -> Result<Correctness, WindowError> {
        let (outcome, grade) = Self::outcome(windows, committed, Weight::Flop)?;
        if !grade.is_a_sample() {
            return Err(WindowError::NotASample(grade));
        }
        let refused = windows.iter().flat_map(|window| &window.counts).map(|count| u64::from(count.refused));
        let refused = refused.fold(0u64, u64::saturating_add);
        if refused > 0 {
            return Err(WindowError::Refused(refused));
        }
        let found = windows.iter().fold(0u128, |sum, window| sum.saturating_add(window.sums.flops().0));
        if declared != Flops(found) {
            return Err(WindowError::Declared { declared, found: Flops(found) });
        }
        Ok(Correctness::conclude(declared, &outcome)?)
    }

    /// No unit can stand in two windows: those of one node follow one another; those of two nodes do, or have no rank in
    /// common.
    fn are_apart(windows: &[Self]) -> Result<(), WindowError> {
        let mut sorted: Vec<&Self> = windows.iter().collect();
        sorted.sort_by_key(|window| window.units);
        let mut open: Vec<&Self> = Vec::new();
        // Ranks are a node's: each pair of nodes is compared once, however many windows they have.
        let mut compared: BTreeMap<(Digest32, Digest32), bool> = BTreeMap::new();
        for window in sorted {
            open.retain(|other| other.units.1 >= window.units.0);
            for other in &open {
                if other.node_key_digest == window.node_key_digest {
                    return Err(WindowError::Keys { index: window.index });
                }
                let pair = (other.node_key_digest, window.node_key_digest);
                let pair = (pair.0.min(pair.1), pair.0.max(pair.1));
                if *compared.entry(pair).or_insert_with(|| other.ranks.overlap(&window.ranks)) {
                    return Err(WindowError::Ranks { index: window.index });
                }
            }
            open.push(window);
        }
        Ok(())
    }
}
