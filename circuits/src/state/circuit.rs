//! **Duty.** A state as targets: its digest, and the steps of a chain as constraints, one function per property of
//! docs/CONSTRAINTS.md.

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use weighbridge_attest_types::Domain;

use super::{COMPONENTS, State, TOTAL_BITS};
use crate::Violation;
use crate::gadgets::{assert_below_power, select_digest, set, tagged_hash};
use crate::statement::{Assignment, Builder, Field};

/// The elements of a state.
#[derive(Debug, Clone)]
pub(crate) struct StateTargets {
    pub(crate) genesis: [Target; 5],
    /// Digest of the closed chains,
    pub(crate) list: HashOutTarget,
    /// and their number.
    pub(crate) count: Target,
    /// 1 while a chain is open.
    pub(crate) open: Target,
    pub(crate) start: HashOutTarget,
    pub(crate) head: HashOutTarget,
    pub(crate) index: Target,
    pub(crate) totals: [Target; COMPONENTS],
}

impl StateTargets {
    /// A state that the prover names.
    pub(crate) fn new(builder: &mut Builder) -> Self {
        Self {
            genesis: builder.add_virtual_target_arr(),
            list: builder.add_virtual_hash(),
            count: builder.add_virtual_target(),
            open: builder.add_virtual_target(),
            start: builder.add_virtual_hash(),
            head: builder.add_virtual_hash(),
            index: builder.add_virtual_target(),
            totals: builder.add_virtual_target_arr(),
        }
    }

    /// A state without an open chain.
    pub(crate) fn closed(
        builder: &mut Builder,
        genesis: [Target; 5],
        list: HashOutTarget,
        count: Target,
        totals: [Target; COMPONENTS],
    ) -> Self {
        let zero = builder.zero();
        let nothing = HashOutTarget { elements: [zero; 4] };
        Self { genesis, list, count, open: zero, start: nothing, head: nothing, index: zero, totals }
    }

    /// In the order of [`State::elements`].
    pub(crate) fn elements(&self) -> Vec<Target> {
        let Self { genesis, list, count, open, start, head, index, totals } = self;
        let mut elements = genesis.to_vec();
        elements.extend(list.elements);
        elements.extend([*count, *open]);
        elements.extend(start.elements);
        elements.extend(head.elements);
        elements.push(*index);
        elements.extend(totals);
        elements
    }

    pub(crate) fn digest(&self, builder: &mut Builder) -> HashOutTarget {
        tagged_hash(builder, Domain::MeterState, &self.elements())
    }

    pub(crate) fn assign(&self, state: &State, assignment: &mut Assignment) -> Result<(), Violation> {
        self.elements().into_iter().zip(state.elements()).try_for_each(|(target, value)| set(assignment, target, value))
    }

    /// state-form: the flag is 0 or 1, a state without an open chain has zeros in its place, totals are in range.
    /// Every reachable state has this form; asked once, so that no step leans on what came before the proof.
    pub(crate) fn state_form(&self, builder: &mut Builder) {
        builder.assert_bool(BoolTarget::new_unsafe(self.open));
        let of_the_chain = self.start.elements.into_iter().chain(self.head.elements).chain([self.index]);
        for element in of_the_chain {
            let kept = builder.mul(self.open, element);
            builder.connect(kept, element);
        }
        self.totals_in_range(builder);
    }

    /// running-totals: each total is below 2⁶².
    pub(crate) fn totals_in_range(&self, builder: &mut Builder) {
        for total in self.totals {
            assert_below_power(builder, total, TOTAL_BITS);
        }
    }

    /// begins-closed, begins-at-zero: a chain begins where none is open, at index 0, with its `head_0` as head.
    pub(crate) fn begin(&mut self, builder: &mut Builder, begins: BoolTarget, start: HashOutTarget) {
        let both = builder.mul(begins.target, self.open);
        builder.assert_zero(both);
        self.open = builder.add(self.open, begins.target);
        self.start = select_digest(builder, begins, start, self.start);
        self.head = select_digest(builder, begins, start, self.head);
        self.index = unless(builder, begins, self.index);
    }

    /// active-open: whatever moved the index moved it inside a chain.
    pub(crate) fn moved_inside_a_chain(&self, builder: &mut Builder, index_before: Target) {
        let moved = builder.sub(self.index, index_before);
        let inside = builder.mul(moved, self.open);
        builder.connect(inside, moved);
    }

    /// ends-open, chain-list: an open chain is closed with its start, last head and count, and leaves zeros behind.
    pub(crate) fn end_chain(&mut self, builder: &mut Builder, ends: BoolTarget) {
        let both = builder.mul(ends.target, self.open);
        builder.connect(both, ends.target);
        let mut elements = self.list.elements.to_vec();
        elements.extend(self.start.elements);
        elements.extend(self.head.elements);
        elements.push(self.index);
        let longer = tagged_hash(builder, Domain::ChainList, &elements);
        self.list = select_digest(builder, ends, longer, self.list);
        self.count = builder.add(self.count, ends.target);
        self.open = builder.sub(self.open, ends.target);
        self.start.elements = self.start.elements.map(|element| unless(builder, ends, element));
        self.head.elements = self.head.elements.map(|element| unless(builder, ends, element));
        self.index = unless(builder, ends, self.index);
    }
}

/// The value, or 0 where the flag is set: one operation.
fn unless(builder: &mut Builder, flag: BoolTarget, value: Target) -> Target {
    builder.arithmetic(Field::NEG_ONE, Field::ONE, flag.target, value, value)
}
