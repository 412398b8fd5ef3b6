//! **Duty.** Measures false refusals and false acceptances of the tile check over K, formats and error models, and writes
//! docs/audit-rates.md. **Knows** honest kernels and changes (`tiles`). **Does not know** rules of the check.
//! **Spec.** CIRCUITS §5 (trial).

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use weighbridge_audit::Format;

use crate::tiles::{CHANGES, CapturedStep, Count, KERNELS, Kernel, captured_steps, formats, policy_of, synthetic};

const DOCUMENT: &str = "docs/audit-rates.md";
const KS: [usize; 5] = [64, 256, 1024, 4096, 16_384];
const FORMATS: [(Format, Format); 3] =
    [(Format::Bf16, Format::Bf16), (Format::Bf16, Format::F32), (Format::F32, Format::F32)];
/// Rows and columns of a synthetic product: sixteen tiles of 16 × 16.
const SIDE: usize = 64;
/// Products of each cell.
const SEEDS: u64 = 4;
const TILE: usize = 16;
/// Sides at which captured products are cut.
pub const SIDES: [usize; 2] = [16, 8];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    sides: &'static [usize],
    /// Kernels that compute captured products again.
    kernels: &'static [Kernel],
    /// Products of each cell.
    seeds: u64,
    how: &'static str,
}

const WHOLE: Extent = Extent { sides: &SIDES, kernels: &KERNELS, seeds: SEEDS, how: WHOLE_KERNELS };
/// `--brief`: an order of magnitude less work.
const BRIEF: Extent = Extent { sides: &[TILE], kernels: &[KERNELS[3]], seeds: 1, how: BRIEF_KERNELS };
const WHOLE_KERNELS: &str = "and the same products by seven kernels: one after\n\
    the other with FMA, reversed, split-K by 4 and by 32, blocked by 16 lanes with rounded products, pairwise, and f64\n\
    rounded once; in tiles of 16 × 16 and of 8 × 8.";
