//! **Duty.** Number formats of tensors: decoding one element, and how far apart numbers of a format stand. **Knows** bit
//! layouts. **Does not know** tensors. **Spec.** IEEE 754 (binary16, 32, 64) and bfloat16; safetensors names.

/// A format of numbers that operations compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatFormat {
    /// 8 bits of mantissa with the hidden one.
    Bf16,
    /// 11 bits.
    F16,
    /// 24 bits.
    F32,
    /// 53 bits.
    F64,
}

impl FloatFormat {
    /// By the safetensors name.
    #[must_use]
    pub fn of(dtype: &str) -> Option<Self> {
        Some(match dtype {
            "BF16" => Self::Bf16,
            "F16" => Self::F16,
            "F32" => Self::F32,
            "F64" => Self::F64,
            _ => return None,
        })
    }

    /// The safetensors name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    /// Bits of the mantissa, the hidden one included.
    #[must_use]
    pub const fn precision(self) -> i32 {
        match self {
            Self::Bf16 => 8,
            Self::F16 => 11,
            Self::F32 => 24,
            Self::F64 => 53,
        }
    }

    /// Exponent of the smallest normal number.
    const fn least_exponent(self) -> i32 {
        match self {
            Self::Bf16 | Self::F32 => -126,
            Self::F16 => -14,
            Self::F64 => -1022,
        }
    }

    /// Half the distance of neighbours around `value`: how far rounding to nearest can move it. Unit: that of the value.
    #[must_use]
    pub fn half_step(self, value: f64) -> f64 {
        let exponent = exponent(value).max(self.least_exponent());
        power_of_two(exponent.saturating_sub(self.precision()))
    }

    /// What a processor that treats subnormal numbers as zero can lose.
    pub(crate) fn flushed(self) -> f64 {
        match self {
            // Half-precision loses what counts there, and no framework flushes it.
            Self::F16 => 0.0,
            other => power_of_two(other.least_exponent()),
        }
    }

    /// An element from its little-endian bytes; `None` when the bytes are not one element.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Option<f64> {
        Some(match self {
            Self::Bf16 => {
                let bits = u16::from_le_bytes(bytes.try_into().ok()?);
                f64::from(f32::from_bits(u32::from(bits) << 16))
            }
            Self::F16 => half(u16::from_le_bytes(bytes.try_into().ok()?)),
            Self::F32 => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
            Self::F64 => f64::from_le_bytes(bytes.try_into().ok()?),
        })
    }
}

/// An index or class from its little-endian bytes; `None` for another type, or below zero.
#[must_use]
pub(crate) fn decode_index(dtype: &str, bytes: &[u8]) -> Option<u64> {
    match dtype {
        "U8" => Some(u64::from(u8::from_le_bytes(bytes.try_into().ok()?))),
        "I16" => u64::try_from(i16::from_le_bytes(bytes.try_into().ok()?)).ok(),
        "I32" => u64::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok(),
        "I64" => u64::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok(),
        _ => None,
    }
}

/// Whether a data type holds indices.
pub(crate) fn is_index(dtype: &str) -> bool {
    matches!(dtype, "U8" | "I16" | "I32" | "I64")
}

/// binary16 as its value.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * power_of_two(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * power_of_two(exponent.saturating_sub(25)),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// The exponent e with 2^e ≤ |value| < 2^(e+1); very small for 0 and below the normal range.
fn exponent(value: f64) -> i32 {
    let biased = (value.to_bits() >> 52) & 0x7ff;
    i32::try_from(biased).unwrap_or_default().saturating_sub(1023)
}

/// 2^exponent, exactly, between 2⁻¹⁰⁷⁴ and 2¹⁰²³.
fn power_of_two(exponent: i32) -> f64 {
    let biased = exponent.saturating_add(1023);
    match u64::try_from(biased) {
        Ok(biased @ 1..=2046) => f64::from_bits(biased << 52),
        Ok(0) | Err(_) => {
            let shift = u32::try_from(exponent.saturating_add(1074)).unwrap_or_default();
            f64::from_bits(1u64.checked_shl(shift).unwrap_or_default())
        }
        Ok(_) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_decode_to_their_values() {
        assert_eq!(FloatFormat::Bf16.decode(&[0x80, 0x3f]), Some(1.0));
        assert_eq!(FloatFormat::Bf16.decode(&[0x01, 0x00]), Some(2f64.powi(-133)));
        assert_eq!(FloatFormat::F16.decode(&[0x00, 0x3c]), Some(1.0));
        assert_eq!(FloatFormat::F16.decode(&[0x01, 0x80]), Some(-(2f64.powi(-24))));
        assert_eq!(FloatFormat::F16.decode(&[0xff, 0x7b]), Some(65504.0));
        assert!(FloatFormat::F16.decode(&[0x01, 0x7c]).unwrap().is_nan());
        assert_eq!(FloatFormat::F16.decode(&[0x00, 0xfc]), Some(f64::NEG_INFINITY));
        assert_eq!(FloatFormat::F32.decode(&1.5f32.to_le_bytes()), Some(1.5));
        assert_eq!(FloatFormat::F64.decode(&0.1f64.to_le_bytes()), Some(0.1));
        assert_eq!(FloatFormat::F32.decode(&[0; 2]), None);
        assert_eq!(decode_index("I64", &7i64.to_le_bytes()), Some(7));
        assert_eq!(decode_index("I32", &(-100i32).to_le_bytes()), None);
        assert_eq!(decode_index("F32", &[0; 4]), None);
    }

    #[test]
    fn a_half_step_is_half_the_distance_of_neighbours() {
        for value in [1.0f32, 1.75, 3.0e-30, 2.0e30, 1.0e-39] {
            let next = f32::from_bits(value.to_bits() + 1);
            let wanted = (f64::from(next) - f64::from(value)) / 2.0;
            assert_eq!(FloatFormat::F32.half_step(f64::from(value)), wanted, "{value}");
        }
        assert_eq!(FloatFormat::Bf16.half_step(-1.0), 2f64.powi(-8));
        assert_eq!(FloatFormat::F16.half_step(0.0), 2f64.powi(-25));
        assert_eq!(FloatFormat::F64.half_step(1.0), 2f64.powi(-53));
        assert_eq!(power_of_two(-1074), f64::from_bits(1));
        assert_eq!(power_of_two(1024), f64::INFINITY);
    }
}
