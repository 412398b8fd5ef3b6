//! **Duty.** From a stated amount or a method's factors to `low ≤ estimate ≤ high`, rounded outwards.
//! **Does not know** thresholds. **Spec.** COMPUTE §1 (directed rounding), §5 (30 %), §7.

use super::method::Product;
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
        Self::around_product(Product { low: point, high: point })
    }

    /// A product with the stated margin below its least and above its most; the figure that is named is rounded up.
    fn around_product(product: Product) -> Option<Self> {
        let Product { low, high } = product;
        let Fraction { numerator, denominator } = STATED_MARGIN;
        let (part, whole) = (u128::from(numerator), u128::from(denominator));
        let least = low.0.checked_mul(whole - part)? / whole;
        let most = high.0.checked_mul(whole + part)?.div_ceil(whole);
        Some(Self { low: Flops(least), estimate: Some(high), high: Flops(most) })
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
        (None, Some(product)) => Estimate::around_product(product).ok_or(BEYOND),
        (Some(StatedAmount::Point(point)), None) => Estimate::around(point).ok_or(BEYOND),
        (Some(StatedAmount::Point(stated)), Some(product)) => {
            // Two different figures cannot both be this line's.
            if stated == product.high {
                Estimate::around_product(product).ok_or(BEYOND)
            } else {
                Err("the amount is not what the method gives")
            }
        }
        (Some(StatedAmount::Interval(Interval { low, high })), product) => {
            if low > high {
                return Err("the interval is reversed");
            }
            match product {
                Some(product) if product.low < low || product.high > high => {
                    Err("the interval does not hold what the method gives")
                }
                product => Ok(Estimate { low, estimate: product.map(|product| product.high), high }),
            }
        }
    }
}
