//! **Duty.** What an audit policy promises before anything is drawn, and what its draws of a trace would cost.
//! **Knows** policies and shapes. **Does not know** time: costs are counts, not seconds. **Spec.** PROTOCOL §5 (allowance);
//! TRAINING §7; decision 0064.

use crate::flop_tree::Weight;
use crate::statistics::{StatisticsError, StratumOutcome};
use crate::trace::{Kind, Trace};
use crate::trial::{TILE_SIDE, Tiles};
use crate::window::{AuditPolicy, Stratum};

/// Failures for which the allowance is told: none, one and two.
const TOLD: [u32; 3] = [0, 1, 2];

/// One stratum, and what follows from its draws over a whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StratumPlan {
    /// The stratum.
    pub stratum: Stratum,
    /// Failures of all windows, and the most weight of the run that can then be false.
    pub allowances: Vec<(u32, Result<u128, StatisticsError>)>,
}

/// What a trace puts on a stratum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceLoad {
    /// Tiles that can be drawn.
    pub tiles: u64,
    /// Their weight: FLOP, or entries of links.
    pub weight: u128,
    /// What checking one draw of this trace costs on average, rounded up.
    pub per_draw: Cost,
}

/// Counts of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Exact multiplications: each term once for the product and once for its magnitude. For links, entries checked.
    pub terms: u128,
    /// Bytes of strips and tile that are read.
    pub bytes: u128,
}

impl StratumPlan {
    /// The plans of a policy's strata, in its order.
    #[must_use]
    pub fn of(policy: &AuditPolicy) -> Vec<Self> {
        policy.strata().iter().map(|stratum| Self { stratum: *stratum, allowances: allowances(stratum) }).collect()
    }
}

fn allowances(stratum: &Stratum) -> Vec<(u32, Result<u128, StatisticsError>)> {
    let Stratum { weight, cap, draws, risk } = *stratum;
    // The bound is one of the whole run, whatever the number of windows; two failures need two draws.
    let outcome = |failures| StratumOutcome { weight, cap, draws, windows: 1, failures, risk };
    TOLD.into_iter().map(|failures| (failures, outcome(failures).allowance())).collect()
}

impl TraceLoad {
    /// What one trace holds of a weight.
    #[must_use]
    pub fn of(trace: &Trace<'_>, weight: Weight) -> Self {
        match weight {
            Weight::Flop => Self::products(trace),
            Weight::Link => Self::links(trace),
        }
    }

    /// Share of a cap that the trace takes up, in millionths, rounded up; 10⁶ is all of it.
    #[must_use]
    pub fn millionths_of(&self, cap: u128) -> u128 {
        self.weight.saturating_mul(1_000_000).div_ceil(cap.max(1))
    }

    fn products(trace: &Trace<'_>) -> Self {
        let mut grown = Grown::default();
        for (tile, flop) in Tiles::of(trace).iter() {
            let bytes_of = |role: &str, is_output: bool| {
                let operation = trace.operations().get(tile.operation);
                let operand =
                    operation.and_then(|found| if is_output { found.output(role) } else { found.input(role) });
                let tensor = operand.and_then(|operand| trace.tensor(operand.tensor));
                tensor.map_or(0, |tensor| u128::from(tensor.element_bytes()))
            };
            let [rows, cols, k] = [tile.rows, tile.cols, tile.k].map(u128::from);
            let strip = |across: u128, bytes: u128| across.saturating_mul(k).saturating_mul(bytes);
            let output = rows.saturating_mul(cols).saturating_mul(bytes_of("c", true));
            let strips = strip(rows, bytes_of("a", false)).saturating_add(strip(cols, bytes_of("b", false)));
            grown.add(flop.0, Cost { terms: flop.0, bytes: strips.saturating_add(output) });
        }
        grown.finish()
    }

    fn links(trace: &Trace<'_>) -> Self {
        let mut grown = Grown::default();
        let is_link = |kind: &Kind| !matches!(kind, Kind::Matmul(_) | Kind::Opaque { .. });
        for operation in trace.operations().iter().filter(|operation| is_link(&operation.kind)) {
            for (_, output) in operation.outputs() {
                let cols = output.view.shape().last().copied().unwrap_or(1);
                let rows = output.view.elements().checked_div(cols).unwrap_or_default();
                let size = trace.tensor(output.tensor).map_or(0, |tensor| u128::from(tensor.element_bytes()));
                grown.add_tiles((rows, cols), size);
            }
        }
        grown.finish()
    }
}

/// Sums of tiles, each counted as often as it is drawn.
#[derive(Default)]
struct Grown {
    tiles: u64,
    weight: u128,
    terms: u128,
    bytes: u128,
}

impl Grown {
    fn add(&mut self, weight: u128, cost: Cost) {
        self.add_many(1, weight, cost);
    }

    fn add_many(&mut self, count: u64, weight: u128, Cost { terms, bytes }: Cost) {
        let drawn = weight.saturating_mul(u128::from(count));
        self.tiles = self.tiles.saturating_add(count);
        self.weight = self.weight.saturating_add(drawn);
        self.terms = self.terms.saturating_add(drawn.saturating_mul(terms));
        self.bytes = self.bytes.saturating_add(drawn.saturating_mul(bytes));
    }

    /// The tiles of a matrix come in four sizes: whole ones, and those clipped at one edge or both.
    fn add_tiles(&mut self, (rows, cols): (u64, u64), size: u128) {
        let parts = |of: u64| [(of / TILE_SIDE, TILE_SIDE), (u64::from(!of.is_multiple_of(TILE_SIDE)), of % TILE_SIDE)];
        for (down, height) in parts(rows) {
            for (across, width) in parts(cols) {
                let entries = u128::from(height).saturating_mul(u128::from(width));
                let cost = Cost { terms: entries, bytes: entries.saturating_mul(size) };
                self.add_many(down.saturating_mul(across), entries, cost);
            }
        }
    }

    fn finish(self) -> TraceLoad {
        let Self { tiles, weight, terms, bytes } = self;
        let mean = |sum: u128| sum.div_ceil(weight.max(1));
        TraceLoad { tiles, weight, per_draw: Cost { terms: mean(terms), bytes: mean(bytes) } }
    }
}
