//! **Duty.** The pieces of work of one proof, each under a stable name: whoever is interrupted finds what is finished and
//! goes on. **Does not know** how a piece is proven (`proving`) or where proofs are kept (the verifier crate).

use std::fmt;

use weighbridge_attest_types::{Canonical as _, Digest32, Domain, Encoder, PoseidonDigest, sha256};

use super::cut::Leaf;
use super::weighed::{ChainWitness, Weighed};
use crate::aggregation::Step;
use crate::meter::{LONG_ROWS_LOG, SHORT_ROWS_LOG, Transition};
use crate::state::COMPONENTS;
use crate::{CircuitId, ThresholdPublic, circuit_digests};

/// Stable name of a piece of work: the digest of statement, circuit and witness.
pub type JobId = Digest32;

/// Which circuit a piece of work is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobKind {
    /// A long leaf.
    MeterLong,
    /// A short leaf.
    MeterShort,
    /// A long leaf in the common shape.
    WrapLong,
    /// A short leaf in the common shape.
    WrapShort,
    /// Two proofs of the common shape in one.
    Fold,
    /// The blinded proof that is published.
    Threshold,
    /// The same in half the bytes.
    Compact,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Its circuit.
    pub kind: JobKind,
    /// Positions of the jobs whose proofs it takes; each is before it.
    pub inputs: Vec<usize>,
    work: Work,
}

/// What a job is about.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// A leaf, by its position.
    Leaf(usize),
    /// A wrap or fold: what it says.
    Step(Transition),
    /// The statement itself.
    Statement,
}

/// All work of one statement, in an order in which it can be done; the last piece is what is published.
#[derive(Clone)]
pub struct Plan<'a> {
    chains: &'a [ChainWitness],
    totals: [u64; COMPONENTS],
    leaves: Vec<Leaf>,
    jobs: Vec<Job>,
    statement: ThresholdPublic,
}

/// Totals and openings stay out of logs.
impl fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("jobs", &self.jobs.len())
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

impl JobKind {
    /// All of them, inner ones first.
    pub const ALL: [Self; 7] = [
        Self::MeterLong,
        Self::MeterShort,
        Self::WrapLong,
        Self::WrapShort,
        Self::Fold,
        Self::Threshold,
        Self::Compact,
    ];

    /// Name in the catalog.
    #[must_use]
    pub const fn circuit(self) -> CircuitId {
        match self {
            Self::MeterLong => "meter-long",
            Self::MeterShort => "meter-short",
            Self::WrapLong => "wrap-long",
            Self::WrapShort => "wrap-short",
            Self::Fold => "fold",
            Self::Threshold => "threshold",
            Self::Compact => "compact",
        }
    }

    /// Rows of the circuit, as a power of two.
    #[must_use]
    pub const fn rows_log(self) -> usize {
        match self {
            Self::MeterLong => LONG_ROWS_LOG,
            Self::MeterShort => SHORT_ROWS_LOG,
            Self::WrapLong | Self::WrapShort | Self::Fold => 13,
            Self::Threshold => 14,
            Self::Compact => 13,
        }
    }
}

impl<'a> Plan<'a> {
    pub(super) fn of(run: &Weighed<'a>, statement: ThresholdPublic, leaves: Vec<Leaf>, is_compact: bool) -> Self {
        let mut draft = Draft { circuits: circuit_digests(), jobs: Vec::new() };
        let mut level: Vec<(usize, Transition)> = Vec::with_capacity(leaves.len());
        for (position, leaf) in leaves.iter().enumerate() {
            level.push(draft.leaf(position, leaf, run.chains()));
        }
        // Pairs from the left; an odd one is carried up.
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| draft.fold(pair)).collect();
        }
        let root = level.first().map(|&(position, _)| position).unwrap_or_default();
        let outer = draft.publish(JobKind::Threshold, root, &statement);
        if is_compact {
            draft.publish(JobKind::Compact, outer, &statement);
        }
        Self { chains: run.chains(), totals: run.totals(), leaves, jobs: draft.jobs, statement }
    }

    /// The pieces; the last one is published.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// What is proven.
    #[must_use]
    pub const fn statement(&self) -> &ThresholdPublic {
        &self.statement
    }

    pub(crate) const fn totals(&self) -> [u64; COMPONENTS] {
        self.totals
    }

    pub(crate) const fn chains(&self) -> &'a [ChainWitness] {
        self.chains
    }

    pub(crate) fn leaf(&self, position: usize) -> &Leaf {
        &self.leaves[position]
    }
}

impl Job {
    pub(crate) const fn work(&self) -> &Work {
        &self.work
    }
}

impl Work {
    /// The public inputs of a job of the common shape.
    pub(crate) fn step(&self, keys: PoseidonDigest) -> Option<Step> {
        match self {
            Self::Step(transition) => Some(Step { transition: *transition, keys }),
            Self::Leaf(_) | Self::Statement => None,
        }
    }
}

struct Draft {
    circuits: Vec<(CircuitId, Digest32)>,
    jobs: Vec<Job>,
}

impl Draft {
    /// Appends a leaf and its wrap; the wrap's position.
    fn leaf(&mut self, position: usize, leaf: &Leaf, chains: &[ChainWitness]) -> (usize, Transition) {
        let (meter, wrap) = match leaf.shape.is_long {
            true => (JobKind::MeterLong, JobKind::WrapLong),
            false => (JobKind::MeterShort, JobKind::WrapShort),
        };
        let meter = self.push(meter, Vec::new(), leaf.witness_digest(chains), Work::Leaf(position));
        let witness = self.digest_of(&[meter]);
        (self.push(wrap, vec![meter], witness, Work::Step(leaf.transition)), leaf.transition)
    }

    fn fold(&mut self, pair: &[(usize, Transition)]) -> (usize, Transition) {
        let &[(first, from), (second, to)] = pair else { return pair[0] };
        let transition = Transition { from: from.from, to: to.to };
        let witness = self.digest_of(&[first, second]);
        (self.push(JobKind::Fold, vec![first, second], witness, Work::Step(transition)), transition)
    }

    fn publish(&mut self, kind: JobKind, input: usize, statement: &ThresholdPublic) -> usize {
        let mut witness = self.digest_of(&[input]).0.to_vec();
        witness.extend(statement.to_bytes());
        self.push(kind, vec![input], sha256(&witness), Work::Statement)
    }

    /// A proof is made anew with other randomness; the work that it stands for is named by its inputs' names.
    fn digest_of(&self, inputs: &[usize]) -> Digest32 {
        let ids: Vec<u8> = inputs.iter().flat_map(|&input| self.jobs[input].id.0).collect();
        sha256(&ids)
    }

    fn push(&mut self, kind: JobKind, inputs: Vec<usize>, witness: Digest32, work: Work) -> usize {
        let circuit = self.circuits.iter().find(|(id, _)| *id == kind.circuit()).map(|(_, digest)| *digest);
        let mut out: Encoder = Domain::ProofJob.encoder();
        out.field(kind.circuit().as_bytes()).put(&circuit.unwrap_or_default()).put(&witness);
        self.jobs.push(Job { id: sha256(&out.finish()), kind, inputs, work });
        self.jobs.len() - 1
    }
}
