//! **Duty.** Floating-point bits as exact numbers: sign × mantissa × 2^exponent. **Knows** bf16, f32 and fp8 e4m3.
//! **Does not know** rounding, products or policies. **Spec.** CIRCUITS §5 (encoding); IEEE 754 binary32; bf16 is its
//! upper half; OCP 8-bit floating point E4M3 (largest 448, one NaN pattern per sign, no infinities).
//!
//! Bytes are little-endian, as in safetensors. −0 and 0 are the same number. NaN and infinities are no numbers.

use thiserror::Error;
use weighbridge_attest_types::{Canonical, CodecError, Culprit, Decoder, Encoder};

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// bfloat16: 8 bits of exponent, 8 significant bits.
    Bf16,
    /// IEEE 754 binary32: 8 bits of exponent, 24 significant bits.
    F32,
    /// OCP 8-bit floating point E4M3: 4 bits of exponent, 4 significant bits.
    E4m3,
}

/// A finite number, exactly: (−1)^negative · mantissa · 2^exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Whether it is below zero; zero may be either.
    pub negative: bool,
    /// Below 2²⁴.
    pub mantissa: u32,
    /// −149 to 120.
    pub exponent: i16,
}

/// Bits that are no finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("0x{bits:x} is no finite number in {format}: a NaN or an infinity")]
pub struct NotFinite {
    /// The bits.
    pub bits: u32,
    /// Their format.
    pub format: Format,
}

impl NotFinite {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Rejected
    }
}

/// Where a format keeps what.
struct Layout {
    fraction_bits: u32,
    exponent_bits: u32,
    bias: i16,
    /// The highest exponent field stands for infinities and NaN; E4M3 has a single NaN pattern instead.
    has_infinities: bool,
}

impl Format {
    const fn layout(self) -> Layout {
        match self {
            Self::Bf16 => Layout { fraction_bits: 7, exponent_bits: 8, bias: 127, has_infinities: true },
            Self::F32 => Layout { fraction_bits: 23, exponent_bits: 8, bias: 127, has_infinities: true },
            Self::E4m3 => Layout { fraction_bits: 3, exponent_bits: 4, bias: 7, has_infinities: false },
        }
    }

    /// Bytes of one stored number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::E4m3 => 1,
        }
    }

    /// Unit roundoff u = 2^−bits: rounding to nearest moves a number by at most u of its magnitude.
    #[must_use]
    pub const fn roundoff_bits(self) -> u32 {
        match self {
            Self::Bf16 => 8,
            Self::F32 => 24,
            Self::E4m3 => 4,
        }
    }

    /// The number that these bits stand for. Bits above the format's width are ignored.
    ///
    /// # Errors
    /// [`NotFinite`].
    pub fn decode(self, bits: u32) -> Result<Number, NotFinite> {
        let Layout { fraction_bits, exponent_bits, bias, has_infinities } = self.layout();
        let fraction_mask = (1u32 << fraction_bits).wrapping_sub(1);
        let exponent_mask = (1u32 << exponent_bits).wrapping_sub(1);
        let fraction = bits & fraction_mask;
        let field = (bits >> fraction_bits) & exponent_mask;
        let negative = (bits >> fraction_bits.saturating_add(exponent_bits)) & 1 == 1;
        if field == exponent_mask && (has_infinities || fraction == fraction_mask) {
            return Err(NotFinite { bits, format: self });
        }
        // A subnormal has the exponent of the smallest normal number and no hidden bit. Both fit: field ≤ 255.
        let hidden = if field == 0 { 0 } else { 1 << fraction_bits };
        let field = i16::try_from(field.max(1)).unwrap_or_default();
        let fraction_bits = i16::try_from(fraction_bits).unwrap_or_default();
        let exponent = field.saturating_sub(bias).saturating_sub(fraction_bits);
        Ok(Number { negative, mantissa: hidden | fraction, exponent })
    }

    /// The bits of one stored number; `None` unless there are as many bytes as the format has.
    #[must_use]
    pub fn bits(self, bytes: &[u8]) -> Option<u32> {
        let mut whole = [0u8; 4];
        whole.get_mut(..self.bytes())?.copy_from_slice(bytes.get(..self.bytes())?);
        (bytes.len() == self.bytes()).then(|| u32::from_le_bytes(whole))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::E4m3 => "fp8 e4m3",
        })
    }
}

impl Canonical for Format {
    fn encode(&self, out: &mut Encoder) {
        out.put::<u8>(&match self {
            Self::Bf16 => 0,
            Self::F32 => 1,
            Self::E4m3 => 2,
        });
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match input.take::<u8>()? {
            0 => Ok(Self::Bf16),
            1 => Ok(Self::F32),
            2 => Ok(Self::E4m3),
            _ => Err(CodecError::NotCanonical("number format")),
        }
    }
}

