//! **Duty.** Where the bracket and the thresholds stand on a logarithmic axis. **Knows** integers only, so that every
//! machine draws the same bytes. **Does not know** markup: the template draws.

use weighbridge_attest_types::{BracketLine, Flops, ProfileLine};

/// Hundredths of a percent of the drawing's width.
const FULL: u64 = 10_000;
/// Where zero stands: left of a break, because a logarithm never reaches it.
const ZERO: u64 = 100;
/// Where the first power of ten stands.
const FIRST: u64 = 1_000;
/// Where the last power of ten stands.
const LAST: u64 = 9_550;
/// Labels under the axis, at most: more would touch on a narrow screen.
const MAX_LABELS: u32 = 6;
/// Height of one threshold's row, in pixels.
const ROW: usize = 26;
/// Height of one bar's row, in pixels.
const BAR_ROW: usize = 18;
/// Fractional bits of the integer logarithm.
const FRACTION_BITS: u32 = 20;

/// One labelled power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) x: String,
    pub(crate) exponent: u32,
}

/// One threshold: a line down to the axis, with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) x: String,
    pub(crate) label_y: usize,
    pub(crate) line_y: usize,
    pub(crate) id: String,
    /// Whether the label stands to the left of its line.
    pub(crate) leftwards: bool,
    pub(crate) headline: bool,
}

/// A lower and an upper bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) y: usize,
    /// No upper bound is known: the bar runs off the right edge.
    pub(crate) open: bool,
    /// With the provider's statement.
    pub(crate) is_stated: bool,
}

/// The whole drawing; `x` in percent, `y` in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drawing {
    pub(crate) height: usize,
    pub(crate) axis_y: usize,
    pub(crate) label_y: usize,
    pub(crate) zero_x: String,
    pub(crate) break_x: String,
    pub(crate) bars: Vec<Bar>,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) marks: Vec<Mark>,
}

/// A logarithmic axis from one power of ten to another.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: u32,
    high: u32,
}

impl Drawing {
    pub(crate) fn new(bracket: &BracketLine, headline: &ProfileLine, profiles: &[ProfileLine]) -> Self {
        let stated = headline.declared.as_ref().map(|declared| (declared.lower, declared.upper));
        let bounds: Vec<_> = std::iter::once((bracket.lower, bracket.upper)).chain(stated).collect();
        let axis = Axis::around(&bounds, profiles);
        let marks = marks(axis, profiles, &headline.id);
        let bar_y = marks.len() * ROW + 14;
        let bars: Vec<Bar> = bounds.iter().enumerate().map(|(row, bounds)| axis.bar(*bounds, row, bar_y)).collect();
        let below = bar_y + bars.len() * BAR_ROW;
        Self {
            height: below + 44,
            axis_y: below + 14,
            label_y: below + 35,
            zero_x: percent(ZERO),
            break_x: percent((ZERO + FIRST) / 2),
            bars,
            ticks: axis.ticks(),
            marks,
        }
    }
}

/// Largest threshold in the top row, labels leaning left: no line then crosses a label.
fn marks(axis: Axis, profiles: &[ProfileLine], headline: &str) -> Vec<Mark> {
    let mut sorted: Vec<&ProfileLine> = profiles.iter().collect();
    sorted.sort_by(|a, b| b.threshold.cmp(&a.threshold).then_with(|| a.id.cmp(&b.id)));
    let mark = |(row, line): (usize, &&ProfileLine)| {
        let position = axis.position(line.threshold);
        Mark {
            x: percent(position),
            label_y: row * ROW + 18,
            line_y: row * ROW + 8,
            id: line.id.clone(),
            leftwards: position > FULL / 2,
            headline: line.id == headline,
        }
    };
    sorted.iter().enumerate().map(mark).collect()
}

impl Axis {
    /// Wide enough for every positive figure, with a power of ten to spare on the right.
    fn around(bounds: &[(Flops, Option<Flops>)], profiles: &[ProfileLine]) -> Self {
        let bounds = bounds.iter().flat_map(|(lower, upper)| [Some(*lower), *upper]);
        let figures = bounds.flatten().chain(profiles.iter().map(|line| line.threshold));
        let exponents: Vec<u32> = figures.filter_map(|figure| figure.0.checked_ilog10()).collect();
        let low = exponents.iter().min().map_or(0, |least| least.saturating_sub(1));
        let high = exponents.iter().max().map_or(1, |greatest| greatest + 1).min(38);
        Self { low: low.min(high - 1), high }
    }

