//! **Duty.** How far stored numbers may lie apart, tensor by tensor, said before the run. **Knows** bits of formats.
//! **Does not know** roots. **Spec.** TRAINING §6: tolerances scale with the type's ulp, and are committed before.

use thiserror::Error;
use weighbridge_attest_types::{Canonical, CodecError, Culprit, Decoder, Digest32, Domain, Encoder, sha256};

use crate::number::{Format, Number};

/// Tensors with a tolerance of their own. A model has a few kinds of them.
pub const MAX_TOLERANCES: usize = 4_096;
/// Longest name, in bytes: the checkpoint reader's.
const MAX_NAME_BYTES: usize = 4_096;
/// Greatest exponent of an absolute tolerance: wider than any update of a weight, and far below a weight of 1. That a span
/// moved further is asked beside it.
pub const MAX_ABSOLUTE_EXPONENT: i16 = -8;
/// Exponents of an absolute tolerance, from f32's smallest.
const EXPONENTS: std::ops::RangeInclusive<i16> = -149..=MAX_ABSOLUTE_EXPONENT;
const MILLION: u64 = 1_000_000;

/// What one tensor is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorTolerance {
    /// Units in the last place: numbers of the format between the two.
    pub ulps: u32,
    /// Or a distance of 2^exponent, for numbers near zero, where units are small. Absent: units alone.
    pub absolute_exponent: Option<i16>,
    /// Most entries that may differ in any bit, in millionths, rounded down.
    pub differing: u32,
}

/// The tolerance of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    default: TensorTolerance,
    tensors: Vec<(String, TensorTolerance)>,
}

/// How far one tensor, or all of them, lies apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TensorDifference {
    /// Entries.
    pub entries: u64,
    /// Those that differ in any bit.
    pub differing: u64,
    /// Greatest distance in units in the last place.
    pub greatest_ulps: u64,
}

/// A tensor beyond its tolerance, or tolerances that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ToleranceError {
    /// An entry too far off.
    #[error(
        "entry {entry} is {ulps} units in the last place away; {allowed} are allowed, and it is beyond the absolute tolerance"
    )]
    Entry {
        /// Which, from 0.
        entry: u64,
        /// How far.
        ulps: u64,
        /// How far it may be.
        allowed: u32,
    },
    /// A NaN or an infinity, on one side only or in other bits.
    #[error("entry {entry} is no finite number on one side, and not the same on both")]
    NotFinite {
        /// Which, from 0.
        entry: u64,
    },
    /// Too many entries differ.
    #[error("{differing} of {entries} entries differ; {allowed} may")]
    Differing {
        /// How many do.
        differing: u64,
        /// Of how many.
        entries: u64,
        /// How many may.
        allowed: u64,
    },
    /// No whole number of entries, or two lengths.
    #[error("the bytes are no whole number of entries, or not as many on both sides")]
    Bytes,
    /// More units than the format has room for.
    #[error("a tolerance of {found} units in the last place of {format}; at most {most} say anything")]
    Units {
        /// By the tolerance.
        found: u32,
        /// Greatest for the format.
        most: u32,
        /// How the tensor is stored.
        format: Format,
    },
    /// A tolerance out of range, or tensors out of order.
    #[error("a tolerance is out of range, or its tensors are not ascending, each once")]
    Policy,
}

impl ToleranceError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Bytes | Self::Policy | Self::Units { .. } => Culprit::Malformed,
            _ => Culprit::Rejected,
        }
    }
}

impl Tolerance {
    /// One tolerance for all tensors, and others for some.
    ///
    /// # Errors
    /// [`ToleranceError::Policy`].
    pub fn new(default: TensorTolerance, tensors: Vec<(String, TensorTolerance)>) -> Result<Self, ToleranceError> {
        let is_ascending = tensors.is_sorted_by(|(one, _), (next, _)| one < next);
        let are_named = tensors.iter().all(|(name, _)| name.len() <= MAX_NAME_BYTES);
        let all_in_range = tensors.iter().map(|(_, tolerance)| tolerance).chain([&default]).all(|tolerance| {
            let is_exponent = tolerance.absolute_exponent.is_none_or(|exponent| EXPONENTS.contains(&exponent));
            is_exponent && u64::from(tolerance.differing) <= MILLION && tolerance.ulps <= most_units(Format::F32)
        });
        if tensors.len() <= MAX_TOLERANCES && is_ascending && are_named && all_in_range {
            Ok(Self { default, tensors })
        } else {
            Err(ToleranceError::Policy)
        }
    }

    /// What a tensor is allowed.
    #[must_use]
    pub fn of(&self, name: &str) -> &TensorTolerance {
        let own = self.tensors.iter().find(|(found, _)| found == name);
        own.map_or(&self.default, |(_, tolerance)| tolerance)
    }

    /// SHA-256(framed domain, canonical bytes): what genesis names.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let mut out = Domain::Tolerance.encoder();
        out.put(self);
        sha256(&out.finish())
    }
}

impl TensorDifference {
    /// Adds another tensor's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.differing = self.differing.saturating_add(other.differing);
        self.greatest_ulps = self.greatest_ulps.max(other.greatest_ulps);
    }
}

impl TensorTolerance {
    /// Nothing may differ.
    pub const EXACT: Self = Self { ulps: 0, absolute_exponent: None, differing: 0 };