const BRIEF_KERNELS: &str = "and the same products with\n\
    K split by 32; in tiles of 16 × 16 (`--brief`; without it by seven kernels, and in tiles of 8 × 8 too).";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let extent = if std::env::args().any(|argument| argument == "--brief") { BRIEF } else { WHOLE };
    let steps = captured_steps();
    if steps.is_empty() {
        eprintln!("error: the captured steps are absent; set WEIGHBRIDGE_SHARED");
        return ExitCode::FAILURE;
    }
    let text = document(&steps, &extent);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(DOCUMENT);
    match std::fs::write(&path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: cannot write {}: {why}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn document(steps: &[CapturedStep], extent: &Extent) -> String {
    let date = time::OffsetDateTime::now_utc().date();
    let mut text = format!(
        "# How often the tile check is wrong\n\n\
         {date}, written by `cargo run --release --bin weighbridge-audit-rates`; `just rates`. The check is that of\n\
         `weighbridge-audit` (`check_tile`), the rules are those of decisions 0045 and 0046. *Honest*: every product once,\n\
         added up in f32, in any order. *Refused* honest tiles are false refusals; *not proven* ones count like unanswered\n\
         draws. *Accepted* forged tiles are false acceptances: their deviation is below the envelope, which the order-free model\n\
         makes wide at long K.\n"
    );
    text += &captured_tables(steps, extent);
    text += &synthetic_tables(extent.seeds);
    text
}

/// Every captured product as it was computed, and again by each kernel, in tiles of two sizes.
#[must_use]
pub fn captured_counts(step: &CapturedStep, sides: &[usize]) -> Vec<(String, Count)> {
    counts(step, sides, &KERNELS)
}

fn counts(step: &CapturedStep, sides: &[usize], kernels: &[Kernel]) -> Vec<(String, Count)> {
    let mut rows: Vec<(String, Count)> = Vec::new();
    for product in &step.products {
        let policy = policy_of(product, false);
        let mut count = Count::default();
        for side in sides {
            count.add(product, *side, &policy);
        }
        for kernel in kernels {
            let computed = kernel.compute(product);
            for side in sides {
                count.add(&computed, *side, &policy);
            }
        }
        let kind = product.name.rsplit('.').next().unwrap_or_default();
        let name = format!("{} {kind}, K = {}", step.name, product.k());
        match rows.iter_mut().find(|(found, _)| *found == name) {
            Some((_, row)) => row.merge(&count),
            None => rows.push((name, count)),
        }
    }
    rows
}

fn captured_tables(steps: &[CapturedStep], extent: &Extent) -> String {
    let mut text = format!(
        "\n## Captured steps\n\n\
        Three steps of small GPTs as PyTorch computed them on a processor, {} λ = 6, κ = 4.\n\
        *Informative*: share of the entries that are not empty.\n\n\
        | operations | tiles | refused | not proven | two windows | informative | worst of E | mean square |\n\
        |---|---|---|---|---|---|---|---|\n",
        extent.how
    );
    let mut total = Count::default();
    for step in steps {
        for (name, count) in counts(step, extent.sides, extent.kernels) {
            eprintln!("{name}: {} tiles", count.totals.tiles);
            text += &row(&name, &count);
            total.merge(&count);
        }
    }
    text += &row("all", &total);
    text
}

fn row(name: &str, count: &Count) -> String {
    let totals = &count.totals;
    format!(
        "| {name} | {} | {} | {} | {} | {:.3} | {:.3} | {:.3} |\n",
        totals.tiles,
        totals.refused,
        totals.not_proven,
        totals.wide,
        totals.informative as f64 / (totals.entries - totals.empty).max(1) as f64,
        f64::from(totals.worst) / 256.0,
        count.mean_square()
    )
}

fn synthetic_tables(seeds: u64) -> String {
    let mut text = "\n## Made-up operands over K\n\n\
        Near-normal operands with one channel in a hundred 30 times louder, products of 64 × 64 in tiles of 16 × 16. Honest:\n\
        the seven kernels. A cell of a change says the share of tiles that is accepted, and in brackets the share of entries\n\
        outside of their envelopes. *Order-free* is γ = K·2⁻²⁴ (κ = 1), *probabilistic* 24·√K·2⁻²⁴ (λ = 6, κ = 4).\n"
        .to_owned();
    for is_order_free in [false, true] {
        let model = if is_order_free { "Order-free" } else { "Probabilistic" };
        let names: Vec<&str> = CHANGES.iter().map(|change| change.name).collect();
        let _ = write!(
            text,
            "\n### {model}\n\n| formats | K | honest tiles | refused | not proven | two windows | {} |\n|---|---|---|---|---|---|{}\n",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for (operands, output) in FORMATS {
            for k in KS {
                text += &synthetic_row((operands, output), k, is_order_free, seeds);
                eprintln!("{model}, {}, K = {k}", formats(operands, output));
            }
        }
    }
    text
}

fn synthetic_row((operands, output): (Format, Format), k: usize, is_order_free: bool, seeds: u64) -> String {
    let mut honest = Count::default();
    let mut changed = vec![Count::default(); CHANGES.len()];
    for seed in 0..seeds {
        let product = synthetic((SIDE, k, SIDE), operands, output, seed);
        let policy = policy_of(&product, is_order_free);
        for kernel in &KERNELS {
            honest.add(&kernel.compute(&product), TILE, &policy);
        }
        for (change, count) in CHANGES.iter().zip(&mut changed) {
            count.add(&change.apply(&product), TILE, &policy);
        }
    }
    let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let cells: Vec<String> = changed
        .iter()
        .map(|count| {
            let accepted = share(count.totals.accepted, count.totals.tiles);
            format!("{accepted:.2} ({:.2})", share(count.outside, count.all_entries))
        })
        .collect();
    let totals = &honest.totals;
    format!(
        "| {} | {k} | {} | {} | {} | {} | {} |\n",
        formats(operands, output),
        totals.tiles,
        totals.refused,
        totals.not_proven,
        totals.wide,
        cells.join(" | ")
    )
}
