//! **Duty.** A run's chains added up natively: every opening within bounds, every head as it follows, no total beyond its
//! range. What a proof would claim, without proving it.

use std::collections::BTreeMap;
use std::fmt;

use weighbridge_attest_types::{Digest32, PoseidonDigest, WitnessRow};

use super::cut::{self, LeafChoice};
use super::job::Plan;
use crate::meter::MeterRow;
use crate::state::{COMPONENTS, ChainList, State};
use crate::{Component, ProveError, ThresholdPublic, TotalRelation, Violation};

/// One chain with its private openings.
#[derive(Debug, Clone)]
pub struct ChainWitness {
    /// `head_0`.
    pub start: PoseidonDigest,
    /// Digests of the public facts, in order.
    pub publics: Vec<Digest32>,
    /// Openings of the meter commitments, in order.
    pub rows: Vec<WitnessRow>,
}

/// Chains whose openings add up; the only constructor is [`Weighed::of`].
#[derive(Clone)]
pub struct Weighed<'a> {
    genesis: Digest32,
    chains: &'a [ChainWitness],
    list: ChainList,
    totals: [u64; COMPONENTS],
}

/// Totals stay out of logs.
impl fmt::Debug for Weighed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighed").field("genesis", &self.genesis).field("list", &self.list).finish_non_exhaustive()
    }
}

impl ChainWitness {
    pub(super) fn row(&self, interval: usize) -> MeterRow {
        MeterRow::of(&self.rows[interval], self.publics[interval])
    }

    fn check_lengths(&self, chain: usize) -> Result<(), ProveError> {
        match self.rows.len() == self.publics.len() {
            true => Ok(()),
            false => {
                let (openings, intervals) = (self.rows.len(), self.publics.len());
                Err(ProveError::Openings { chain, openings, intervals })
            }
        }
    }
}

impl<'a> Weighed<'a> {
    /// Adds the chains up, in roster order and then in the order of a node's keys.
    ///
    /// # Errors
    /// [`ProveError`]: no chain, one chain twice, openings that are missing or out of bounds, a total out of range.
    pub fn of(genesis: Digest32, chains: &'a [ChainWitness]) -> Result<Self, ProveError> {
        if chains.is_empty() {
            return Err(ProveError::NoChains);
        }
        let mut starts: BTreeMap<PoseidonDigest, usize> = BTreeMap::new();
        let mut state = State::initial(genesis);
        for (position, chain) in (1..).zip(chains) {
            // `head_0` holds the node key: one start twice would count one chain twice.
            if let Some(first) = starts.insert(chain.start, position) {
                return Err(ProveError::Repeated { first, second: position });
            }
            chain.check_lengths(position)?;
            let at = |violation| ProveError::InChain { chain: position, violation };
            state.begin(chain.start).map_err(at)?;
            (0..chain.rows.len()).try_for_each(|interval| state.advance(&chain.row(interval))).map_err(at)?;
            state.end_chain().map_err(at)?;
        }
        Ok(Self { genesis, chains, list: state.closed, totals: state.totals })
    }

    /// Number of intervals.
    #[must_use]
    pub fn intervals(&self) -> usize {
        self.chains.iter().map(|chain| chain.rows.len()).sum()
    }

    /// All chains as one digest and their number.
    #[must_use]
    pub const fn list(&self) -> ChainList {
        self.list
    }

    /// The exact total of one component, in GFLOP or joule. Private: it never leaves the operator.
    #[must_use]
    pub const fn total(&self, component: Component) -> u64 {
        self.totals[component.position()]
    }

    pub(crate) const fn totals(&self) -> [u64; COMPONENTS] {
        self.totals
    }

    pub(super) const fn chains(&self) -> &'a [ChainWitness] {
        self.chains
    }

    pub(super) const fn genesis(&self) -> Digest32 {
        self.genesis
    }

    /// The statement about these chains, if it is true.
    ///
    /// # Errors
    /// [`ProveError::Violation`] names the relation that does not hold.
    pub fn statement(&self, relations: &[TotalRelation], context: Digest32) -> Result<ThresholdPublic, ProveError> {
        let public =
            ThresholdPublic { genesis: self.genesis, chains: self.list, relations: relations.to_vec(), context };
        let inputs = public.inputs();
        let inputs = inputs.map_err(|error| ProveError::Violation(Violation::new("bounds", error.to_string())))?;
        inputs.check_totals(self.totals).map_err(ProveError::Violation)?;
        Ok(public)
    }

    /// The work of proving a statement about these chains.
    ///
    /// # Errors
    /// [`ProveError::Violation`]: the statement is about something else, or false.
    pub fn plan(
        &self,
        statement: &ThresholdPublic,
        leaves: LeafChoice,
        is_compact: bool,
    ) -> Result<Plan<'a>, ProveError> {
        if *statement != self.statement(&statement.relations, statement.context)? {
            let violation = Violation::new("claims-pass", "the statement is about other chains");
            return Err(ProveError::Violation(violation));
        }
        let leaves = cut::leaves(self, leaves).map_err(ProveError::Violation)?;
        Ok(Plan::of(self, statement.clone(), leaves, is_compact))
    }
}
