//! **Duty.** One breakage per constraint. What `check` can express goes through [`refused`]; flags and states that a native type
//! cannot even hold go through [`Raw`], which claims what the circuit's own arithmetic gives.

use weighbridge_attest_types::{GOLDILOCKS_ORDER, PoseidonDigest};

use super::raw::{HEAD, INDEX, OPEN, Raw, TOTALS};
use super::{honest, open, refused, small, transition};
use crate::meter::{Meter, MeterRow, MeterWitness, Segment, Transition};
use crate::state::{ChainClaim, ChainList, State, TOTAL_BITS};
use crate::statement::{Circuit, Statement as _};
use crate::testing::{bump, changed_element, claim_holds, digest, forged_holds, proof_holds, set_wire};

#[test]
fn breaks_state_opens() {
    let witness = honest();
    let public = transition(&witness);
    for element in 0..4 {
        refused(&Transition { from: changed_element(public.from, element), ..public }, &witness, "state-opens");
    }
    // Another run, or totals that were not carried along, under the digest that was promised.
    let mut other = witness.clone();
    other.from.genesis.0[0] ^= 1;
    refused(&public, &other, "state-opens");
    let mut other = witness;
    other.from.totals[0] = 7;
    refused(&public, &other, "state-opens");
}

#[test]
fn breaks_state_form() {
    // An open flag of 2, a head without a chain, a total out of range: none is reachable, and none can be started from.
    for (element, value) in [(OPEN, 2), (HEAD, 9), (INDEX, 1), (TOTALS, 1 << TOTAL_BITS), (TOTALS + 2, 1 << 63)] {
        let mut raw = Raw::honest();
        raw.from[element] = value;
        // Nothing is done, so that only the form is at fault.
        raw.segments.iter_mut().for_each(|segment| {
            (segment.begins, segment.ends) = (0, 0);
            segment.rows.iter_mut().for_each(|(flag, _)| *flag = 0);
        });
        assert!(!raw.holds(), "element {element}");
        raw.from[element] = 0;
        assert!(raw.holds());
    }
}

#[test]
fn breaks_chain_flags() {
    let mut raw = Raw::honest();
    raw.segments[0].begins = 2;
    assert!(!raw.holds());
    let mut raw = Raw::honest();
    raw.segments[2].ends = 2;
    assert!(!raw.holds());
    // A chain counted twice by an end flag of 2, from a state that is open twice.
    raw.from[OPEN] = 1;
    assert!(!raw.holds());
}

#[test]
fn breaks_begins_closed() {
    let mut witness = honest();
    witness.segments[1].begins = Some(digest(9));
    let public = Raw::from(&witness).public();
    refused(&public, &witness, "begins-closed");
    let mut witness = honest();
    witness.from = open();
    refused(&Raw::from(&witness).public(), &witness, "begins-closed");
}

#[test]
fn breaks_begins_at_zero_by_a_late_start() {
    // The chain is claimed to have begun five intervals earlier than it was looked at.
    let late = |raw: &mut Raw| raw.segments[0].begins = 0;
    let mut raw = Raw::honest();
    late(&mut raw);
    raw.from[OPEN] = 1;
    let start = raw.segments[0].start.elements();
    raw.from[11..15].copy_from_slice(&start);
    raw.from[HEAD..HEAD + 4].copy_from_slice(&start);
    raw.from[INDEX] = 5;
    let later = raw.to();
    // From such a state the leaf is honest; it is no state that any chain begins in,
    assert!(raw.holds());
    // and from the initial state it cannot be claimed.
    let honest = Raw::honest();
    assert!(!honest.holds_as(&honest.claiming(&later)));
    // Nor by an index that is moved behind the generators.
    let (witness, public) = (super::honest(), transition(&super::honest()));
    assert!(!forged_holds(small(), &public, &witness, |targets, wires| bump(wires, targets.segments[0].after.index)));
}

#[test]
fn breaks_active_flag() {
    // A flag of 2 would count an interval twice, and one of −1 would take it away again.
    for flag in [2, GOLDILOCKS_ORDER - 1] {
        let mut raw = Raw::honest();
        raw.segments[0].rows[1].0 = flag;
        assert!(!raw.holds(), "{flag}");
    }
    // An inactive row between active ones changes nothing: the witness is then another one's.
    let mut raw = Raw::honest();
    raw.segments[0].rows[1].0 = 0;
    assert!(raw.holds());
}

