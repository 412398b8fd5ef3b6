//! **Duty.** Chains cut into segments, segments gathered into leaves, each leaf with the state it starts from.

use weighbridge_attest_types::{Digest32, sha256};

use super::weighed::{ChainWitness, Weighed};
use crate::Violation;
use crate::meter::{LONG_SEGMENTS, MeterWitness, SEGMENT_INTERVALS, SHORT_SEGMENTS, Segment, Transition};
use crate::state::State;

/// A tail of the run that so many short leaves hold is proven by them: three would cost more than a long one.
const MOST_SHORT: usize = 2;

/// Which leaves a plan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafChoice {
    /// Long ones, and short ones for what is left over.
    Any,
    /// Short ones alone: an eighth of the memory, half as fast.
    Short,
}

/// The shape of a leaf circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeafShape {
    pub(crate) is_long: bool,
    pub(crate) segments: usize,
    pub(crate) intervals: usize,
}

pub(crate) const LONG: LeafShape = LeafShape { is_long: true, segments: LONG_SEGMENTS, intervals: SEGMENT_INTERVALS };
pub(crate) const SHORT: LeafShape =
    LeafShape { is_long: false, segments: SHORT_SEGMENTS, intervals: SEGMENT_INTERVALS };

/// A stretch of one chain: it begins the chain at interval 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    chain: usize,
    from: usize,
    count: usize,
    ends: bool,
}

/// One leaf's part of the run.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) shape: LeafShape,
    pub(crate) transition: Transition,
    from: State,
    stretches: Vec<Stretch>,
}

/// Cuts a run into leaves.
pub(super) fn leaves(run: &Weighed<'_>, choice: LeafChoice) -> Result<Vec<Leaf>, Violation> {
    leaves_of(run, |segments| shape_for(segments, choice))
}

/// The same for leaves of any shape; all of them have segments of one length.
pub(super) fn leaves_of(run: &Weighed<'_>, shape_for: impl Fn(usize) -> LeafShape) -> Result<Vec<Leaf>, Violation> {
    let intervals = shape_for(1).intervals;
    let stretches: Vec<Stretch> =
        run.chains().iter().enumerate().flat_map(|(chain, witness)| cut(chain, witness, intervals)).collect();
    let mut state = State::initial(run.genesis());
    let mut rest = stretches.as_slice();
    let mut leaves = Vec::new();
    while !rest.is_empty() {
        let shape = shape_for(rest.len());
        let (mine, others) = rest.split_at(shape.segments.min(rest.len()));
        let (leaf, next) = Leaf::new(shape, state, mine.to_vec(), run.chains())?;
        state = next;
        leaves.push(leaf);
        rest = others;
    }
    Ok(leaves)
}

fn shape_for(segments: usize, choice: LeafChoice) -> LeafShape {
    match choice {
        LeafChoice::Any if segments > MOST_SHORT * SHORT.segments => LONG,
        LeafChoice::Any | LeafChoice::Short => SHORT,
    }
}

/// A chain without an interval is one stretch all the same: it begins and ends.
fn cut(chain: usize, witness: &ChainWitness, intervals: usize) -> Vec<Stretch> {
    let length = witness.rows.len();
    let stretch = |from: usize| {
        let count = intervals.min(length - from);
        Stretch { chain, from, count, ends: from + count == length }
    };
    (0..length.max(1)).step_by(intervals).map(stretch).collect()
}

impl Leaf {
    /// The leaf, and the state that it leads to.
    fn new(
        shape: LeafShape,
        from: State,
        stretches: Vec<Stretch>,
        chains: &[ChainWitness],
    ) -> Result<(Self, State), Violation> {
        let to = witness(from, &stretches, chains).to()?;
        let transition = Transition { from: from.digest(), to: to.digest() };
        Ok((Self { shape, transition, from, stretches }, to))
    }

    /// What the circuit is given.
    pub(crate) fn witness(&self, chains: &[ChainWitness]) -> MeterWitness {
        witness(self.from, &self.stretches, chains)
    }

    /// Everything that the witness holds, as one digest.
    pub(super) fn witness_digest(&self, chains: &[ChainWitness]) -> Digest32 {
        let MeterWitness { from, segments } = self.witness(chains);
        let mut bytes: Vec<u8> = Vec::new();
        let mut put = |elements: &[u64]| bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
        put(&from.elements());
        for Segment { begins, rows, ends } in &segments {
            put(&[u64::from(begins.is_some()), rows.len() as u64, u64::from(*ends)]);
            put(&begins.unwrap_or_default().elements());
            for row in rows {
                put(&row.reading);
                put(&row.salt);
                put(&row.public);
            }
        }
        sha256(&bytes)
    }
}

fn witness(from: State, stretches: &[Stretch], chains: &[ChainWitness]) -> MeterWitness {
    let segment = |stretch: &Stretch| {
        let chain = &chains[stretch.chain];
        Segment {
            begins: (stretch.from == 0).then_some(chain.start),
            rows: (stretch.from..stretch.from + stretch.count).map(|interval| chain.row(interval)).collect(),
            ends: stretch.ends,
        }
    };
    MeterWitness { from, segments: stretches.iter().map(segment).collect() }
}