    /// Zero stands apart; everything else between the first and last power of ten.
    fn position(self, figure: Flops) -> u64 {
        if figure.0 == 0 {
            return ZERO;
        }
        let (low, high) = (log2(10u128.pow(self.low)), log2(10u128.pow(self.high)));
        let along = log2(figure.0).clamp(low, high) - low;
        FIRST + along * (LAST - FIRST) / (high - low)
    }

    fn bar(self, (lower, upper): (Flops, Option<Flops>), row: usize, top: usize) -> Bar {
        let start = self.position(lower);
        let end = upper.map_or(FULL, |upper| self.position(upper));
        Bar {
            x: percent(start),
            // A bracket whose ends fall together still has to be seen.
            width: percent(end.saturating_sub(start).max(40)),
            y: top + row * BAR_ROW,
            open: upper.is_none(),
            is_stated: row > 0,
        }
    }

    fn ticks(self) -> Vec<Tick> {
        let stride = (self.high - self.low).div_ceil(MAX_LABELS).max(1);
        let powers = (self.low..=self.high).rev().step_by(stride as usize);
        powers.map(|exponent| Tick { x: percent(self.position(Flops(10u128.pow(exponent)))), exponent }).collect()
    }
}

/// Binary logarithm of a positive integer with [`FRACTION_BITS`] fractional bits, by squaring the mantissa: each
/// squaring that reaches two yields a one. Monotone, because every step cuts off downwards.
fn log2(value: u128) -> u64 {
    let whole = value.ilog2();
    // The mantissa in [1, 2) with 63 fractional bits.
    let mut mantissa = if whole > 63 { value >> (whole - 63) } else { value << (63 - whole) };
    let mut log = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        let square = mantissa * mantissa;
        let two_or_more = square >> 127;
        mantissa = square >> if two_or_more == 1 { 64 } else { 63 };
        log = (log << 1) | u64::from(two_or_more == 1);
    }
    log
}

fn percent(hundredths: u64) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis { low: 17, high: 27 };

    #[test]
    fn positions_grow_with_the_figure_and_stay_inside() {
        let mut figures: Vec<u128> = (0..38).flat_map(|e| [1, 2, 5, 9].map(|m| m * 10u128.pow(e))).collect();
        figures.extend([0, 10u128.pow(25) - 1, 10u128.pow(25) + 1, u128::MAX]);
        figures.sort_unstable();
        let positions: Vec<u64> = figures.iter().map(|&figure| AXIS.position(Flops(figure))).collect();
        assert!(positions.is_sorted(), "{positions:?}");
        assert_eq!((positions[0], *positions.last().unwrap()), (ZERO, LAST));
        let inside = |m: u128, e: u32| AXIS.position(Flops(m * 10u128.pow(e)));
        assert!(inside(1, 18) < inside(2, 18) && inside(9, 25) < inside(1, 26));
    }

    #[test]
    fn powers_of_ten_stand_at_even_distances() {
        let distances: Vec<u64> =
            (17..27).map(|e| AXIS.position(Flops(10u128.pow(e + 1))) - AXIS.position(Flops(10u128.pow(e)))).collect();
        assert!(distances.iter().all(|&distance| (854..=856).contains(&distance)), "{distances:?}");
    }

    #[test]
    fn the_integer_logarithm_is_right_to_its_last_bits() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(1 << 100), 100 << FRACTION_BITS);
        // log2(10) = 3.321928094887362…
        let expected = 3_483_294; // floor(3.321928094887362 × 2^20)
        assert!(log2(10).abs_diff(expected) <= 1, "{}", log2(10));
    }

    #[test]
    fn an_axis_shows_few_labels_and_ends_on_one() {
        let ticks = AXIS.ticks();
        assert!(ticks.len() <= 7 && ticks[0].exponent == 27);
        assert_eq!(percent(LAST), ticks[0].x);
        let narrow = Axis { low: 0, high: 1 };
        assert_eq!(narrow.ticks().len(), 2);
    }
}