#[test]
fn breaks_active_open() {
    let mut witness = honest();
    witness.segments[0].begins = None;
    let mut raw = Raw::from(&witness);
    // Let the second segment's end be lawful, so that only the intervals of the first are outside a chain.
    witness.segments[1] = Segment::default();
    raw.segments[1] = Raw::from(&witness).segments[1].clone();
    refused(&raw.public(), &witness, "active-open");
}

/// A reading that is out of bounds in the second interval.
fn with_reading(component: usize, value: u64) -> (Raw, MeterWitness) {
    let mut witness = honest();
    witness.segments[0].rows[1].reading[component] = value;
    (Raw::from(&witness), witness)
}

#[test]
fn breaks_reading_bounds_of_every_component() {
    for component in [0, 2, 3] {
        for value in [1 << 56, (1 << 56) + 5, 1 << 62, GOLDILOCKS_ORDER - 1] {
            let (raw, witness) = with_reading(component, value);
            refused(&raw.public(), &witness, "reading-bounds");
        }
        let (_, lawful) = with_reading(component, (1 << 56) - 1);
        assert!(claim_holds(small(), &transition(&lawful), &lawful), "the bound itself");
    }
}

#[test]
fn breaks_reading_bounds_of_the_rest() {
    for rest in [1_000_000_000, 1 << 30, 1 << 56, GOLDILOCKS_ORDER - 1] {
        let (raw, witness) = with_reading(1, rest);
        refused(&raw.public(), &witness, "reading-bounds");
    }
}

#[test]
fn breaks_reading_bounds_by_limbs_that_add_up() {
    // The generators cut a reading; a forger chooses limbs that add up to it, and one of them is no digit. x + p would
    // need such limbs as well: 56 bits of limbs stay below p.
    for (component, first, count) in [(0, 0, 28), (2, 28, 28), (3, 56, 28)] {
        for value in [1u64 << 56, (1 << 56) + 12_345, GOLDILOCKS_ORDER - 1] {
            let (raw, witness) = with_reading(component, value);
            let held = forged_holds(small(), &raw.public(), &witness, |targets, wires| {
                let limbs = &targets.segments[0].rows[1].wires.limbs[first..first + count];
                for (position, &limb) in limbs.iter().enumerate() {
                    let digits = value >> (2 * position);
                    // What is left stands in the last limb.
                    set_wire(wires, limb, if position + 1 == count { digits } else { digits % 4 });
                }
            });
            assert!(!held, "component {component}, {value}");
        }
    }
    // The remainder's complement, likewise: MAX − rest is negative, and stands in one limb.
    let (raw, witness) = with_reading(1, 1_000_000_000);
    let held = forged_holds(small(), &raw.public(), &witness, |targets, wires| {
        let limbs = &targets.segments[0].rows[1].wires.limbs[99..];
        limbs.iter().for_each(|&limb| set_wire(wires, limb, 0));
        set_wire(wires, limbs[0], GOLDILOCKS_ORDER - 1);
    });
    assert!(!held);
}

#[test]
fn breaks_meter_commitment() {
    // Another salt, or another reading with the totals that go with it, under the end that was promised.
    let public = transition(&honest());
    for element in 0..4 {
        let mut other = honest();
        other.segments[0].rows[1].salt[element] += 1;
        refused(&public, &other, "end-state");
    }
    for component in 0..4 {
        let mut other = honest();
        other.segments[0].rows[1].reading[component] -= 1;
        refused(&public, &other, "end-state");
        // Only the heads are the promised ones; the totals are claimed as the openings give them.
        let (mut claimed, lied) = (Raw::honest().to(), Raw::from(&other));
        claimed[TOTALS..].copy_from_slice(&lied.to()[TOTALS..]);
        assert!(!lied.holds_as(&lied.claiming(&claimed)), "component {component}");
    }
}

#[test]
fn breaks_head_chain_by_a_skipped_interval() {
    // Interval 2 left out; index and totals are claimed to match, so that only the head can tell.
    let mut skipped = honest();
    skipped.segments[0].rows.remove(1);
    let (raw, honest) = (Raw::from(&skipped), Raw::honest());
    refused(&honest.public(), &skipped, "end-state");
    let mut claimed = raw.to();
    claimed[..TOTALS].copy_from_slice(&honest.to()[..TOTALS]);
    assert!(!raw.holds_as(&raw.claiming(&claimed)));
}

#[test]
fn breaks_head_chain_by_swapped_intervals() {
    let mut swapped = honest();
    swapped.segments[0].rows.swap(0, 1);
    refused(&transition(&honest()), &swapped, "end-state");
}

