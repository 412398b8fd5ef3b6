//! **Duty.** What `meter` means, natively.
//!
//! From one state to another, through a fixed number of segments. A segment may begin a chain, advances the open one by
//! at most [`SEGMENT_INTERVALS`] intervals, and may end it: every interval's head follows from the one before and from a
//! commitment to a reading within bounds, and each component of the readings is added up without wrapping. A segment
//! that does nothing changes nothing.

use weighbridge_attest_types::{Digest32, Domain, PoseidonDigest, WitnessRow};
use weighbridge_commitments::{digest_elements, poseidon, salt_elements};

use crate::Violation;
use crate::gates::{MAX_REST, READING_BITS};
use crate::state::State;
use crate::statement::{CircuitId, FieldLayout};

/// Intervals of a segment: totals are checked after each of them (`state::TOTAL_BITS`).
pub(crate) const SEGMENT_INTERVALS: usize = 64;
/// Segments of the long leaf, 2¹⁵ rows at 5.3 rows an interval (decision 0055),
pub(crate) const LONG_SEGMENTS: usize = 96;
pub(crate) const LONG_ROWS_LOG: usize = 15;
/// and of the short one, 2¹² rows, for small runs and for what is left over.
pub(crate) const SHORT_SEGMENTS: usize = 11;
pub(crate) const SHORT_ROWS_LOG: usize = 12;

/// `meter` over `SEGMENTS` segments of at most `INTERVALS` intervals.
#[derive(Debug)]
pub(crate) struct Meter<const SEGMENTS: usize, const INTERVALS: usize = SEGMENT_INTERVALS>;

/// Public inputs of every step of a run: from which state it leads to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) from: PoseidonDigest,
    pub(crate) to: PoseidonDigest,
}

/// One interval as the circuit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MeterRow {
    /// declared GFLOP, carried rest, metered GFLOP, joule.
    pub(crate) reading: [u64; 4],
    pub(crate) salt: [u64; 4],
    /// Packed digest of the interval's public facts.
    pub(crate) public: [u64; 5],
}

/// A stretch of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Segment {
    /// `head_0`, if the chain begins here.
    pub(crate) begins: Option<PoseidonDigest>,
    pub(crate) rows: Vec<MeterRow>,
    /// Whether the chain ends here.
    pub(crate) ends: bool,
}

/// What only the prover knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeterWitness {
    pub(crate) from: State,
    pub(crate) segments: Vec<Segment>,
}

impl FieldLayout for Transition {
    fn to_elements(&self) -> Vec<u64> {
        [self.from.elements(), self.to.elements()].concat()
    }
}

impl MeterRow {
    /// The row of one interval.
    pub(crate) fn of(opening: &WitnessRow, public: Digest32) -> Self {
        Self {
            reading: opening.reading.elements(),
            salt: salt_elements(&opening.salt),
            public: digest_elements(public),
        }
    }

    /// The head that follows.
    pub(crate) fn next_head(&self, index: u64, previous: PoseidonDigest) -> PoseidonDigest {
        let mut reading = self.reading.to_vec();
        reading.extend(self.salt);
        let meter = poseidon(Domain::Meter, &reading);
        let mut input = vec![index];
        input.extend(previous.elements());
        input.extend(meter.elements());
        input.extend(self.public);
        poseidon(Domain::Head, &input)
    }

    pub(crate) fn check_bounds(&self, index: u64) -> Result<(), Violation> {
        let too_large = self.reading.iter().any(|&component| component >> READING_BITS != 0);
        if too_large || self.reading[1] > MAX_REST {
            return Err(Violation::new("reading-bounds", format!("interval {index}")));
        }
        Ok(())
    }
}

impl State {
    /// Where a segment leads.
    pub(crate) fn through(mut self, segment: &Segment) -> Result<Self, Violation> {
        if let Some(start) = segment.begins {
            self.begin(start)?;
        }
        segment.rows.iter().try_for_each(|row| self.advance(row))?;
        if segment.ends {
            self.end_chain()?;
        }
        Ok(self)
    }
}

impl MeterWitness {
    /// The state after all segments.
    pub(crate) fn to(&self) -> Result<State, Violation> {
        self.segments.iter().try_fold(self.from, State::through)
    }

    /// The true public inputs: an honest prover's.
    #[cfg(test)]
    pub(crate) fn transition(&self) -> Result<Transition, Violation> {
        Ok(Transition { from: self.from.digest(), to: self.to()?.digest() })
    }

    /// Whether it fits a circuit of this shape.
    pub(super) fn check_capacity(&self, segments: usize, intervals: usize) -> Result<(), Violation> {
        if self.segments.len() > segments {
            let detail = format!("{} segments in a leaf of {segments}", self.segments.len());
            return Err(Violation::new("capacity", detail));
        }
        match self.segments.iter().map(|segment| segment.rows.len()).find(|&rows| rows > intervals) {
            Some(rows) => Err(Violation::new("capacity", format!("{rows} intervals in a segment of {intervals}"))),
            None => Ok(()),
        }
    }
}

impl Transition {
    /// The native meaning over a witness.
    pub(super) fn check(&self, witness: &MeterWitness) -> Result<(), Violation> {
        if witness.from.digest() != self.from {
            return Err(Violation::new("state-opens", "the state at the beginning is another"));
        }
        if witness.to()?.digest() != self.to {
            return Err(Violation::new("end-state", "the state at the end is not what follows"));
        }
        Ok(())
    }
}

/// The name of a leaf in the catalog.
pub(super) const fn id(segments: usize, intervals: usize) -> CircuitId {
    match (segments, intervals) {
        (LONG_SEGMENTS, SEGMENT_INTERVALS) => "meter-long",
        (SHORT_SEGMENTS, SEGMENT_INTERVALS) => "meter-short",
        _ => "meter",
    }
}
