//! **Duty.** Strips as integers: per vector a block exponent, per entry sign × magnitude in a window of 24 bits, or two of
//! them, and a mark where bits fell below. **Knows** one operand. **Does not know** products.
//! **Spec.** CIRCUITS §5 (encoding; rule 2: the block exponent is tight).
//!
//! An entry x of a vector with unit 2^e is encoded as q = ⌊|x| / 2^e⌋ with its sign, and *cut* says whether |x| / 2^e was
//! no whole number: then |x| lies strictly between q and q + 1 units. The exponent is tight: every q is below 2^bits, and
//! one of them reaches the window's highest bit, or all entries are zero (and e is 0). So e is a function of the entries:
//! a prover has nothing to choose.

use weighbridge_attest_types::Culprit;

use crate::gemm::strip::Strip;
use crate::gemm::{Operand, TileRefusal};
use crate::number::Number;

/// Bits of one window: two factors of 24 bits stay below 2⁶² over K ≤ 2¹⁴, and below p/2 with a bias's term.
pub const WINDOW_BITS: u32 = 24;

/// How wide an encoding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Windows {
    /// 24 bits: exact for entries of 8 significant bits down to 2⁻¹⁶ of the vector's largest.
    One,
    /// 48 bits.
    Two,
}

impl Windows {
    /// Bits of a magnitude.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::One => WINDOW_BITS,
            Self::Two => WINDOW_BITS * 2,
        }
    }

    /// Bits below the unit of a product in which its output and envelope are compared. With K ≤ 2¹⁴ and a bias
    /// both widths fit 2¹²⁷.
    pub(crate) const fn fraction_bits(self) -> u32 {
        match self {
            Self::One => 32,
            Self::Two => 16,
        }
    }
}

/// One row of A or column of B.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Exponent of the unit.
    pub(crate) unit: i32,
    /// Sign × magnitude; a magnitude is below 2^bits.
    pub(crate) signed: Vec<i64>,
    /// Magnitude, and one more where bits were cut: at most 2^bits.
    pub(crate) upper: Vec<u64>,
    /// Whether any entry was cut.
    pub(crate) is_cut: bool,
}

/// A strip as integers. Both constructors check rule 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    windows: Windows,
    vectors: Vec<Vector>,
}

/// A claimed block exponent that is not the tight one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("vector {vector} has the block exponent {claimed}; the tight one is {tight}")]
pub struct LooseExponent {
    /// Which row of A or column of B.
    pub vector: usize,
    /// What was claimed.
    pub claimed: i32,
    /// What its entries have.
    pub tight: i32,
}

impl LooseExponent {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Rejected
    }
}

impl Encoded {
    /// Encodes a strip under its tight exponents.
    ///
    /// # Errors
    /// [`TileRefusal::NotFinite`].
    pub fn tight(strip: &Strip, operand: Operand, windows: Windows) -> Result<Self, TileRefusal> {
        let encode = |(vector, numbers): (usize, Result<Vec<Number>, _>)| {
            let numbers = numbers.map_err(|source| TileRefusal::NotFinite { operand, vector, source })?;
            Ok(Vector::tight(&numbers, windows))
        };
        let vectors: Result<_, TileRefusal> = strip.numbers().enumerate().map(encode).collect();
        Ok(Self { windows, vectors: vectors? })
    }

    /// Encodes a strip under claimed exponents, as a prover hands them over.
    ///
    /// # Errors
    /// [`TileRefusal::LooseExponent`] for any exponent but the tight one, an absent one or one too many; [`TileRefusal::NotFinite`].
    pub fn claimed(strip: &Strip, operand: Operand, windows: Windows, exponents: &[i32]) -> Result<Self, TileRefusal> {
        let encoded = Self::tight(strip, operand, windows)?;
        let vectors = encoded.vectors.len();
        if let Some(extra) = exponents.get(vectors) {
            let source = LooseExponent { vector: vectors, claimed: *extra, tight: 0 };
            return Err(TileRefusal::LooseExponent { operand, source });
        }
        for (vector, Vector { unit: tight, .. }) in encoded.vectors.iter().enumerate() {
            let claimed = exponents.get(vector).copied().unwrap_or(i32::MIN);
            if claimed != *tight {
                let source = LooseExponent { vector, claimed, tight: *tight };
                return Err(TileRefusal::LooseExponent { operand, source });
            }
        }
        Ok(encoded)
    }

    /// The block exponents, vector by vector.
    #[must_use]
    pub fn exponents(&self) -> Vec<i32> {
        self.vectors.iter().map(|vector| vector.unit).collect()
    }

    pub(crate) const fn windows(&self) -> Windows {
        self.windows
    }

    pub(crate) fn vectors(&self) -> &[Vector] {
        &self.vectors
    }
}