#[test]
fn breaks_head_chain_by_another_start() {
    let mut other = honest();
    other.segments[0].begins = Some(changed_element(digest(1), 0));
    refused(&transition(&honest()), &other, "end-state");
}

#[test]
fn breaks_head_chain_behind_the_generators() {
    let witness = honest();
    let public = transition(&witness);
    for element in 0..4 {
        let forged = |change: fn(&super::super::circuit::MeterTargets, usize) -> plonky2::iop::target::Target| {
            forged_holds(small(), &public, &witness, |targets, wires| bump(wires, change(targets, element)))
        };
        assert!(!forged(|targets, element| targets.segments[0].rows[1].wires.before[element]));
        assert!(!forged(|targets, element| targets.segments[0].rows[1].wires.follows[element]));
        assert!(!forged(|targets, element| targets.segments[0].rows[1].wires.after[element]));
        assert!(!forged(|targets, element| targets.segments[1].rows[3].wires.after[element]), "an inactive row");
        assert!(!forged(|targets, element| targets.segments[0].rows[1].public[element]));
    }
}

#[test]
fn breaks_running_totals() {
    let honest = Raw::honest();
    for component in 0..3 {
        for change in [1, GOLDILOCKS_ORDER - 1] {
            let mut to = honest.to();
            to[TOTALS + component] = to[TOTALS + component].wrapping_add(change) % GOLDILOCKS_ORDER;
            assert!(!honest.holds_as(&honest.claiming(&to)), "component {component}");
        }
    }
    // Two totals exchanged.
    let mut to = honest.to();
    to.swap(TOTALS, TOTALS + 1);
    assert!(!honest.holds_as(&honest.claiming(&to)));
}

#[test]
fn breaks_running_totals_by_a_wrong_carry() {
    let witness = honest();
    let public = transition(&witness);
    for segment in 0..3 {
        for component in 0..3 {
            assert!(!forged_holds(small(), &public, &witness, |targets, wires| {
                bump(wires, targets.segments[segment].after.totals[component]);
            }));
        }
    }
}

#[test]
fn breaks_running_totals_by_an_inactive_row_that_counts() {
    // The reading stands in the row and is left out of the chain: it must be left out of the total.
    let mut raw = Raw::honest();
    raw.segments[1].rows[2] = (0, MeterRow { reading: [500, 0, 600, 700], ..MeterRow::default() });
    assert!(raw.holds(), "an inactive row changes nothing");
    let mut to = raw.to();
    to[TOTALS] += 500;
    assert!(!raw.holds_as(&raw.claiming(&to)));
}

#[test]
fn breaks_running_totals_by_wrapping_around_the_field() {
    // From just below the range, four of the greatest readings leave it; five times sixty-four would wrap around p.
    for component in 0..3 {
        let mut witness = honest();
        witness.from.totals[component] = (1 << TOTAL_BITS) - 1;
        refused(&Raw::from(&witness).public(), &witness, "running-totals");
    }
    type Wide = Meter<1, 64>;
    let circuit = Circuit::<Wide>::build(&());
    let greatest = MeterRow { reading: [(1 << 56) - 1, 0, 0, 0], ..MeterRow::default() };
    let through = |total: u64| {
        let mut from = State::initial(super::GENESIS);
        from.totals[0] = total;
        let segment = Segment { begins: Some(digest(1)), rows: vec![greatest; 64], ends: true };
        MeterWitness { from, segments: vec![segment] }
    };
    // 64 of the greatest readings fit exactly from 63 on, and no more from 64.
    let fits = through(63);
    assert_eq!(fits.to().expect("in range").totals[0], (1 << TOTAL_BITS) - 1);
    assert!(claim_holds(&circuit, &transition(&fits), &fits));
    let leaves = through(64);
    assert_eq!(leaves.to().map_err(|violation| violation.property), Err("running-totals"));
    let mut to = fits.to().expect("in range");
    to.totals[0] = 1 << TOTAL_BITS;
    let public = Transition { from: leaves.from.digest(), to: to.digest() };
    assert!(Wide::check(&public, &leaves).is_err());
    assert!(!claim_holds(&circuit, &public, &leaves));
}

#[test]
fn breaks_ends_open() {
    let mut witness = honest();
    witness.segments[0] = Segment { begins: None, rows: Vec::new(), ends: true };
    witness.segments[1] = Segment::default();
    refused(&Raw::from(&witness).public(), &witness, "ends-open");
}

