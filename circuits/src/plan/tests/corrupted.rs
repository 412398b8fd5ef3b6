//! **Duty.** Runs with one thing changed: the statement of the honest ledgers must not follow from them, natively under the right
//! name, and no assignment of the honest leaves may hold.

use weighbridge_attest_types::{Digest32, PoseidonDigest, Reading};

use super::ledgers::{Random, chain, run};
use super::{CONTEXT, GENESIS, SMALL, leaves_of, of_all, within};
use crate::meter::MeterWitness;
use crate::plan::cut::Leaf;
use crate::plan::{ChainWitness, LeafChoice, Weighed};
use crate::testing::claim_holds;
use crate::testing::tree::Tree;
use crate::{ProveError, ThresholdPublic};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Corruption {
    Reading,
    Rest,
    Salt,
    Public,
    SkippedInterval,
    RepeatedInterval,
    SwappedIntervals,
    LateStart,
    DroppedTail,
    MissingChain,
    ChainTwice,
    SwappedChains,
    OtherStart,
    EndsSwapped,
    ForeignChain,
    MissingOpening,
}

use Corruption as C;

const ALL: [Corruption; 16] = [
    C::Reading,
    C::Rest,
    C::Salt,
    C::Public,
    C::SkippedInterval,
    C::RepeatedInterval,
    C::SwappedIntervals,
    C::LateStart,
    C::DroppedTail,
    C::MissingChain,
    C::ChainTwice,
    C::SwappedChains,
    C::OtherStart,
    C::EndsSwapped,
    C::ForeignChain,
    C::MissingOpening,
];

/// At least two chains, each with at least three intervals: everything below has something to act on.
fn sturdy(random: &mut Random) -> Vec<ChainWitness> {
    let mut chains = run(random, 3, 8);
    chains.push(chain(random, 90, 3));
    chains.push(chain(random, 91, 4));
    chains.retain(|chain| chain.rows.len() >= 3);
    chains
}

fn corrupt(chains: &mut Vec<ChainWitness>, corruption: Corruption, random: &mut Random) {
    let at = usize::try_from(random.below(chains.len() as u64)).expect("small");
    let last = chains[at].rows.len() - 1;
    let interval = usize::try_from(random.below(last as u64)).expect("small");
    let both = |chain: &mut ChainWitness, change: &dyn Fn(&mut Vec<usize>)| {
        let mut order: Vec<usize> = (0..chain.rows.len()).collect();
        change(&mut order);
        chain.rows = order.iter().map(|&i| chain.rows[i]).collect();
        chain.publics = order.iter().map(|&i| chain.publics[i]).collect();
    };
    let chain = &mut chains[at];
    match corruption {
        C::Reading | C::Rest => {
            let [declared, _, metered, energy] = chain.rows[interval].reading.elements();
            let rest = chain.rows[interval].reading.declared_rest();
            let reading = match corruption {
                C::Reading => Reading::new(declared ^ 1, rest, metered, energy),
                _ => Reading::new(declared, rest ^ 1, metered, energy),
            };
            chain.rows[interval].reading = reading.expect("in range");
        }
        C::Salt => chain.rows[interval].salt[5] ^= 1,
        C::Public => chain.publics[interval] = Digest32([9; 32]),
        C::SkippedInterval => both(chain, &|order| {
            order.remove(interval);
        }),
        C::RepeatedInterval => both(chain, &|order| order.insert(interval, order[interval])),
        C::SwappedIntervals => both(chain, &|order| order.swap(interval, interval + 1)),
        C::LateStart => both(chain, &|order| {
            order.remove(0);
        }),
        C::DroppedTail => both(chain, &|order| {
            order.pop();
        }),
        C::MissingChain => {
            chains.remove(at);
        }
        C::ChainTwice => {
            let again = chain.clone();
            chains.push(again);
        }
        C::SwappedChains => {
            let other = (at + 1) % chains.len();
            chains.swap(at, other);
        }
        C::OtherStart => {
            let mut elements = chain.start.elements();
            elements[1] ^= 1;
            chain.start = PoseidonDigest::from_elements(elements).expect("canonical");
        }
        C::EndsSwapped => both(chain, &|order| order.reverse()),
        C::ForeignChain => chain.publics.iter_mut().for_each(|public| public.0[0] ^= 1),
        C::MissingOpening => {
            chain.rows.pop();
        }
    }
}

