//! **Duty.** How much a bundle shows: derived from its members, never from a word in it. At `open` the readings of every
//! interval are held against the ledgers and added up. **Does not know** whether a reading is true: totals stay
//! `declared`. **Spec.** PROTOCOL §3 (absent is not 0), §7 (levels).

use weighbridge_attest_types::{
    Culprit, Flops, Grade, NodeWitness, PRESENT_DECLARED, PRESENT_ENERGY, PRESENT_METERED, Sentence, TotalLine,
    TwoFigures, two_figures,
};
use weighbridge_circuits::{Component, Relation, TotalRelation};
use weighbridge_ledger::meter_commitment;

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{ProofParts, name};
use crate::nodes::NodeChain;
use crate::text;

const FLOP_PER_GFLOP: u128 = weighbridge_attest_types::FLOP_PER_GFLOP;

/// How much a bundle shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    /// Readings, and so exact totals.
    Open(Totals),
    /// One statement on the grid of two figures.
    TwoFigures,
    /// Verdicts.
    Sealed,
}

/// Sums over all intervals of all chains; `None` where an interval has no reading of that component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    declared: Option<u128>,
    metered: Option<u128>,
    energy: Option<u128>,
}

impl Level {
    /// The level of a bundle with these members; readings that do not fit their ledger are a failure.
    pub(crate) fn of(chains: &[Vec<Option<NodeChain<'_>>>], proof: Option<&ProofParts>, checks: &mut Checks) -> Self {
        match (open(chains, checks), proof) {
            (Some(totals), _) => Self::Open(totals),
            (None, Some(proof)) if proof.public.relations.iter().any(shows_two_figures) => Self::TwoFigures,
            (None, _) => Self::Sealed,
        }
    }

    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::TwoFigures => "two-figures",
            Self::Sealed => "sealed",
        }
    }

    pub(crate) fn basis(&self) -> Sentence {
        match self {
            Self::Open(_) => Sentence::on(
                ["check:readings-complete", "check:readings-open"],
                "the bundle holds the readings of every interval, and each opens its commitment in the ledger",
            ),
            Self::TwoFigures => Sentence::on(
                ["check:proof-bounds", "check:proof-holds"],
                "the bundle shows verdicts, no readings, and the declared total to two figures",
            ),
            Self::Sealed => {
                Sentence::on(["check:members"], "the bundle shows verdicts; readings and totals stay with the operator")
            }
        }
    }

    /// Lines of exact totals; none but at `open`.
    pub(crate) fn totals(&self, evidence: Grade) -> Vec<TotalLine> {
        let Self::Open(Totals { declared, metered, energy }) = self else { return Vec::new() };
        let line = |component: &str, unit: &str, total: Option<u128>, what: &str| TotalLine {
            component: component.to_owned(),
            unit: unit.to_owned(),
            total: total.map(Flops),
            two_figures: total.map(two_figures),
            why: match total {
                Some(_) => {
                    Sentence::on(["check:readings-open"], format!("sum of {what} over every interval of every node"))
                }
                None => Sentence::on(
                    ["check:readings-open"],
                    format!("some interval has no reading of {what}: absent is not zero, so there is no sum"),
                ),
            },
            grade: Grade::Declared.min(evidence),
        };
        vec![
            line("declared", "FLOP", *declared, "the operations that the training job declared"),
            line("metered", "FLOP", *metered, "the operations that counters saw"),
            line("energy", "J", *energy, "the energy that counters saw"),
        ]
    }
}

/// The declared total to two figures.
fn shows_two_figures(relation: &TotalRelation) -> bool {
    relation.component == Component::Declared && is_two_figure_cell(relation)
}

/// Two neighbours of the grid of two figures, or two with one between them.
pub(crate) fn is_two_figure_cell(relation: &TotalRelation) -> bool {
    let Relation::In { low, high } = relation.relation else { return false };
    let Some(start) = TwoFigures::floor(low.0).filter(|start| start.checked_value() == Some(low.0)) else {
        return false;
    };
    [start.next(), start.next().next()].into_iter().any(|end| end.checked_value() == Some(high.0))
}