/// The exponent under which the largest entry reaches the window's highest bit; 0 for a vector of zeros.
fn tight_unit(numbers: &[Number], windows: Windows) -> i32 {
    let top = numbers.iter().filter_map(|number| number.top()).max();
    let below_top = i32::try_from(windows.bits()).unwrap_or_default().saturating_sub(1);
    top.map_or(0, |top| top.saturating_sub(below_top))
}

impl Vector {
    /// Encodes one vector under its tight exponent.
    pub(crate) fn tight(numbers: &[Number], windows: Windows) -> Self {
        let unit = tight_unit(numbers, windows);
        let mut vector = Self {
            unit,
            signed: Vec::with_capacity(numbers.len()),
            upper: Vec::with_capacity(numbers.len()),
            is_cut: false,
        };
        for number in numbers {
            let (magnitude, cut) = magnitude(*number, unit);
            // Below 2⁴⁸: it fits a signed word.
            let signed = i64::try_from(magnitude).unwrap_or(i64::MAX);
            vector.signed.push(if number.negative { signed.saturating_neg() } else { signed });
            vector.upper.push(magnitude.saturating_add(u64::from(cut)));
            vector.is_cut |= cut;
        }
        vector
    }
}

/// ⌊mantissa · 2^(exponent − unit)⌋, and whether something was left. With a tight unit the result has at most 48 bits.
fn magnitude(number: Number, unit: i32) -> (u64, bool) {
    let mantissa = u64::from(number.mantissa);
    let shift = i32::from(number.exponent).saturating_sub(unit);
    let Ok(down) = u32::try_from(shift.saturating_neg()) else {
        // A zero has no magnitude however far up it is shifted.
        return (mantissa.checked_shl(shift.unsigned_abs()).unwrap_or_default(), false);
    };
    let whole = mantissa.checked_shr(down).unwrap_or_default();
    (whole, whole.checked_shl(down).unwrap_or_default() != mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Format;
    use proptest::prelude::*;

    fn strip(values: &[f32]) -> Strip {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Strip::new(Format::F32, 1, values.len(), bytes).unwrap()
    }

    fn encode(values: &[f32], windows: Windows) -> Vector {
        Encoded::tight(&strip(values), Operand::Left, windows).unwrap().vectors[0].clone()
    }

    proptest! {
        #[test]
        fn an_entry_lies_between_its_magnitude_and_the_next(
            values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1..20),
            two in any::<bool>(),
        ) {
            let windows = if two { Windows::Two } else { Windows::One };
            let vector = encode(&values, windows);
            let unit = 2f64.powi(vector.unit);
            for ((value, signed), upper) in values.iter().zip(&vector.signed).zip(&vector.upper) {
                let exact = f64::from(value.abs()) / unit;
                let magnitude = signed.unsigned_abs();
                prop_assert!(magnitude < 1 << windows.bits());
                prop_assert!(magnitude == *upper && exact == magnitude as f64
                    || magnitude + 1 == *upper && (magnitude as f64) < exact && exact < *upper as f64);
                prop_assert!(*signed == 0 || (*signed < 0) == (*value < 0.0));
            }
            let highest = vector.signed.iter().map(|signed| signed.unsigned_abs()).max().unwrap();
            prop_assert!(highest >> (windows.bits() - 1) == 1 || values.iter().all(|value| *value == 0.0));
            prop_assert_eq!(vector.is_cut, vector.signed.iter().zip(&vector.upper).any(|(q, u)| q.unsigned_abs() != *u));
        }
    }

    #[test]
    fn zeros_have_the_exponent_zero_and_subnormals_reach_the_top() {
        assert_eq!(encode(&[0.0, -0.0], Windows::One).unit, 0);
        let tiny = encode(&[f32::from_bits(1), f32::from_bits(3)], Windows::One);
        assert_eq!((tiny.unit, tiny.signed), (-148 - 23, vec![1 << 22, 3 << 22]));
    }

    #[test]
    fn only_the_tight_exponent_is_taken() {
        let strip = strip(&[1.0, -0.375]);
        let claimed = |exponent| Encoded::claimed(&strip, Operand::Right, Windows::One, &[exponent]);
        assert_eq!(claimed(-23).unwrap().exponents(), [-23]);
        for exponent in [-22, -7, -24, i32::MAX] {
            let source = LooseExponent { vector: 0, claimed: exponent, tight: -23 };
            assert_eq!(claimed(exponent), Err(TileRefusal::LooseExponent { operand: Operand::Right, source }));
        }
        for exponents in [&[][..], &[-23, -23]] {
            assert!(Encoded::claimed(&strip, Operand::Right, Windows::One, exponents).is_err());
        }
    }
}
