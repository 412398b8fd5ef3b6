//! Traces of real training steps, honest and changed: what a parser, a link, a boundary or a rehearsal must refuse.

mod command;
mod edit;
mod plan_draw;
mod steps;
mod torch;

use weighbridge_audit::link::{Links, Verdict};
use weighbridge_audit::trace::{FloatFormat, Kind, Trace};
use weighbridge_audit::trial::{Block, Cut, TileCheck, TileVerdict};

/// Entries of each output that are checked: all of a small one, evenly spaced ones of a large one.
const ENTRIES: u64 = 256;

/// The envelope of CIRCUITS §5 in plain f64: good enough for honest tiles and gross lies, and no substitute for it.
struct Multiplied;

fn numbers(block: &Block) -> Vec<f64> {
    let format = FloatFormat::of(block.dtype).expect("products are of floats");
    let size = block.bytes.len() / usize::try_from(block.rows * block.cols).expect("a small block");
    block.bytes.chunks(size).map(|bytes| format.decode(bytes).expect("an element")).collect()
}

impl TileCheck for Multiplied {
    fn check(&self, cut: &Cut) -> TileVerdict {
        let (a, b, c) = (numbers(&cut.a), numbers(&cut.b), numbers(&cut.c));
        let (k, cols) = (usize::try_from(cut.a.cols).expect("k"), usize::try_from(cut.c.cols).expect("columns"));
        let output = FloatFormat::of(cut.c.dtype).expect("a float").half_step(1.0);
        for (at, found) in c.iter().enumerate() {
            let terms = a[at / cols * k..][..k].iter().zip(&b[at % cols * k..][..k]);
            let (sum, magnitude) = terms.fold((0.0, 0.0), |(sum, all), (a, b)| (sum + a * b, all + (a * b).abs()));
            let terms = f64::from(u32::try_from(k).expect("k"));
            let allowed =
                output * found.abs() + 24.0 * terms.sqrt() * 2f64.powi(-24) * magnitude + terms * 2f64.powi(-126);
            let within = (found - sum).abs() <= allowed;
            if !within {
                return TileVerdict::Refused(format!("entry {at} is {found:e}, the product {sum:e} ± {allowed:e}"));
            }
        }
        TileVerdict::Accepted
    }
}

/// Checks entries of every covered link; returns how many hold and what is refused.
fn check_links(trace: &Trace<'_>) -> (u64, Vec<String>) {
    let mut links = Links::new(trace);
    let (mut held, mut refused) = (0, Vec::new());
    for (place, operation) in trace.operations().iter().enumerate() {
        if matches!(operation.kind, Kind::Matmul(_) | Kind::Opaque { .. }) {
            continue;
        }
        for (output, (_, operand)) in operation.outputs().enumerate() {
            let elements = operand.view.elements();
            let step = usize::try_from(elements.div_ceil(ENTRIES)).expect("a small tensor");
            for entry in (0..elements).step_by(step) {
                match links.check(place, output, entry).expect("bytes in memory") {
                    Verdict::Accepted => held += 1,
                    Verdict::Refused(refusal) => refused.push(refusal.to_string()),
                    Verdict::NotProven(why) => refused.push(format!("{}: not proven: {why}", operation.name)),
                    Verdict::Declared => refused.push(format!("{}: not covered", operation.name)),
                }
            }
        }
    }
    (held, refused)
}
