//! **Duty.** What `threshold` means, natively.
//!
//! One proof of the common shape, made by a circuit of the set, leads from the initial state of the run to a state with
//! the published list of closed chains, no open chain, and hidden totals `Σ`. For every relation `low ≤ Σ` and
//! `Σ + chains ≤ high`: the number of chains covers the remainders below one GFLOP that each carries out, so that every
//! relation is rounded against the claim: `≤ T` needs `Σ + chains ≤ T/10⁹`, `> T` needs `Σ > T/10⁹` (PROTOCOL §4).

use weighbridge_attest_types::{Canonical, CodecError, Decoder, Digest32, Encoder, PoseidonDigest};
use weighbridge_commitments::digest_elements;

use super::relation::{MAX_RELATIONS, NOTHING, Slot, TotalRelation};
use crate::aggregation::{Child, KeySet};
use crate::state::{COMPONENTS, ChainList, State, TOTAL_BITS};
use crate::statement::FieldLayout;
use crate::{ProofError, Violation};

/// Chains of one run: a count is an element of the field, and the sum of totals and chains must not wrap.
const MAX_CHAINS: u64 = 1 << 32;

/// `threshold` over one proof of the common shape.
#[derive(Debug)]
pub(crate) struct Threshold;

/// What a reader of the published proof knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdPublic {
    /// The run.
    pub genesis: Digest32,
    /// All its chains, in roster order and then in the order of a node's keys.
    pub chains: ChainList,
    /// What is claimed, 1 to [`MAX_RELATIONS`].
    pub relations: Vec<TotalRelation>,
    /// Digest of what else the statement is about: statement set, roster, period, presence of components. Bound by the
    /// proof; a reader recomputes it.
    pub context: Digest32,
}

/// The public inputs in circuit units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThresholdInputs {
    pub(crate) genesis: Digest32,
    pub(crate) chains: ChainList,
    pub(crate) slots: [Slot; MAX_RELATIONS],
    pub(crate) context: Digest32,
}

/// What stays hidden.
#[derive(Debug, Clone)]
pub(crate) struct ThresholdWitness {
    pub(crate) totals: [u64; COMPONENTS],
    pub(crate) child: Child,
    pub(crate) keys: KeySet,
}

impl ThresholdPublic {
    /// The public inputs in circuit units.
    pub(crate) fn inputs(&self) -> Result<ThresholdInputs, ProofError> {
        let Self { genesis, chains, relations, context } = self;
        if relations.is_empty() || relations.len() > MAX_RELATIONS {
            return Err(ProofError::Public("1 to 8 relations"));
        }
        if !(1..MAX_CHAINS).contains(&chains.count()) {
            return Err(ProofError::Public("1 to 2^32 chains"));
        }
        let mut slots = [NOTHING; MAX_RELATIONS];
        for (slot, relation) in slots.iter_mut().zip(relations) {
            *slot = relation.slot()?;
        }
        Ok(ThresholdInputs { genesis: *genesis, chains: *chains, slots, context: *context })
    }
}

impl FieldLayout for ThresholdInputs {
    fn to_elements(&self) -> Vec<u64> {
        let Self { genesis, chains, slots, context } = self;
        let mut elements = digest_elements(*genesis).to_vec();
        elements.extend(chains.elements());
        elements.extend(slots.iter().flat_map(|slot| [slot.component, slot.low, slot.high]));
        elements.extend(digest_elements(*context));
        elements
    }
}

impl ThresholdInputs {
    /// The native meaning of the bounds alone.
    pub(crate) fn check_totals(&self, totals: [u64; COMPONENTS]) -> Result<(), Violation> {
        let violated =
            |property, slot: usize| Err(Violation::new(property, format!("relation {slot}: the total is beyond it")));
        for (position, slot) in self.slots.iter().enumerate() {
            if slot.low >> TOTAL_BITS != 0 || slot.high >> TOTAL_BITS != 0 {
                return Err(Violation::new("bounds", "a bound is 2^62 or more"));
            }
            let total = usize::try_from(slot.component).ok().and_then(|component| totals.get(component));
            let Some(&total) = total else {
                return Err(Violation::new("component-choice", format!("no component {}", slot.component)));
            };
            if total < slot.low {
                return violated("low-bound", position);
            }
            if total.checked_add(self.chains.count()).is_none_or(|total| total > slot.high) {
                return violated("high-bound", position);
            }
        }
        Ok(())
    }

    /// The native meaning.
    pub(crate) fn check(&self, witness: &ThresholdWitness) -> Result<(), Violation> {
        let ThresholdWitness { totals, child, keys } = witness;
        child.check(keys, keys.root())?;
        if State::initial(self.genesis).digest() != child.step.transition.from {
            return Err(Violation::new("from-the-beginning", "the proof does not begin at the run's first state"));
        }
        let end = State { genesis: self.genesis, closed: self.chains, open: None, totals: *totals };
        if end.digest() != child.step.transition.to {
            return Err(Violation::new("to-the-end", "the proof does not end where all chains are closed"));
        }
        self.check_totals(*totals)
    }
}

impl Canonical for ThresholdPublic {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.genesis).put(&self.chains).count(self.relations.len());
        for relation in &self.relations {
            out.put(relation);
        }
        out.put(&self.context);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (genesis, chains) = (input.take()?, input.take()?);
        let count = input.count("relations", MAX_RELATIONS)?;
        let relations = (0..count).map(|_| input.take()).collect::<Result<_, _>>()?;
        Ok(Self { genesis, chains, relations, context: input.take()? })
    }
}

/// Where the root of verifier keys stands: a constant of the circuit.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    pub(crate) shape: crate::aggregation::Shape,
    pub(crate) root: PoseidonDigest,
}
