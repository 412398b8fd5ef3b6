//! **Duty.** From a stated amount or a method's factors to `low ≤ estimate ≤ high`, rounded outwards.
//! **Does not know** thresholds. **Spec.** COMPUTE §1 (directed rounding), §5 (30 %), §7.

use super::{Interval, LifecycleLine, StatedAmount};
use crate::{Flops, Fraction};

/// Margin of a figure that has none of its own (guidelines, Annex A.2).
pub const STATED_MARGIN: Fraction = Fraction { numerator: 30, denominator: 100 };

/// An amount with its margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Least.
    pub low: Flops,
    /// The figure, if one is named.
    pub estimate: Option<Flops>,
    /// Most.
    pub high: Flops,
}

impl Estimate {
    /// A point with the stated margin; `None` beyond the integers.
    #[must_use]
    pub fn around(point: Flops) -> Option<Self> {
        let Fraction { numerator, denominator } = STATED_MARGIN;
        let (part, whole) = (u128::from(numerator), u128::from(denominator));
        let low = point.0.checked_mul(whole - part)? / whole;
        let high = point.0.checked_mul(whole + part)?.div_ceil(whole);
        Some(Self { low: Flops(low), estimate: Some(point), high: Flops(high) })
    }
}

/// What a line comes to.
///
/// # Errors
/// What is wrong with the line, in words.
pub fn estimate_of(line: &LifecycleLine) -> Result<Estimate, &'static str> {
    const BEYOND: &str = "the amount is beyond 128 bits";
    let by_method = line.method.product()?;
    match (line.amount, by_method) {
        (None, None) => Err("this method gives no amount, so one has to be stated"),
        (None, Some(point)) | (Some(StatedAmount::Point(point)), None) => Estimate::around(point).ok_or(BEYOND),
        (Some(StatedAmount::Point(stated)), Some(product)) => {
            // Two different figures cannot both be this line's.
            if stated == product {
                Estimate::around(stated).ok_or(BEYOND)
            } else {
                Err("the amount is not what the method gives")
            }
        }
        (Some(StatedAmount::Interval(Interval { low, high })), product) => {
            if low > high {
                return Err("the interval is reversed");
            }
            match product {
                Some(product) if product < low || product > high => {
                    Err("the interval does not hold what the method gives")
                }
                estimate => Ok(Estimate { low, estimate, high }),
            }
        }
    }
}
