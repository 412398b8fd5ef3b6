//! **Duty.** `meter` as constraints, one function per property of docs/CONSTRAINTS.md.

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use weighbridge_attest_types::Domain;

use super::statement::{MAX_REST, Meter, MeterPublic, MeterRow, MeterWitness, READING_BITS, SUM_BITS};
use crate::Violation;
use crate::gadgets::{assert_at_most, assert_below_power, connect_digest, public_digest, set, set_digest, tagged_hash};
use crate::statement::{Assignment, Builder, CircuitId, Field, Statement};

#[derive(Debug)]
pub(crate) struct MeterTargets {
    pub(super) start: HashOutTarget,
    pub(super) start_index: Target,
    pub(super) end: HashOutTarget,
    pub(super) end_index: Target,
    pub(super) gflop: Target,
    pub(super) rows: Vec<RowTargets>,
}

#[derive(Debug, Clone)]
pub(crate) struct RowTargets {
    pub(super) active: BoolTarget,
    pub(super) reading: [Target; 4],
    pub(super) salt: [Target; 4],
    pub(super) public: [Target; 5],
    /// Head and sum after this row: results, kept so that tests can forge them.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests that forge wires behind the generators"))]
    pub(super) results: (HashOutTarget, Target),
}

impl<const N: usize> Statement for Meter<N> {
    const ID: CircuitId = "meter";
    const BLINDED: bool = false;
    type Public = MeterPublic;
    type Witness = MeterWitness;
    type Targets = MeterTargets;
    type Inner = ();

    fn check(public: &MeterPublic, witness: &MeterWitness) -> Result<(), Violation> {
        public.check(witness, N)
    }

    fn build(builder: &mut Builder, (): &()) -> MeterTargets {
        let start = public_digest(builder);
        let start_index = builder.add_virtual_public_input();
        let end = public_digest(builder);
        let end_index = builder.add_virtual_public_input();
        let gflop = builder.add_virtual_public_input();

        let (mut head, mut sum, mut index) = (start, builder.zero(), start_index);
        let mut rows: Vec<RowTargets> = Vec::with_capacity(N);
        for _ in 0..N {
            // active-flag: 0 or 1. An inactive row changes nothing, wherever it stands.
            let active = builder.add_virtual_bool_target_safe();
            let reading = builder.add_virtual_target_arr();
            let salt = builder.add_virtual_target_arr();
            let public = builder.add_virtual_target_arr();
            reading_bounds(builder, reading);
            let meter = meter_commitment(builder, reading, salt);
            index = builder.add(index, active.target);
            head = head_chain(builder, active, index, head, meter, public);
            sum = running_sum(builder, active, sum, reading[0]);
            rows.push(RowTargets { active, reading, salt, public, results: (head, sum) });
        }
        // end-head, end-index, running-sum: the claims are what the last row left.
        connect_digest(builder, end, head);
        builder.connect(end_index, index);
        builder.connect(gflop, sum);
        MeterTargets { start, start_index, end, end_index, gflop, rows }
    }

    fn assign(
        targets: &MeterTargets,
        public: &MeterPublic,
        witness: &MeterWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        if witness.len() > N {
            return Err(Violation::new("capacity", format!("{} intervals in {N} rows", witness.len())));
        }
        set_digest(assignment, targets.start, public.start)?;
        set(assignment, targets.start_index, public.start_index)?;
        set_digest(assignment, targets.end, public.end)?;
        set(assignment, targets.end_index, public.end_index)?;
        set(assignment, targets.gflop, public.gflop)?;
        for (position, row) in targets.rows.iter().enumerate() {
            let values = witness.get(position);
            set(assignment, row.active.target, u64::from(values.is_some()))?;
            assign_row(row, &values.copied().unwrap_or_default(), assignment)?;
        }
        Ok(())
    }
}

fn assign_row(row: &RowTargets, values: &MeterRow, assignment: &mut Assignment) -> Result<(), Violation> {
    let targets = row.reading.iter().chain(&row.salt).chain(&row.public);
    let values = values.reading.iter().chain(&values.salt).chain(&values.public);
    targets.zip(values).try_for_each(|(&target, &value)| set(assignment, target, value))
}

/// reading-bounds: every component is below 2⁵⁶, the carried remainder below 10⁹.
fn reading_bounds(builder: &mut Builder, reading: [Target; 4]) {
    let [declared, rest, metered, energy] = reading;
    for component in [declared, metered, energy] {
        assert_below_power(builder, component, READING_BITS);
    }
    assert_below_power(builder, rest, 30);
    let most = builder.constant(Field::from_canonical_u64(MAX_REST));
    assert_at_most(builder, rest, most, 30);
}

/// meter-commitment: `meter = Poseidon(domain, reading, salt)`.
fn meter_commitment(builder: &mut Builder, reading: [Target; 4], salt: [Target; 4]) -> HashOutTarget {
    let elements: Vec<Target> = reading.into_iter().chain(salt).collect();
    tagged_hash(builder, Domain::Meter, &elements)
}

/// head-chain: an active row's head is `Poseidon(domain, index, previous head, meter, public)`; an inactive row keeps
/// the head.
fn head_chain(
    builder: &mut Builder,
    active: BoolTarget,
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
    let elements = std::array::from_fn(|i| builder.select(active, next.elements[i], previous.elements[i]));
    HashOutTarget { elements }
}

/// running-sum: an active row adds its declared GFLOP; the sum is checked at every row, so that it cannot wrap.
fn running_sum(builder: &mut Builder, active: BoolTarget, sum: Target, declared: Target) -> Target {
    let sum = builder.mul_add(active.target, declared, sum);
    assert_below_power(builder, sum, SUM_BITS);
    sum
}