/// The state after the honest witness, with other chains in its list.
fn claiming_chains(change: impl FnOnce(&mut [ChainClaim; 2])) -> bool {
    let witness = honest();
    let claims = |witness: &MeterWitness| {
        let mut ends = [ChainClaim::default(); 2];
        let mut state = witness.from;
        let mut next = 0;
        for segment in &witness.segments {
            let last = Segment { ends: false, ..segment.clone() };
            let open = state.through(&last).expect("honest").open;
            state = state.through(segment).expect("honest");
            if let Some(open) = open.filter(|_| segment.ends) {
                ends[next] = ChainClaim { start: open.start, end: open.head, count: open.index };
                next += 1;
            }
        }
        ends
    };
    let mut chains = claims(&witness);
    change(&mut chains);
    let mut to = witness.to().expect("honest");
    to.closed = ChainList::of(&chains);
    let public = Transition { to: to.digest(), ..transition(&witness) };
    let native = super::Small::check(&public, &witness).is_ok();
    assert_eq!(native, claim_holds(small(), &public, &witness));
    native
}

#[test]
fn breaks_chain_list() {
    assert!(claiming_chains(|_| ()));
    assert!(!claiming_chains(|chains| chains.swap(0, 1)), "swapped order");
    assert!(!claiming_chains(|chains| chains[0].count -= 1), "a shorter chain");
    assert!(!claiming_chains(|chains| std::mem::swap(&mut chains[0].start, &mut chains[0].end)), "ends swapped");
    assert!(!claiming_chains(|chains| chains[1] = chains[0]), "one chain twice");
    assert!(!claiming_chains(|chains| chains[1].end = digest(9)), "another end");
    // The number of chains alone.
    let honest = Raw::honest();
    let mut to = honest.to();
    to[9] += 1;
    assert!(!honest.holds_as(&honest.claiming(&to)));
    // A chain that is left open is not in the list.
    let mut witness = super::honest();
    witness.segments[2].ends = false;
    let (claimed, raw) = (Raw::honest().public(), Raw::from(&witness));
    refused(&claimed, &witness, "end-state");
    assert!(!raw.holds_as(&claimed));
}

#[test]
fn breaks_chain_list_behind_the_generators() {
    let witness = honest();
    let public = transition(&witness);
    let after = |targets: &super::super::circuit::MeterTargets| targets.segments[1].after.clone();
    for element in 0..4 {
        assert!(!forged_holds(small(), &public, &witness, |targets, wires| {
            bump(wires, after(targets).list.elements[element]);
        }));
        assert!(!forged_holds(small(), &public, &witness, |targets, wires| {
            bump(wires, after(targets).start.elements[element]);
        }));
    }
    assert!(!forged_holds(small(), &public, &witness, |targets, wires| bump(wires, after(targets).count)));
    assert!(!forged_holds(small(), &public, &witness, |targets, wires| bump(wires, after(targets).open)));
}

#[test]
fn breaks_end_state() {
    let witness = honest();
    let public = transition(&witness);
    for element in 0..4 {
        refused(&Transition { to: changed_element(public.to, element), ..public }, &witness, "end-state");
    }
    refused(&Transition { to: PoseidonDigest::default(), ..public }, &witness, "end-state");
    refused(&Transition { to: public.from, from: public.to }, &witness, "state-opens");
}

#[test]
fn rows_and_proofs_refuse_alike() {
    // The quick question, whether every row's constraints hold, and a proof in earnest give one answer.
    let witness = honest();
    let public = transition(&witness);
    assert!(proof_holds(small(), &public, &witness, |_, _| ()));
    for element in 0..4 {
        let forged = Transition { to: changed_element(public.to, element), ..public };
        assert!(!proof_holds(small(), &forged, &witness, |_, _| ()));
    }
    let (raw, out_of_bounds) = with_reading(0, 1 << 56);
    assert!(!proof_holds(small(), &raw.public(), &out_of_bounds, |_, _| ()));
    for wire in 0..3 {
        let tampered = |targets: &super::super::circuit::MeterTargets| {
            let row = &targets.segments[0].rows[1].wires;
            [row.limbs[3], row.after[0], targets.segments[1].after.totals[1]][wire]
        };
        assert!(!proof_holds(small(), &public, &witness, |targets, wires| bump(wires, tampered(targets))));
        assert!(!forged_holds(small(), &public, &witness, |targets, wires| bump(wires, tampered(targets))));
    }
}