impl Number {
    /// As a double, exactly: at most 24 bits times 2⁻¹⁴⁹ to 2¹⁰⁴.
    pub(crate) fn value(self) -> f64 {
        let biased = u64::try_from(i64::from(self.exponent).saturating_add(1023)).unwrap_or_default();
        let magnitude = f64::from(self.mantissa) * f64::from_bits(biased << 52);
        if self.negative { -magnitude } else { magnitude }
    }

    /// Position of the highest bit: the number's magnitude is in 2^top ≤ |x| < 2^(top + 1). `None` for zero.
    #[must_use]
    pub fn top(self) -> Option<i32> {
        let highest = i32::try_from(self.mantissa.checked_ilog2()?).ok()?;
        Some(i32::from(self.exponent).saturating_add(highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An f64 holds every number of the three formats exactly.
    fn value(number: Number) -> f64 {
        let magnitude = f64::from(number.mantissa) * 2f64.powi(i32::from(number.exponent));
        if number.negative { -magnitude } else { magnitude }
    }

    #[test]
    fn every_bf16_is_the_f32_of_its_upper_half() {
        for bits in 0..=u32::from(u16::MAX) {
            let float = f32::from_bits(bits << 16);
            match Format::Bf16.decode(bits) {
                Ok(number) => {
                    assert_eq!(value(number), f64::from(float), "{bits:#x}");
                    assert_eq!(number.negative, float.is_sign_negative());
                    assert!(number.mantissa < 256);
                }
                Err(refused) => {
                    assert!(!float.is_finite(), "{bits:#x}");
                    assert_eq!(refused, NotFinite { bits, format: Format::Bf16 });
                }
            }
        }
    }

    proptest! {
        #[test]
        fn an_f32_is_what_the_processor_says(bits in any::<u32>()) {
            let float = f32::from_bits(bits);
            let number = Format::F32.decode(bits);
            prop_assert_eq!(number.is_ok(), float.is_finite());
            if let Ok(number) = number {
                prop_assert_eq!(value(number), f64::from(float));
                prop_assert!(number.mantissa < 1 << 24);
                let top = number.top().map(|top| 2f64.powi(top));
                prop_assert!(top.map_or(float == 0.0, |top| top <= f64::from(float).abs() && f64::from(float).abs() < 2.0 * top));
            }
        }
    }

    #[test]
    fn edges_of_f32_and_bf16() {
        let zero = |negative| Number { negative, mantissa: 0, exponent: -149 };
        assert_eq!(Format::F32.decode(0), Ok(zero(false)));
        assert_eq!(Format::F32.decode(1 << 31), Ok(zero(true)));
        assert_eq!(zero(true).top(), None);
        // The smallest subnormal, and the largest number of each.
        assert_eq!(Format::F32.decode(1), Ok(Number { negative: false, mantissa: 1, exponent: -149 }));
        assert_eq!(Format::Bf16.decode(1), Ok(Number { negative: false, mantissa: 1, exponent: -133 }));
        assert_eq!(Format::F32.decode(0x7f7f_ffff).unwrap().top(), Some(127));
        assert_eq!(Format::Bf16.decode(0xff7f), Ok(Number { negative: true, mantissa: 255, exponent: 120 }));
        for (format, bits) in [(Format::F32, 0x7f80_0000), (Format::F32, 0xffc0_0001), (Format::Bf16, 0x7f80)] {
            assert_eq!(format.decode(bits), Err(NotFinite { bits, format }));
        }
    }

    #[test]
    #[expect(clippy::unusual_byte_groupings, reason = "sign, exponent and fraction, as the specification prints them")]
    fn e4m3_is_the_table_of_its_specification() {
        let of = |bits| value(Format::E4m3.decode(bits).unwrap());
        // OCP 8-bit floating point, table 2.
        assert_eq!(of(0b0_1111_110), 448.0);
        assert_eq!(of(0b1_1111_110), -448.0);
        assert_eq!(of(0b0_0001_000), 2f64.powi(-6));
        assert_eq!(of(0b0_0000_111), 0.875 * 2f64.powi(-6));
        assert_eq!(of(0b0_0000_001), 2f64.powi(-9));
        assert_eq!(of(0b0_1000_000), 2.0);
        for bits in [0x7f, 0xff] {
            let refused = Format::E4m3.decode(bits).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("0x{bits:x} is no finite number in fp8 e4m3: a NaN or an infinity")
            );
        }
    }

    #[test]
    fn bytes_are_little_endian_and_exactly_as_many_as_the_format_has() {
        assert_eq!(Format::Bf16.bits(&[0x80, 0x3f]), Some(0x3f80));
        assert_eq!(Format::F32.bits(&[0, 0, 0x80, 0x3f]), Some(0x3f80_0000));
        assert_eq!(Format::E4m3.bits(&[7]), Some(7));
        assert_eq!(Format::Bf16.bits(&[1]), None);
        assert_eq!(Format::Bf16.bits(&[1, 2, 3]), None);
    }
}
