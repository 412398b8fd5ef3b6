//! **Duty.** Between which two points of a run a proof leads. Every leaf and every fold proves a step from one state to
//! another; two proofs follow each other when the state in the middle is one. **Knows** what is carried along a run:
//! closed chains, the open one, running totals. **Does not know** how a step is proven.
//! **Spec.** PROTOCOL §4 statements 1 and 6; decision 0055 (state machine), 0056 (how it would grow).

mod circuit;

use weighbridge_attest_types::{Canonical, CodecError, Decoder, Digest32, Domain, Encoder, PoseidonDigest};
use weighbridge_commitments::{digest_elements, poseidon};

use crate::Violation;
use crate::meter::MeterRow;

pub(crate) use circuit::StateTargets;

/// Components that are added up: declared GFLOP, metered GFLOP, energy in joule.
pub(crate) const COMPONENTS: usize = 3;
/// Bits of every total. The sum of 64 readings below 2⁵⁶ is at most 2⁶², so that a total that is checked every 64
/// intervals stays below 2⁶³ in between and cannot wrap around p.
pub(crate) const TOTAL_BITS: usize = 62;
/// Where the components stand in a reading: declared, rest, metered, energy.
pub(crate) const COMPONENT_IN_READING: [usize; COMPONENTS] = [0, 2, 3];

/// One key's chain as a reader knows it: everything here is recomputed from its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainClaim {
    /// `head_0`.
    pub start: PoseidonDigest,
    /// Last head.
    pub end: PoseidonDigest,
    /// Number of intervals.
    pub count: u64,
}

/// All closed chains of a run in their order, as one digest and their number: whoever has the ledgers recomputes it, and
/// a chain that is missing, late, cut, repeated or out of order gives another digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainList {
    digest: PoseidonDigest,
    count: u64,
}

/// A chain that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenChain {
    pub(crate) start: PoseidonDigest,
    pub(crate) head: PoseidonDigest,
    pub(crate) index: u64,
}

/// One point of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) genesis: Digest32,
    pub(crate) closed: ChainList,
    pub(crate) open: Option<OpenChain>,
    pub(crate) totals: [u64; COMPONENTS],
}

impl ChainList {
    /// The list of these chains.
    #[must_use]
    pub fn of<'a>(chains: impl IntoIterator<Item = &'a ChainClaim>) -> Self {
        let mut list = Self::default();
        chains.into_iter().for_each(|chain| list.push(chain));
        list
    }

    /// Appends a chain.
    pub fn push(&mut self, chain: &ChainClaim) {
        let mut elements = self.digest.elements().to_vec();
        elements.extend(chain.start.elements());
        elements.extend(chain.end.elements());
        elements.push(chain.count);
        self.digest = poseidon(Domain::ChainList, &elements);
        self.count = self.count.saturating_add(1);
    }

    /// The digest; zero while nothing is closed.
    #[must_use]
    pub const fn digest(&self) -> PoseidonDigest {
        self.digest
    }

    /// Number of chains.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn elements(&self) -> [u64; 5] {
        let [a, b, c, d] = self.digest.elements();
        [a, b, c, d, self.count]
    }
}

impl Canonical for ChainList {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.digest).put(&self.count);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { digest: input.take()?, count: input.take()? })
    }
}

impl State {
    /// Before the first interval of a run: nothing closed, nothing open, nothing weighed.
    pub(crate) fn initial(genesis: Digest32) -> Self {
        Self { genesis, closed: ChainList::default(), open: None, totals: [0; COMPONENTS] }
    }

    /// The elements in circuit order. A state without an open chain has zeros in its place.
    pub(crate) fn elements(&self) -> Vec<u64> {
        let zeros = OpenChain { start: PoseidonDigest::default(), head: PoseidonDigest::default(), index: 0 };
        let OpenChain { start, head, index } = self.open.unwrap_or(zeros);
        let mut elements = digest_elements(self.genesis).to_vec();
        elements.extend(self.closed.elements());
        elements.push(u64::from(self.open.is_some()));
        elements.extend(start.elements());
        elements.extend(head.elements());
        elements.push(index);
        elements.extend(self.totals);
        elements
    }