/// The name under which a corrupted run is refused.
fn refusal(chains: &[ChainWitness], honest: &ThresholdPublic) -> &'static str {
    let weighed = match Weighed::of(GENESIS, chains) {
        Ok(weighed) => weighed,
        Err(ProveError::Repeated { .. }) => return "repeated",
        Err(ProveError::Openings { .. }) => return "openings",
        Err(error) => panic!("{error:?}"),
    };
    match weighed.plan(honest, LeafChoice::Any, false) {
        Err(ProveError::Violation(violation)) => violation.property,
        other => panic!("{other:?}"),
    }
}

#[test]
fn corrupted_runs_are_refused_under_the_right_name() {
    for seed in 0..of_all(1_000) {
        let random = &mut Random::new(10_000 + seed);
        let honest = sturdy(random);
        let weighed = Weighed::of(GENESIS, &honest).expect("honest");
        let public = weighed.statement(&[within()], CONTEXT).expect("true");
        let corruption = ALL[usize::try_from(seed).expect("small") % ALL.len()];
        let mut chains = honest.clone();
        corrupt(&mut chains, corruption, random);
        let expected = match corruption {
            C::ChainTwice => "repeated",
            C::MissingOpening => "openings",
            _ => "claims-pass",
        };
        assert_eq!(refusal(&chains, &public), expected, "{corruption:?}, seed {seed}");
    }
}

/// The first leaf of the corrupted run whose witness is not that of the honest leaf in its place.
fn first_difference(
    honest: &[Leaf],
    chains: [&[ChainWitness]; 2],
    corrupted: &[Leaf],
) -> Option<(usize, MeterWitness)> {
    let [ours, theirs] = chains;
    let place =
        honest.iter().zip(corrupted).position(|(honest, other)| honest.witness(ours) != other.witness(theirs))?;
    Some((place, corrupted[place].witness(theirs)))
}

#[test]
fn corrupted_leaves_are_no_proof_of_the_honest_step() {
    let circuit = &Tree::get().meter;
    let mut forged = 0;
    for seed in 0..of_all(200) {
        let random = &mut Random::new(20_000 + seed);
        let honest = sturdy(random);
        let corruption = ALL[usize::try_from(seed).expect("small") % (ALL.len() - 1)];
        let mut chains = honest.clone();
        corrupt(&mut chains, corruption, random);
        if matches!(corruption, C::ChainTwice) {
            // Natively refused at once; to the circuit it is a chain like another, and only the list tells.
            chains.last_mut().expect("a chain").start = PoseidonDigest::from_elements([8; 4]).expect("small");
        }
        let (ours, theirs) = (Weighed::of(GENESIS, &honest), Weighed::of(GENESIS, &chains));
        let ours = leaves_of(&ours.expect("honest"), |_| SMALL).expect("honest");
        let theirs = leaves_of(&theirs.expect("adds up"), |_| SMALL).expect("adds up");
        let Some((place, witness)) = first_difference(&ours, [&honest, &chains], &theirs) else {
            // Only whole leaves are missing or too many: then the last states differ.
            assert_ne!(ours.last().map(|leaf| leaf.transition), theirs.last().map(|leaf| leaf.transition));
            continue;
        };
        // Up to here both runs are one, so that the step begins alike; it must not end alike.
        assert_eq!(ours[place].transition.from, witness.from.digest());
        assert!(!claim_holds(circuit, &ours[place].transition, &witness), "{corruption:?}, seed {seed}");
        assert!(claim_holds(circuit, &witness.transition().expect("adds up"), &witness));
        forged += 1;
    }
    assert!(forged > of_all(200) * 3 / 4, "{forged}");
}
