//! **Duty.** `meter` as constraints, one function per property of docs/CONSTRAINTS.md; the steps of a chain are in
//! `state/circuit.rs`, the bounds of a reading in `gates/interval.rs`.

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use weighbridge_attest_types::Domain;

use super::statement::{Meter, MeterRow, MeterWitness, Segment, Transition, id};
use crate::Violation;
use crate::gadgets::{connect_digest, public_digest, set, set_digest, tagged_hash};
use crate::gates::{IntervalGate, IntervalWires};
use crate::state::{COMPONENT_IN_READING, StateTargets};
use crate::statement::{Assignment, Builder, CircuitId, Statement};

#[derive(Debug)]
pub(crate) struct MeterTargets {
    pub(super) from: HashOutTarget,
    pub(super) to: HashOutTarget,
    pub(super) state: StateTargets,
    pub(super) segments: Vec<SegmentTargets>,
}

#[derive(Debug)]
pub(super) struct SegmentTargets {
    pub(super) begins: BoolTarget,
    pub(super) start: HashOutTarget,
    pub(super) ends: BoolTarget,
    pub(super) rows: Vec<RowTargets>,
    /// The state behind this segment, kept so that tests can forge it.
    #[cfg(test)]
    pub(super) after: StateTargets,
}

#[derive(Debug)]
pub(super) struct RowTargets {
    pub(super) wires: IntervalWires,
    pub(super) salt: [Target; 4],
    pub(super) public: [Target; 5],
}

impl<const SEGMENTS: usize, const INTERVALS: usize> Statement for Meter<SEGMENTS, INTERVALS> {
    const ID: CircuitId = id(SEGMENTS, INTERVALS);
    const BLINDED: bool = false;
    type Public = Transition;
    type Witness = MeterWitness;
    type Targets = MeterTargets;
    type Inner = ();

    fn check(public: &Transition, witness: &MeterWitness) -> Result<(), Violation> {
        witness.check_capacity(SEGMENTS, INTERVALS)?;
        public.check(witness)
    }

    fn build(builder: &mut Builder, (): &()) -> MeterTargets {
        let (from, to) = (public_digest(builder), public_digest(builder));
        let mut state = StateTargets::new(builder);
        // state-opens: the digest at the beginning is that of a state in its form.
        let first = state.clone();
        first.state_form(builder);
        let opened = first.digest(builder);
        connect_digest(builder, from, opened);
        let segments = (0..SEGMENTS).map(|_| segment(builder, &mut state, INTERVALS)).collect();
        // end-state: the digest at the end is that of what the last segment left.
        let left = state.digest(builder);
        connect_digest(builder, to, left);
        MeterTargets { from, to, state: first, segments }
    }

    fn assign(
        targets: &MeterTargets,
        public: &Transition,
        witness: &MeterWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        witness.check_capacity(SEGMENTS, INTERVALS)?;
        set_digest(assignment, targets.from, public.from)?;
        set_digest(assignment, targets.to, public.to)?;
        targets.state.assign(&witness.from, assignment)?;
        let nothing = Segment::default();
        for (position, segment) in targets.segments.iter().enumerate() {
            segment.assign(witness.segments.get(position).unwrap_or(&nothing), assignment)?;
        }
        Ok(())
    }
}

/// Begins a chain or goes on with the open one, takes intervals, and may end it.
fn segment(builder: &mut Builder, state: &mut StateTargets, intervals: usize) -> SegmentTargets {
    // chain-flags: 0 or 1.
    let (begins, ends) = (builder.add_virtual_bool_target_safe(), builder.add_virtual_bool_target_safe());
    let start = builder.add_virtual_hash();
    state.begin(builder, begins, start);
    let index_before = state.index;
    let rows = (0..intervals).map(|_| row(builder, state)).collect();
    state.moved_inside_a_chain(builder, index_before);
    state.totals_in_range(builder);
    state.end_chain(builder, ends);
    SegmentTargets {
        begins,
        start,
        ends,
        rows,
        #[cfg(test)]
        after: state.clone(),
    }
}

/// One interval. active-flag and reading-bounds are the gate's.
fn row(builder: &mut Builder, state: &mut StateTargets) -> RowTargets {
    let (salt, public) = (builder.add_virtual_target_arr(), builder.add_virtual_target_arr());
    let wires = IntervalGate::add(builder);
    let meter = meter_commitment(builder, wires.reading, salt);
    state.index = builder.add(state.index, wires.active);
    state.head = head_chain(builder, &wires, state.index, state.head, meter, public);
    running_totals(builder, state, &wires);
    RowTargets { wires, salt, public }
}

/// meter-commitment: `meter = Poseidon(domain, reading, salt)`.
fn meter_commitment(builder: &mut Builder, reading: [Target; 4], salt: [Target; 4]) -> HashOutTarget {
    let elements: Vec<Target> = reading.into_iter().chain(salt).collect();
    tagged_hash(builder, Domain::Meter, &elements)
}

/// head-chain: an active row's head is `Poseidon(domain, index, previous head, meter, public)`; an inactive row keeps
/// the head. The gate chooses.
fn head_chain(
    builder: &mut Builder,
    wires: &IntervalWires,
    index: Target,
    previous: HashOutTarget,
    meter: HashOutTarget,
    public: [Target; 5],
) -> HashOutTarget {
    let mut elements = vec![index];
    elements.extend(previous.elements);
    elements.extend(meter.elements);
    elements.extend(public);
    let next = tagged_hash(builder, Domain::Head, &elements);
    connect_digest(builder, HashOutTarget { elements: wires.before }, previous);
    connect_digest(builder, HashOutTarget { elements: wires.follows }, next);
    HashOutTarget { elements: wires.after }
}

/// running-totals: an active row adds each component; the range is checked at the segment's end.
fn running_totals(builder: &mut Builder, state: &mut StateTargets, wires: &IntervalWires) {
    for (total, component) in state.totals.iter_mut().zip(COMPONENT_IN_READING) {
        *total = builder.mul_add(wires.active, wires.reading[component], *total);
    }
}

impl SegmentTargets {
    fn assign(&self, segment: &Segment, assignment: &mut Assignment) -> Result<(), Violation> {
        set(assignment, self.begins.target, u64::from(segment.begins.is_some()))?;
        set_digest(assignment, self.start, segment.begins.unwrap_or_default())?;
        set(assignment, self.ends.target, u64::from(segment.ends))?;
        for (position, row) in self.rows.iter().enumerate() {
            let values = segment.rows.get(position);
            set(assignment, row.wires.active, u64::from(values.is_some()))?;
            row.assign(&values.copied().unwrap_or_default(), assignment)?;
        }
        Ok(())
    }
}

impl RowTargets {
    pub(super) fn assign(&self, values: &MeterRow, assignment: &mut Assignment) -> Result<(), Violation> {
        let targets = self.wires.reading.iter().chain(&self.salt).chain(&self.public);
        let values = values.reading.iter().chain(&values.salt).chain(&values.public);
        targets.zip(values).try_for_each(|(&target, &value)| set(assignment, target, value))
    }
}