    /// Compares two stored tensors entry by entry.
    ///
    /// # Errors
    /// [`ToleranceError`].
    pub fn compare(&self, format: Format, one: &[u8], other: &[u8]) -> Result<TensorDifference, ToleranceError> {
        let size = format.bytes();
        if one.len() != other.len() || one.len().checked_rem(size) != Some(0) {
            return Err(ToleranceError::Bytes);
        }
        let most = most_units(format);
        if self.ulps > most {
            return Err(ToleranceError::Units { found: self.ulps, most, format });
        }
        let mut difference = TensorDifference::default();
        for (entry, (one, other)) in (0u64..).zip(one.chunks_exact(size).zip(other.chunks_exact(size))) {
            difference.entries = difference.entries.saturating_add(1);
            if one == other {
                continue;
            }
            difference.differing = difference.differing.saturating_add(1);
            let number = |bytes: &[u8]| {
                let bits = format.bits(bytes).unwrap_or_default();
                format.decode(bits).map(|number| (rank(format, bits), number))
            };
            let (Ok((one_rank, one)), Ok((other_rank, other))) = (number(one), number(other)) else {
                return Err(ToleranceError::NotFinite { entry });
            };
            let ulps = one_rank.abs_diff(other_rank);
            let is_near = self.absolute_exponent.is_some_and(|exponent| is_within(one, other, exponent));
            if ulps > u64::from(self.ulps) && !is_near {
                return Err(ToleranceError::Entry { entry, ulps, allowed: self.ulps });
            }
            difference.greatest_ulps = difference.greatest_ulps.max(ulps);
        }
        let TensorDifference { entries, differing, .. } = difference;
        let share = u128::from(entries).saturating_mul(u128::from(self.differing)).checked_div(u128::from(MILLION));
        let allowed = u64::try_from(share.unwrap_or_default()).unwrap_or(u64::MAX);
        if differing > allowed {
            return Err(ToleranceError::Differing { differing, entries, allowed });
        }
        Ok(difference)
    }
}

/// Most units in the last place that a tolerance may have: a thousandth of a number in f32, and the few that leave a number
/// of a narrow format its size.
const fn most_units(format: Format) -> u32 {
    match format {
        Format::F32 => 1 << 13,
        Format::Bf16 => 8,
        Format::E4m3 => 1,
    }
}

/// Place of a finite number among all of its format: neighbours differ by 1, and −0 is 0.
fn rank(format: Format, bits: u32) -> i64 {
    let sign_bit = 1u32 << (u32::try_from(format.bytes()).unwrap_or(4).saturating_mul(8).saturating_sub(1));
    let magnitude = i64::from(bits & sign_bit.saturating_sub(1));
    if bits & sign_bit == 0 { magnitude } else { magnitude.saturating_neg() }
}

/// Whether |one − other| ≤ 2^exponent, exactly: where the two are too far apart to be subtracted in 128 bits, the smaller
/// counts as one unit of the last bit that is kept, against the claim.
fn is_within(one: Number, other: Number, exponent: i16) -> bool {
    let (high, low) = if one.exponent >= other.exponent { (one, other) } else { (other, one) };
    let signed = |number: Number, magnitude: i128| if number.negative { magnitude.saturating_neg() } else { magnitude };
    let (high_mantissa, low_mantissa) = (i128::from(high.mantissa), i128::from(low.mantissa));
    let apart = u32::from(high.exponent.abs_diff(low.exponent));
    let (difference, unit) = if apart <= 96 {
        let difference = signed(high, high_mantissa << apart).abs_diff(signed(low, low_mantissa));
        (difference, i32::from(low.exponent))
    } else {
        let kept = (high_mantissa << 96).unsigned_abs();
        let low = u128::from(low.mantissa != 0);
        (kept.saturating_add(low), i32::from(high.exponent).saturating_sub(96))
    };
    match u32::try_from(i32::from(exponent).saturating_sub(unit)) {
        // A difference has at most 121 bits.
        Ok(up) if up < 127 => difference <= 1u128 << up,
        Ok(_) => true,
        Err(_) => difference == 0,
    }
}

impl Canonical for TensorTolerance {
    fn encode(&self, out: &mut Encoder) {
        let Self { ulps, absolute_exponent, differing } = self;
        out.put(ulps);
        match absolute_exponent {
            None => out.put(&0u8),
            Some(exponent) => out.put(&1u8).raw(&exponent.to_le_bytes()),
        };
        out.put(differing);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let ulps = input.take()?;
        let absolute_exponent = match input.take::<u8>()? {
            0 => None,
            1 => Some(i16::from_le_bytes(input.array()?)),
            _ => return Err(CodecError::NotCanonical("option tag")),
        };
        Ok(Self { ulps, absolute_exponent, differing: input.take()? })
    }
}

impl Canonical for Tolerance {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.default).count(self.tensors.len());
        for (name, tolerance) in &self.tensors {
            out.put(name).put(tolerance);
        }
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let default = input.take()?;
        let count = input.count("tolerances", MAX_TOLERANCES)?;
        let one = |input: &mut Decoder<'_>| Ok((input.take()?, input.take()?));
        let tensors: Result<_, CodecError> = (0..count).map(|_| one(input)).collect();
        Self::new(default, tensors?).map_err(|_| CodecError::NotCanonical("tolerance"))
    }
}
