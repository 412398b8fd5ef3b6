//! **Duty.** What a prover without any check would assign and claim: flags of any value, states of any form, and the state that
//! the circuit's own arithmetic leaves behind them, in the field. So only the checks are at fault when such a claim fails.

use plonky2::field::types::{Field as _, PrimeField64 as _};
use weighbridge_attest_types::{Domain, PoseidonDigest};
use weighbridge_commitments::poseidon;

use super::{Small, honest, small};
use crate::meter::{MeterRow, MeterWitness, Segment, Transition};
use crate::state::COMPONENT_IN_READING;
use crate::statement::{Assignment, Field, Statement};

/// Positions in the elements of a state.
pub(super) const OPEN: usize = 10;
pub(super) const HEAD: usize = 15;
pub(super) const INDEX: usize = 19;
pub(super) const TOTALS: usize = 20;
const LIST: usize = 5;
const COUNT: usize = 9;
const START: usize = 11;

#[derive(Debug, Clone)]
pub(super) struct RawSegment {
    pub(super) begins: u64,
    pub(super) start: PoseidonDigest,
    pub(super) rows: Vec<(u64, MeterRow)>,
    pub(super) ends: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) from: Vec<u64>,
    pub(super) segments: Vec<RawSegment>,
}

fn field(value: u64) -> Field {
    Field::from_noncanonical_u64(value)
}

fn add(left: u64, right: u64) -> u64 {
    (field(left) + field(right)).to_canonical_u64()
}

fn select(flag: u64, set: u64, otherwise: u64) -> u64 {
    (field(otherwise) + field(flag) * (field(set) - field(otherwise))).to_canonical_u64()
}

fn blend(flag: u64, set: &[u64], values: &mut [u64]) {
    values.iter_mut().zip(set).for_each(|(value, &set)| *value = select(flag, set, *value));
}

impl From<&MeterWitness> for Raw {
    fn from(witness: &MeterWitness) -> Self {
        let nothing = Segment::default();
        let segment = |position: usize| {
            let segment = witness.segments.get(position).unwrap_or(&nothing);
            let row = |i| segment.rows.get(i).map_or((0, MeterRow::default()), |row| (1, *row));
            RawSegment {
                begins: u64::from(segment.begins.is_some()),
                start: segment.begins.unwrap_or_default(),
                rows: (0..4).map(row).collect(),
                ends: u64::from(segment.ends),
            }
        };
        Self { from: witness.from.elements(), segments: (0..3).map(segment).collect() }
    }
}

impl Raw {
    pub(super) fn honest() -> Self {
        Self::from(&honest())
    }

    /// The state that follows, as the circuit computes it.
    pub(super) fn to(&self) -> Vec<u64> {
        self.segments.iter().fold(self.from.clone(), |state, segment| segment.after(state))
    }

    pub(super) fn public(&self) -> Transition {
        self.claiming(&self.to())
    }

    /// The same, with another end claimed.
    pub(super) fn claiming(&self, to: &[u64]) -> Transition {
        let digest = |elements: &[u64]| poseidon(Domain::MeterState, elements);
        Transition { from: digest(&self.from), to: digest(to) }
    }

    /// Sets every input, whatever it is.
    pub(super) fn assignment(&self, public: &Transition) -> Assignment {
        let mut assignment = Assignment::new();
        Small::assign(&small().targets, public, &honest(), &mut assignment).expect("inputs can be set");
        let mut put = |target, value: u64| assignment.target_values.insert(target, field(value));
        for (target, &value) in small().targets.state.elements().into_iter().zip(&self.from) {
            put(target, value);
        }
        for (targets, segment) in small().targets.segments.iter().zip(&self.segments) {
            put(targets.begins.target, segment.begins);
            put(targets.ends.target, segment.ends);
            targets.start.elements.into_iter().zip(segment.start.elements()).for_each(|(target, value)| {
                put(target, value);
            });
            for (targets, (flag, row)) in targets.rows.iter().zip(&segment.rows) {
                put(targets.wires.active, *flag);
                let inputs = targets.wires.reading.iter().chain(&targets.salt).chain(&targets.public);
                let values = row.reading.iter().chain(&row.salt).chain(&row.public);
                inputs.zip(values).for_each(|(&target, &value)| {
                    put(target, value);
                });
            }
        }
        assignment
    }

    /// Whether these inputs satisfy the circuit under this claim.
    pub(super) fn holds_as(&self, public: &Transition) -> bool {
        crate::testing::satisfied(&small().data, self.assignment(public), |_| ())
    }

    /// Whether they do under the claim that follows from them.
    pub(super) fn holds(&self) -> bool {
        self.holds_as(&self.public())
    }
}

impl RawSegment {
    fn after(&self, mut state: Vec<u64>) -> Vec<u64> {
        state[OPEN] = add(state[OPEN], self.begins);
        let start = self.start.elements();
        blend(self.begins, &start, &mut state[START..START + 4]);
        blend(self.begins, &start, &mut state[HEAD..HEAD + 4]);
        blend(self.begins, &[0], &mut state[INDEX..=INDEX]);
        for (flag, row) in &self.rows {
            state[INDEX] = add(state[INDEX], *flag);
            let head: [u64; 4] = std::array::from_fn(|i| state[HEAD + i]);
            let head = PoseidonDigest::from_elements(head).expect("canonical");
            let next = row.next_head(state[INDEX], head).elements();
            blend(*flag, &next, &mut state[HEAD..HEAD + 4]);
            for (total, component) in COMPONENT_IN_READING.into_iter().enumerate() {
                let counted = (field(*flag) * field(row.reading[component])).to_canonical_u64();
                state[TOTALS + total] = add(state[TOTALS + total], counted);
            }
        }
        let chain: Vec<u64> = state[LIST..LIST + 4].iter().chain(&state[START..OPEN + 10]).copied().collect();
        let longer = poseidon(Domain::ChainList, &chain).elements();
        blend(self.ends, &longer, &mut state[LIST..LIST + 4]);
        state[COUNT] = add(state[COUNT], self.ends);
        state[OPEN] = (field(state[OPEN]) - field(self.ends)).to_canonical_u64();
        blend(self.ends, &[0; 9], &mut state[START..=INDEX]);
        state
    }
}

#[test]
fn an_honest_prover_claims_the_same() {
    let witness = honest();
    assert_eq!(Raw::honest().public(), witness.transition().expect("honest"));
    assert!(Raw::honest().holds());
}
