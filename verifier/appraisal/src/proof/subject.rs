//! **Duty.** What a statement about totals has to be about: the run, all its chains, and the context that its proof
//! binds. THE definition of that context: who proves and who reads compute it here. **Knows** manifest and ledgers.
//! **Does not know** proofs. **Spec.** PROTOCOL §4 (public inputs of the folded proof); decision 0056.

use weighbridge_attest_types::{
    Digest32, Domain, PRESENT_DECLARED, PRESENT_ENERGY, PRESENT_METERED, RunManifest, UnixMillis, sha256,
};
use weighbridge_circuits::{ChainClaim, ChainList, Component};
use weighbridge_ledger::CheckedLedger;

/// Version of the set of statements that can be proven. 1 held four chains and one relation.
pub const STATEMENT_SET: u32 = 2;

/// What a statement about a run's totals is about, recomputed from manifest and ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementSubject {
    genesis: Digest32,
    chains: ChainList,
    context: Digest32,
    /// Intervals without a reading, by component.
    absent: [u64; 3],
}

impl StatementSubject {
    /// The subject of a run: its ledgers in roster order, and then in the order of a node's keys.
    #[must_use]
    pub fn of(manifest: &RunManifest, ledgers: &[&CheckedLedger]) -> Self {
        let claims: Vec<ChainClaim> = ledgers.iter().copied().map(claim).collect();
        let absent = Component::ALL.map(|component| {
            let entries = ledgers.iter().flat_map(|ledger| ledger.entries());
            let bit = Self::presence_bit(component);
            entries.fold(0u64, |sum, entry| sum.saturating_add(u64::from(entry.public.presence.bits() & bit == 0)))
        });
        let chains = ChainList::of(&claims);
        Self { genesis: manifest.genesis(), chains, context: context(manifest, ledgers, absent), absent }
    }

    /// The presence bit of a component's readings.
    #[must_use]
    pub const fn presence_bit(component: Component) -> u8 {
        match component {
            Component::Declared => PRESENT_DECLARED,
            Component::Metered => PRESENT_METERED,
            Component::Energy => PRESENT_ENERGY,
        }
    }

    /// The run.
    #[must_use]
    pub const fn genesis(&self) -> Digest32 {
        self.genesis
    }

    /// All its chains.
    #[must_use]
    pub const fn chains(&self) -> ChainList {
        self.chains
    }

    /// What else the proof binds.
    #[must_use]
    pub const fn context(&self) -> Digest32 {
        self.context
    }

    /// Intervals that have no reading of a component: a sum over it is refused, because absent is not 0.
    #[must_use]
    pub fn absent(&self, component: Component) -> u64 {
        let position = Component::ALL.iter().position(|&known| known == component);
        position.and_then(|position| self.absent.get(position)).copied().unwrap_or(u64::MAX)
    }
}

/// The digest over statement set, roster, period and presence. The period is that of the ledgers' own clocks, from the
/// first interval's start to the last one's end; the bracket from outside is judged beside the proof, not in it.
fn context(manifest: &RunManifest, ledgers: &[&CheckedLedger], absent: [u64; 3]) -> Digest32 {
    let mut roster = weighbridge_attest_types::Encoder::new();
    roster.count(manifest.roster.len());
    for row in &manifest.roster {
        roster.put(row);
    }
    let intervals = || ledgers.iter().flat_map(|ledger| ledger.entries()).map(|entry| &entry.public);
    let from = intervals().map(|public| public.start_wall).min().unwrap_or(UnixMillis(0));
    let to = intervals().map(|public| public.end_wall).max().unwrap_or(UnixMillis(0));
    let mut out = Domain::StatementContext.encoder();
    out.put(&STATEMENT_SET).put(&sha256(&roster.finish())).count(manifest.roster.len());
    out.put(&from).put(&to);
    for missing in absent {
        out.put::<u8>(&u8::from(missing == 0));
    }
    sha256(&out.finish())
}

fn claim(ledger: &CheckedLedger) -> ChainClaim {
    let last = ledger.last_index();
    // A checked ledger has the heads of all its indices.
    let head = |index| ledger.head(index).unwrap_or_default();
    ChainClaim { start: head(0), end: head(last), count: last }
}
