//! **Duty.** The second phase of the mode `replayed`: drawn units are replayed, their trace roots committed, and tiles drawn
//! in them by a second seed. **Knows** trace roots. **Does not know** how a unit is replayed (`replay.rs`).
//! **Spec.** PROTOCOL §5: the second seed takes the round fixed by the deadline, one trace root per unit.

use std::collections::BTreeMap;

use weighbridge_attest_types::{Domain, PoseidonDigest, UnixMillis};
use weighbridge_commitments::poseidon;

use crate::draw::Seed;
use crate::flop_tree::{Node, UnitRecord, Weight};
use crate::key::Key;
use crate::ranks::Ranks;
use crate::window::WindowError;
use crate::window::chain::{ChallengedWindow, ClosedWindow, CommittedWindow, Response, count};
use crate::window::policy::{AuditMode, Stratum};
use crate::window::round::Revealed;

/// The trace root of one replayed unit, quoted and witnessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceCommitment {
    /// The unit.
    pub unit: Key,
    /// Digest of the root of its tile tree.
    pub root: PoseidonDigest,
    /// When somebody else saw it.
    pub witnessed: UnixMillis,
}

/// A window whose drawn units have trace roots. Units without one in time are unanswered.
#[derive(Debug)]
pub struct TracedWindow {
    first: ChallengedWindow,
    traces: BTreeMap<Key, PoseidonDigest>,
}

/// A window with its second seed: tiles of replayed units can be drawn.
#[derive(Debug)]
pub struct ReplayedWindow {
    committed: CommittedWindow,
    first: Seed,
    second: Seed,
    traces: BTreeMap<Key, PoseidonDigest>,
    deadline: UnixMillis,
}

impl ChallengedWindow {
    /// Takes the trace roots of replayed units. A late one is as good as none; a second one for a unit is refused.
    ///
    /// # Errors
    /// [`WindowError::Trace`]; [`WindowError::Mode`] in the mode `committed`, whose units carry their roots already.
    pub fn commit_traces(self, traces: &[TraceCommitment]) -> Result<TracedWindow, WindowError> {
        if self.committed.policy.mode() != AuditMode::Replayed {
            return Err(WindowError::Mode("committed"));
        }
        let mut all = BTreeMap::new();
        for TraceCommitment { unit, root, witnessed } in traces {
            if *unit != unit.unit() || all.insert(*unit, (*root, *witnessed)).is_some() {
                return Err(WindowError::Trace);
            }
        }
        let in_time = all.into_iter().filter(|(_, (_, witnessed))| *witnessed <= self.deadline);
        let traces = in_time.map(|(unit, (root, _))| (unit, root)).collect();
        Ok(TracedWindow { first: self, traces })
    }
}

impl TracedWindow {
    /// What the second seed is over: `Poseidon(Domain::Traces, [window index, window root 4, count, (unit 3, trace root 4)…])`.
    #[must_use]
    pub fn root(&self) -> PoseidonDigest {
        let mut elements = vec![self.first.committed.index];
        elements.extend(self.first.committed.published.elements());
        elements.push(self.traces.len() as u64);
        for (unit, root) in &self.traces {
            elements.extend(unit.elements());
            elements.extend(root.elements());
        }
        poseidon(Domain::Traces, &elements)
    }

    /// Takes the second challenge: the rule's, as of the instant until which traces were due.
    ///
    /// # Errors
    /// [`WindowError::RandomnessSource`], [`WindowError::Round`], [`WindowError::Early`].
    pub fn challenge(self, revealed: &Revealed) -> Result<ReplayedWindow, WindowError> {
        let root = self.root();
        let Self { first: ChallengedWindow { committed, seed: first, deadline }, traces } = self;
        let revealed_at = committed.policy.randomness().revealed_at(deadline, revealed)?;
        if committed.policy.randomness().grade().is_a_sample() && revealed_at <= deadline {
            return Err(WindowError::Early { revealed: revealed_at, deadline });
        }
        let challenge = revealed.challenge();
        let second = Seed::derive(committed.genesis, committed.node_key_digest, committed.index, root, &challenge);
        let deadline = UnixMillis(revealed_at.0.saturating_add(committed.policy.deadline_millis()));
        Ok(ReplayedWindow { committed, first, second, traces, deadline })
    }
}

impl ReplayedWindow {
    /// The second seed.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.second
    }

    /// Last instant of a response.
    #[must_use]
    pub const fn deadline(&self) -> UnixMillis {
        self.deadline
    }

    /// The root that is drawn from with the ranks of its node: what an opened unit is held to.
    #[must_use]
    pub const fn drawn_from(&self) -> (&Node, &Ranks) {
        (self.committed.root(), self.committed.ranks())
    }

    /// The committed trace root of a unit; `None` where there is none in time.
    #[must_use]
    pub fn trace(&self, unit: Key) -> Option<PoseidonDigest> {
        self.traces.get(&unit).copied()
    }

    /// Where the first seed's draw falls in the window, and where the second's falls in the unit that was found there.
    /// `None` where there is no such draw, or nothing to draw from.
    #[must_use]
    pub fn points(&self, stratum: u8, draw: u32, unit: &UnitRecord) -> Option<(Weight, u128, u128)> {
        let Stratum { weight, draws, .. } = *self.committed.policy.strata().get(usize::from(stratum))?;
        if draw >= draws {
            return None;
        }
        let of = |seed: Seed, total: u128| seed.draw(stratum, draw).point(total);
        let in_window = of(self.first, self.committed.root().sums.weight(weight))?;
        Some((weight, in_window, of(self.second, unit.sums.weight(weight))?))
    }

    /// Counts the responses. Whatever has none, or a late one, is unanswered.
    ///
    /// # Errors
    /// [`WindowError::Response`].
    pub fn close(self, responses: &[Response]) -> Result<ClosedWindow, WindowError> {
        count(&self.committed, self.deadline, responses)
    }
}