/// All chains show their readings or none does; each reading opens the commitment of its interval.
fn open(chains: &[Vec<Option<NodeChain<'_>>>], checks: &mut Checks) -> Option<Totals> {
    let chains: Vec<_> = chains.iter().flatten().flatten().collect();
    let shown = chains.iter().filter(|chain| chain.parts().readings.is_some()).count();
    if shown == 0 {
        return None;
    }
    let complete = match shown == chains.len() {
        true => Ok(format!("the readings of all {shown} chains are shown")),
        false => Err(Finding::malformed(format!(
            "{shown} of {} chains show their readings; all do or none does",
            chains.len()
        ))),
    };
    let mut holds = checks.record("bundle", "readings-complete", complete);
    for chain in &chains {
        let Some(readings) = &chain.parts().readings else { continue };
        let path = format!("{}/{}", chain.parts().folder, name::READINGS);
        holds = checks.record(&path, "readings-open", opens(chain, readings)) && holds;
    }
    holds.then(|| Totals {
        declared: sum(&chains, PRESENT_DECLARED),
        metered: sum(&chains, PRESENT_METERED),
        energy: sum(&chains, PRESENT_ENERGY),
    })
}

fn opens(chain: &NodeChain<'_>, readings: &NodeWitness) -> CheckResult {
    let entries = chain.ledger().entries();
    if readings.node_key != chain.ledger().start().node_key {
        return Err(Finding::untrusted("these readings are another node key's"));
    }
    if readings.rows.len() != entries.len() {
        let (rows, intervals) = (readings.rows.len(), entries.len());
        return Err(Finding::untrusted(format!("{rows} readings for {intervals} intervals")));
    }
    let opened = readings.rows.iter().zip(entries).map(|(row, entry)| {
        let same = meter_commitment(&row.reading, &row.salt) == entry.meter;
        (!same).then_some(entry.public.index)
    });
    let wrong: Vec<u64> = opened.flatten().collect();
    match wrong.is_empty() {
        true => Ok(format!("{} readings, each opens the commitment of its interval", entries.len())),
        false => Err(Finding::fail(
            Culprit::Untrusted,
            format!("the readings of these intervals are not what the ledger committed to: {}", text::list(wrong)),
        )),
    }
}

/// The exact sum of one component, if every interval has it. The declared remainder that each chain carries out is
/// added once.
fn sum(chains: &[&NodeChain<'_>], component: u8) -> Option<u128> {
    let mut total = 0u128;
    for chain in chains {
        let rows = &chain.parts().readings.as_ref()?.rows;
        for (row, entry) in rows.iter().zip(chain.ledger().entries()) {
            if entry.public.presence.bits() & component == 0 {
                return None;
            }
            let [declared, _, metered, energy] = row.reading.elements().map(u128::from);
            let amount = match component {
                PRESENT_DECLARED => declared.checked_mul(FLOP_PER_GFLOP)?,
                PRESENT_METERED => metered.checked_mul(FLOP_PER_GFLOP)?,
                _ => energy,
            };
            total = total.checked_add(amount)?;
        }
        if component == PRESENT_DECLARED {
            let rest = rows.last().map_or(0, |row| row.reading.declared_rest());
            total = total.checked_add(u128::from(rest))?;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_on_the_grid_are_a_two_figure_amount() {
        let is_cell = |relation| is_two_figure_cell(&TotalRelation::declared(relation));
        let cell = |low, high| is_cell(Relation::In { low: Flops(low), high: Flops(high) });
        let ten = 10u128.pow(24);
        assert!(cell(23 * ten, 24 * ten) && cell(23 * ten, 25 * ten) && cell(99 * ten, 100 * ten));
        assert!(cell(99 * ten, 110 * ten) && cell(100 * ten, 110 * ten));
        assert!(!cell(23 * ten, 26 * ten) && !cell(23 * ten, 23 * ten) && !cell(231 * ten / 10, 24 * ten));
        assert!(!cell(0, ten));
        assert!(!is_cell(Relation::Le(Flops(23 * ten))));
    }
}