    /// What stands for it in public inputs.
    pub(crate) fn digest(&self) -> PoseidonDigest {
        poseidon(Domain::MeterState, &self.elements())
    }

    /// Begins a chain at its `head_0`.
    pub(crate) fn begin(&mut self, start: PoseidonDigest) -> Result<(), Violation> {
        if self.open.is_some() {
            return Err(Violation::new("begins-closed", "a chain begins while another is open"));
        }
        self.open = Some(OpenChain { start, head: start, index: 0 });
        Ok(())
    }

    /// One more interval of the open chain.
    pub(crate) fn advance(&mut self, row: &MeterRow) -> Result<(), Violation> {
        let Some(open) = &mut self.open else {
            return Err(Violation::new("active-open", "an interval stands outside every chain"));
        };
        let index = open.index.checked_add(1).ok_or_else(|| Violation::new("head-chain", "the index overflows"))?;
        row.check_bounds(index)?;
        *open = OpenChain { start: open.start, head: row.next_head(index, open.head), index };
        for (total, component) in self.totals.iter_mut().zip(COMPONENT_IN_READING) {
            let sum = total.checked_add(row.reading[component]).filter(|sum| sum >> TOTAL_BITS == 0);
            let why =
                || Violation::new("running-totals", format!("a total reaches 2^{TOTAL_BITS} at interval {index}"));
            *total = sum.ok_or_else(why)?;
        }
        Ok(())
    }

    /// Closes the open chain.
    pub(crate) fn end_chain(&mut self) -> Result<(), Violation> {
        let Some(OpenChain { start, head, index }) = self.open.take() else {
            return Err(Violation::new("ends-open", "a chain ends that has not begun"));
        };
        self.closed.push(&ChainClaim { start, end: head, count: index });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::digest;

    fn claim(seed: u64, count: u64) -> ChainClaim {
        ChainClaim { start: digest(seed), end: digest(seed + 100), count }
    }

    #[test]
    fn every_change_of_the_chains_changes_their_list() {
        let honest = [claim(1, 3), claim(2, 4), claim(3, 5)];
        let list = ChainList::of(&honest);
        assert_eq!(list.count(), 3);
        let mut others: Vec<Vec<ChainClaim>> = vec![
            honest[..2].to_vec(),
            honest[1..].to_vec(),
            vec![honest[0], honest[2]],
            vec![honest[1], honest[0], honest[2]],
            [&honest[..], &honest[2..]].concat(),
            Vec::new(),
        ];
        for chain in 0..3 {
            let change: [fn(&mut ChainClaim); 4] = [
                |claim| claim.count -= 1,
                |claim| claim.start = digest(77),
                |claim| claim.end = digest(77),
                |claim| std::mem::swap(&mut claim.start, &mut claim.end),
            ];
            for change in change {
                let mut other = honest.to_vec();
                change(&mut other[chain]);
                others.push(other);
            }
        }
        let mut lists: Vec<_> = others.iter().map(|chains| ChainList::of(chains).elements()).collect();
        lists.push(list.elements());
        lists.sort_unstable();
        lists.dedup();
        assert_eq!(lists.len(), others.len() + 1);
    }

    #[test]
    fn an_open_state_is_never_a_closed_one() {
        let mut open = State::initial(Digest32([1; 32]));
        open.begin(PoseidonDigest::default()).expect("nothing is open");
        assert_ne!(open.digest(), State::initial(Digest32([1; 32])).digest());
        assert_ne!(State::initial(Digest32([1; 32])).digest(), State::initial(Digest32([2; 32])).digest());
        assert_eq!(open.begin(digest(1)).map_err(|violation| violation.property), Err("begins-closed"));
        open.end_chain().expect("open");
        assert_eq!(open.end_chain().map_err(|violation| violation.property), Err("ends-open"));
        assert_eq!(open.advance(&MeterRow::default()).map_err(|violation| violation.property), Err("active-open"));
    }
}
