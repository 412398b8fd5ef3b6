//! **Duty.** The tile check on real training steps: what a framework computed passes, in whatever order it is added up, and
//! what a forger would commit does not. **Knows** captured steps. **Does not know** the check's rules. **Spec.** CIRCUITS §5.

use weighbridge_audit::Format;
use weighbridge_tests::rates::{SIDES, captured_counts};
use weighbridge_tests::tiles::{
    CHANGES, CapturedStep, Count, KERNELS, MatrixProduct, captured_steps, policy_of, synthetic,
};

const SIDE: usize = 16;

fn count(product: &MatrixProduct, side: usize) -> Count {
    let mut count = Count::default();
    count.add(product, side, &policy_of(product, false));
    count
}

/// Says what was lost, and holds it to the aim: no refusal, at most 1 % not proven.
fn hold(name: &str, count: &Count) {
    let totals = &count.totals;
    println!(
        "{name}: {} tiles, {} refused, {} not proven, {:?}",
        totals.tiles, totals.refused, totals.not_proven, count.reasons
    );
    assert_eq!(totals.refused, 0, "{name}");
    assert!(totals.not_proven * 100 <= totals.tiles, "{name}");
}

#[test]
fn every_tile_of_the_captured_steps_passes() {
    let mut total = Count::default();
    for CapturedStep { name: step, products } in captured_steps() {
        let mut bf16_wide = 0;
        for product in &products {
            let found = count(product, SIDE);
            hold(&format!("{step} {}", product.name), &found);
            assert!(!found.totals.leans(), "{step} {}: errors lie on one side", product.name);
            assert!(found.mean_square() < 0.2, "{step} {}", product.name);
            if product.a.format == Format::Bf16 {
                bf16_wide += found.totals.wide;
            }
            total.merge(&found);
        }
        // The cheap encoding is enough for real bf16 work.
        assert_eq!(bf16_wide, 0, "{step}");
    }
    hold("all", &total);
}

/// `WEIGHBRIDGE_TILE_CHECKS=all` judges more than a million tiles, in minutes; otherwise the smallest products of each step.
#[test]
fn honest_tiles_pass_in_every_order_of_additions() {
    #[expect(clippy::disallowed_methods, reason = "a longer run is an order from the person at the keyboard")]
    let is_whole = std::env::var("WEIGHBRIDGE_TILE_CHECKS").is_ok_and(|value| value == "all");
    let sides: &[usize] = if is_whole { &SIDES } else { &[SIDE] };
    let mut total = Count::default();
    for mut step in captured_steps() {
        if !is_whole {
            step.products.sort_by_key(|product| product.c.values.len() * product.k());
            step.products.truncate(6);
        }
        for (name, found) in captured_counts(&step, sides) {
            hold(&name, &found);
            total.merge(&found);
        }
    }
    hold("all orders", &total);
    assert!(!is_whole || total.totals.tiles >= 1_000_000, "{} tiles", total.totals.tiles);
}

/// The rows of CIRCUITS §5 on real operands: no changed tile passes.
#[test]
fn changed_tiles_of_captured_steps_are_found() {
    for step in captured_steps() {
        // One product of each kind is enough: forward, dgrad, wgrad.
        for kind in ["forward", "dgrad", "wgrad"] {
            let of_kind = step.products.iter().filter(|product| product.name.ends_with(kind));
            let Some(product) = of_kind.min_by_key(|product| product.c.values.len() * product.k()) else { continue };
            for change in &CHANGES {
                let changed = change.apply(product);
                let found = count(&changed, SIDE);
                let name = format!("{} {}: {}", step.name, product.name, change.name);
                let unchanged = same_tiles(product, &changed);
                println!("{name}: {} of {} accepted, {unchanged} unchanged", found.totals.accepted, found.totals.tiles);
                assert_eq!(found.totals.accepted, unchanged, "{name}");
                assert_eq!(found.totals.tiles, product.places(SIDE).len() as u64);
            }
        }
    }
}

/// Tiles on which a change had no effect at all.
fn same_tiles(one: &MatrixProduct, other: &MatrixProduct) -> u64 {
    one.places(SIDE).into_iter().filter(|place| one.tile(SIDE, *place).2 == other.tile(SIDE, *place).2).count() as u64
}

#[test]
fn changed_tiles_over_made_up_operands_are_found_at_every_k() {
    for (operands, output) in [(Format::Bf16, Format::Bf16), (Format::Bf16, Format::F32), (Format::F32, Format::F32)] {
        for k in [64, 256, 4096] {
            let product = synthetic((32, k, 32), operands, output, 3);
            for kernel in &KERNELS {
                hold(
                    &format!("{operands} to {output}, K = {k}, {}", kernel.name),
                    &count(&kernel.compute(&product), SIDE),
                );
            }
            for change in &CHANGES {
                let found = count(&change.apply(&product), SIDE);
                assert_eq!(found.totals.accepted, 0, "{operands} to {output}, K = {k}: {}", change.name);
            }
        }
    }
}
