//! **Duty.** The envelope of CIRCUITS §5 as a rehearsal's tile check. **Knows** which formats it judges. **Does not know**
//! rounding. **Spec.** CIRCUITS §5; decision 0042.
//!
//! An audit judges by the policy of the run's manifest; a rehearsal has none and takes the formats that the trace has.

use crate::gemm::{self, OperationPolicy, check_tile};
use crate::number::Format;
use crate::trace::{FloatFormat, MatmulFormat};
use crate::trial::{Block, Cut, TileCheck, TileVerdict};

/// Judges tiles by the default error model over the formats of the trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope;

impl TileCheck for Envelope {
    fn check(&self, cut: &Cut) -> TileVerdict {
        match judge(cut) {
            Ok(gemm::TileVerdict::Accepted(_)) => TileVerdict::Accepted,
            Ok(gemm::TileVerdict::Refused(refusal)) => TileVerdict::Refused(refusal.to_string()),
            Ok(gemm::TileVerdict::NotProven(doubt)) => TileVerdict::NotProven(doubt.to_string()),
            Err(doubt) => TileVerdict::NotProven(doubt),
        }
    }
}

/// The verdict, or why the envelope has none for such a tile.
fn judge(cut: &Cut) -> Result<gemm::TileVerdict, String> {
    if cut.accumulator != FloatFormat::F32 {
        return Err(format!("products summed in {} have no envelope", cut.accumulator.name()));
    }
    let (operands, output) = (format_of(&cut.a)?, format_of(&cut.c)?);
    let policy = OperationPolicy::of(operands, output).with_right(format_of(&cut.b)?);
    let policy = policy.with_tf32(cut.format == MatmulFormat::Tf32).map_err(|error| error.to_string())?;
    let (a, b) = (strip(&cut.a)?, strip(&cut.b)?);
    let (rows, cols) = (size(cut.c.rows), size(cut.c.cols));
    let c = gemm::Tile::new(output, rows, cols, cut.c.bytes.clone()).map_err(|error| error.to_string())?;
    Ok(check_tile(&a, &b, &c, &policy))
}

pub(crate) fn format_of(block: &Block) -> Result<Format, String> {
    match block.dtype {
        "BF16" => Ok(Format::Bf16),
        "F32" => Ok(Format::F32),
        other => Err(format!("{other} has no envelope")),
    }
}

pub(crate) fn strip(block: &Block) -> Result<gemm::Strip, String> {
    let shape = (size(block.rows), size(block.cols));
    gemm::Strip::new(format_of(block)?, shape.0, shape.1, block.bytes.clone()).map_err(|error| error.to_string())
}

fn size(extent: u64) -> usize {
    usize::try_from(extent).unwrap_or(usize::MAX)
}
