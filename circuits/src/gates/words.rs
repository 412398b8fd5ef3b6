//! **Duty.** A packed word of a tile as operand entries: bits of bf16, decoded, and shifted into the 24-bit window of their
//! vector. **Knows** wires. **Does not know** which vectors there are, or that an exponent is tight. **Spec.** CIRCUITS §5
//! (encoding); the native meaning is `audit/src/gemm/encoding.rs`; decision 0080.
//!
//! A word holds 7 bytes, so that two words hold 7 entries and the middle one is cut: its low byte ends the even word.
//!
//! For one entry with sign s, fraction b₀…b₆ and exponent field f: `h = 1` unless f is 0, `F' = f − h`, `m = 128h + Σ bᵢ2ⁱ`.
//! With the vector's greatest F' as `max`, `d = max − F'` and
//!
//! | | magnitude q | what is cut off |
//! |---|---|---|
//! | d < 16 | m · 2^(16 − d) | 0 |
//! | 16 ≤ d < 32 | ⌊m / 2^(d − 16)⌋ | m mod 2^(d − 16) |
//! | 32 ≤ d | 0 | m |
//!
//! signed = ± q, upper = q + 1 where anything but 0 is cut off. d is 8 bits, so that `F' ≤ max`: with max ≤ 253 no entry
//! is a NaN or an infinity.

use std::ops::Range;

use plonky2::field::types::{Field as _, PrimeField64 as _};
use plonky2::iop::target::Target;

use super::algebra::Algebra;
use super::rule::{Row, Rule, RuleGate, inverse_or_zero};
use crate::statement::{Builder, Field};

const WORD: usize = 0;
/// Low byte of the entry that is cut.
const LOW: usize = 1;
/// Of each entry: max, signed, magnitude, upper.
const OUTER: usize = 4;
/// Limbs of the byte that begins or ends the word.
const BYTE: usize = 4;
const INNER: usize = 26;

/// Which part of a pair of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordRule {
    /// Three entries and a low byte.
    Even,
    /// A high byte and three entries: four entries with the low byte before.
    Odd,
    /// The last word of a tile: a high byte and nothing else.
    Last,
}

/// An entry's wires on the outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryTargets {
    pub(crate) signed: Target,
    pub(crate) magnitude: Target,
    pub(crate) upper: Target,
    /// First inner wire of the entry, for tests that forge it.
    #[cfg(test)]
    pub(crate) inner: [Target; INNER],
}

/// Inner wires of an entry, in order.
#[derive(Clone, Copy)]
struct Inner<T> {
    negative: T,
    fraction: [T; 7],
    hidden: T,
    exponent: [T; 4],
    distance: [T; 6],
    /// Two bits above the sixth.
    distance_top: T,
    is_far: T,
    scale: T,
    below: T,
    cut: T,
    is_cut: T,
    inverse: T,
}

impl<T: Copy> Inner<T> {
    fn of(wires: &[T]) -> Self {
        let part = |from: usize| wires[from];
        Self {
            negative: part(0),
            fraction: std::array::from_fn(|i| wires[1 + i]),
            hidden: part(8),
            exponent: std::array::from_fn(|i| wires[9 + i]),
            distance: std::array::from_fn(|i| wires[13 + i]),
            distance_top: part(19),
            is_far: part(20),
            scale: part(21),
            below: part(22),
            cut: part(23),
            is_cut: part(24),
            inverse: part(25),
        }
    }
}

impl WordRule {
    pub(crate) const fn entries(self) -> usize {
        match self {
            Self::Even => 3,
            Self::Odd => 4,
            Self::Last => 1,
        }
    }

    /// Adds the row of a word; `low` is the byte before an odd or last word, `max` that of each entry's vector. Gives the
    /// entries, and the byte that an even word ends with.
    pub(crate) fn add(
        self,
        builder: &mut Builder,
        word: Target,
        low: Option<Target>,
        max: &[Target],
    ) -> (Vec<EntryTargets>, Target) {
        assert_eq!(max.len(), self.entries(), "one vector for each entry");
        let row = RuleGate::add(builder, self);
        row.take(builder, WORD, word);
        if let Some(low) = low {
            row.take(builder, LOW, low);
        }
        let entry = |(place, &max): (usize, &Target)| {
            row.take(builder, self.outer(place).start, max);
            self.entry_targets(row, place)
        };
        (max.iter().enumerate().map(entry).collect(), row.wire(LOW))
    }

    fn entry_targets(self, row: Row, place: usize) -> EntryTargets {
        let outer = self.outer(place).start;
        EntryTargets {
            signed: row.wire(outer + 1),
            magnitude: row.wire(outer + 2),
            upper: row.wire(outer + 3),
            #[cfg(test)]
            inner: std::array::from_fn(|i| row.wire(self.inner(place).start + i)),
        }
    }

    const fn outer(self, place: usize) -> Range<usize> {
        let first = 2 + OUTER * place;
        first..first + OUTER
    }

    const fn byte(self) -> Range<usize> {
        let first = self.outer(self.entries()).start;
        first..first + BYTE
    }

    const fn inner(self, place: usize) -> Range<usize> {
        let first = self.byte().end + INNER * place;
        first..first + INNER
    }
}

impl Rule for WordRule {
    fn id(&self) -> String {
        format!("weighbridge word of bf16 operands: {self:?}")
    }
    fn wires(&self) -> usize {
        self.inner(self.entries()).start
    }
    fn constraints(&self) -> usize {
        // The word's sum and the cut entry's.
        2 + BYTE + self.entries() * ENTRY_CONSTRAINTS
    }
    fn degree(&self) -> usize {
        5
    }

    fn constrain<T: Copy>(&self, wires: &[T], algebra: &mut impl Algebra<T>, emit: &mut impl FnMut(T)) {
        let mut stored = Vec::with_capacity(self.entries());
        for place in 0..self.entries() {
            let outer: [T; OUTER] = std::array::from_fn(|i| wires[self.outer(place).start + i]);
            let inner = Inner::of(&wires[self.inner(place)]);
            stored.push(entry_as_stored(&inner, algebra));
            entry_is_decoded(outer, &inner, algebra, emit);
        }
        let limbs = &wires[self.byte()];
        limbs.iter().for_each(|&limb| emit(algebra.digit(limb)));
        let byte = algebra.number(limbs, 4);
        let (word, low) = (wires[WORD], wires[LOW]);
        let sum = if let Self::Even = self {
            emit(algebra.sub(byte, low));
            stored.push(byte);
            algebra.number(&stored, 1 << 16)
        } else {
            // The cut entry: the byte before, and this word's first.
            let joined = algebra.times(1 << 8, byte);
            let joined = algebra.add(joined, low);
            emit(algebra.sub(joined, stored[0]));
            stored[0] = algebra.constant(0);
            let rest = algebra.number(&stored[1..], 1 << 16);
            let rest = algebra.times(1 << 8, rest);
            algebra.add(rest, byte)
        };
        emit(algebra.sub(sum, word));
    }

    fn given(&self) -> Vec<usize> {
        let byte = (!matches!(self, Self::Even)).then_some(LOW);
        let max = (0..self.entries()).map(|place| self.outer(place).start);
        [WORD].into_iter().chain(byte).chain(max).collect()
    }

    fn fill(&self, given: &dyn Fn(usize) -> Field, put: &mut dyn FnMut(usize, Field)) {
        let number = |wire: usize| given(wire).to_canonical_u64();
        let word = number(WORD);
        let (byte, stored): (u64, Vec<u64>) = if let Self::Even = self {
            let byte = (word >> 48) & 0xff;
            put(LOW, Field::from_canonical_u64(byte));
            (byte, (0..3).map(|place| (word >> (16 * place)) & 0xffff).collect())
        } else {
            let byte = word & 0xff;
            let whole = (0..self.entries() - 1).map(|place| (word >> (8 + 16 * place)) & 0xffff);
            (byte, [(number(LOW) & 0xff) | (byte << 8)].into_iter().chain(whole).collect())
        };
        for (limb, wire) in self.byte().enumerate() {
            put(wire, Field::from_canonical_u64((byte >> (2 * limb)) & 3));
        }
        for (place, stored) in stored.into_iter().enumerate() {
            let max = number(self.outer(place).start);
            fill_entry(stored, max, self.outer(place).start, self.inner(place).start, put);
        }
    }
}

/// Constraints of one entry.
const ENTRY_CONSTRAINTS: usize = 15 + 5 + 12;

/// An entry's 16 bits.
fn entry_as_stored<T: Copy>(inner: &Inner<T>, algebra: &mut impl Algebra<T>) -> T {
    let exponent = algebra.number(&inner.exponent, 4);
    let field = algebra.add(exponent, inner.hidden);
    let field = algebra.times(1 << 7, field);
    let negative = algebra.times(1 << 15, inner.negative);
    let fraction = algebra.number(&inner.fraction, 2);
    let upper = algebra.add(field, negative);
    algebra.add(fraction, upper)
}

fn entry_is_decoded<T: Copy>(
    [max, signed, magnitude, upper]: [T; OUTER],
    inner: &Inner<T>,
    algebra: &mut impl Algebra<T>,
    emit: &mut impl FnMut(T),
) {
    let bits = [inner.negative, inner.hidden].into_iter().chain(inner.fraction).chain(inner.distance);
    bits.for_each(|bit| emit(algebra.bit(bit)));
    let digits = inner.exponent.into_iter().chain([inner.distance_top]);
    digits.for_each(|digit| emit(algebra.digit(digit)));

    // hidden-bit: only the exponent field 0 has none.
    let exponent = algebra.number(&inner.exponent, 4);
    let subnormal = algebra.complement(inner.hidden);
    emit(algebra.mul(subnormal, exponent));
    // below-max: the distance is 8 bits.
    let low = algebra.number(&inner.distance, 2);
    let high = algebra.times(1 << 6, inner.distance_top);
    let distance = algebra.add(low, high);
    let expected = algebra.sub(max, exponent);
    emit(algebra.sub(distance, expected));

    let window = window(inner, algebra);
    emit(algebra.sub(window.is_far, inner.is_far));
    emit(algebra.sub(window.scale, inner.scale));
    let fraction = algebra.number(&inner.fraction, 2);
    let hidden = algebra.times(1 << 7, inner.hidden);
    let mantissa = algebra.add(fraction, hidden);
    let below = below(inner, algebra);
    emit(algebra.sub(below, inner.below));

    let near = algebra.complement(inner.is_far);
    let shifted_down = algebra.mul(near, inner.distance[4]);
    cut_off(inner, shifted_down, mantissa, algebra, emit);
    // window: magnitude · 2^e = mantissa · 2^16 or mantissa, less what is cut off.
    let reached = algebra.mul(magnitude, inner.scale);
    let up = algebra.times((1 << 16) - 1, inner.distance[4]);
    let whole = algebra.constant(1 << 16);
    let up = algebra.sub(whole, up);
    let scaled = algebra.mul(mantissa, up);
    let kept = algebra.sub(scaled, inner.cut);
    let difference = algebra.sub(reached, kept);
    emit(algebra.mul(near, difference));
    emit(algebra.mul(inner.is_far, magnitude));
    // sign, and upper end.
    let twice = algebra.times(2, magnitude);
    let turned = algebra.mul(inner.negative, twice);
    let expected = algebra.sub(magnitude, turned);
    emit(algebra.sub(signed, expected));
    let expected = algebra.add(magnitude, inner.is_cut);
    emit(algebra.sub(upper, expected));
}

/// cut-mark: what is cut off, and whether it is anything.
fn cut_off<T: Copy>(
    inner: &Inner<T>,
    shifted_down: T,
    mantissa: T,
    algebra: &mut impl Algebra<T>,
    emit: &mut impl FnMut(T),
) {
    let far = algebra.mul(inner.is_far, mantissa);
    let down = algebra.mul(shifted_down, inner.below);
    let expected = algebra.add(far, down);
    emit(algebra.sub(inner.cut, expected));
    let marked = algebra.mul(inner.cut, inner.inverse);
    emit(algebra.sub(inner.is_cut, marked));
    let unmarked = algebra.complement(inner.is_cut);
    emit(algebra.mul(inner.cut, unmarked));
}

struct Window<T> {
    is_far: T,
    scale: T,
}

/// Whether the distance is 32 or more, and 2 to the power of its four lowest bits.
fn window<T: Copy>(inner: &Inner<T>, algebra: &mut impl Algebra<T>) -> Window<T> {
    // (1 − x)(2 − x)(3 − x) / 6: 1 for 0, and 0 for 1, 2 and 3.
    let sixth = Field::from_canonical_u64(6).inverse().to_canonical_u64();
    let mut none = algebra.constant(sixth);
    for digit in 1..4 {
        let digit = algebra.constant(digit);
        let factor = algebra.sub(digit, inner.distance_top);
        none = algebra.mul(none, factor);
    }
    let below = algebra.complement(inner.distance[5]);
    let near = algebra.mul(below, none);
    let is_far = algebra.complement(near);
    Window { is_far, scale: algebra.power_of_two(&inner.distance[..4]) }
}

/// The mantissa modulo 2^e, e in the four lowest bits of the distance: bit i counts if e > i.
fn below<T: Copy>(inner: &Inner<T>, algebra: &mut impl Algebra<T>) -> T {
    let [e0, e1, e2, e3, ..] = inner.distance;
    let e1_or_e0 = algebra.or(e1, e0);
    let e1_and_e0 = algebra.mul(e1, e0);
    let e2_and_e1 = algebra.mul(e2, e1);
    // e mod 8 exceeds 0, 1, …, 6; beyond that only e ≥ 8 does.
    let exceeds = [
        algebra.or(e2, e1_or_e0),
        algebra.or(e2, e1),
        algebra.or(e2, e1_and_e0),
        e2,
        algebra.mul(e2, e1_or_e0),
        e2_and_e1,
        algebra.mul(e2_and_e1, e0),
    ];
    let hidden = algebra.times(1 << 7, inner.hidden);
    let mut sum = algebra.mul(e3, hidden);
    for (place, (exceeds, bit)) in exceeds.into_iter().zip(inner.fraction).enumerate() {
        let counts = algebra.or(e3, exceeds);
        let counted = algebra.mul(counts, bit);
        let counted = algebra.times(1 << place, counted);
        sum = algebra.add(sum, counted);
    }
    sum
}

fn fill_entry(stored: u64, max: u64, outer: usize, inner: usize, put: &mut dyn FnMut(usize, Field)) {
    let (negative, field, fraction) = (stored >> 15, (stored >> 7) & 0xff, stored & 0x7f);
    let hidden = u64::from(field != 0);
    let exponent = field - hidden;
    let mantissa = fraction | (hidden << 7);
    // An exponent above the greatest one has a distance that is none.
    let distance = max.wrapping_sub(exponent) & 0xff;
    let (is_far, is_down, e) = (distance >> 5 != 0, (distance >> 4) & 1 == 1, distance & 15);
    let below = mantissa & ((1 << e) - 1);
    let (magnitude, cut) = match (is_far, is_down) {
        (true, _) => (0, mantissa),
        (false, true) => (mantissa >> e, below),
        (false, false) => (mantissa << (16 - e), 0),
    };
    let is_cut = u64::from(cut != 0);
    let mut values = vec![negative];
    values.extend((0..7).map(|bit| (fraction >> bit) & 1));
    values.push(hidden);
    values.extend((0..4).map(|limb| (exponent >> (2 * limb)) & 3));
    values.extend((0..6).map(|bit| (distance >> bit) & 1));
    values.extend([distance >> 6, u64::from(is_far), 1 << e, below, cut, is_cut]);
    let values = values.into_iter().map(Field::from_canonical_u64);
    let inverse = inverse_or_zero(Field::from_canonical_u64(cut));
    values.chain([inverse]).enumerate().for_each(|(place, value)| put(inner + place, value));
    let magnitude = Field::from_canonical_u64(magnitude);
    put(outer + 1, if negative == 1 { -magnitude } else { magnitude });
    put(outer + 2, magnitude);
    put(outer + 3, magnitude + Field::from_canonical_u64(is_cut));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::algebra::Native;
    use crate::gates::rule::tests::{broken, every_wire_is_bound, filled, is_one_gate};

    const KINDS: [WordRule; 3] = [WordRule::Even, WordRule::Odd, WordRule::Last];

    #[test]
    fn each_word_is_one_gate() {
        KINDS.iter().for_each(is_one_gate);
    }

    /// A last word over one entry.
    fn one(stored: u64, max: u64) -> Vec<Field> {
        filled(&WordRule::Last, &[(WORD, stored >> 8), (LOW, stored & 0xff), (2, max)])
    }

    /// By the definition of the encoding, over every bf16 and some exponents of a block.
    #[test]
    fn every_number_is_shifted_and_cut_as_it_is_natively() {
        for stored in 0..1u64 << 16 {
            let field = (stored >> 7) & 0xff;
            let exponent = field.saturating_sub(1);
            let mantissa = u128::from(stored & 0x7f | if field > 0 { 0x80 } else { 0 });
            for distance in [0, 1, 7, 15, 16, 17, 20, 23, 24, 31, 32, 200] {
                let max = exponent + distance;
                if field == 255 || max > 253 {
                    continue;
                }
                let row = one(stored, max);
                assert_eq!(broken(&WordRule::Last, &row), Vec::<usize>::new(), "{stored:#x} {max}");
                let whole = mantissa << 16;
                let magnitude =
                    u64::try_from(whole.checked_shr(u32::try_from(distance).unwrap()).unwrap_or(0)).unwrap();
                let is_cut =
                    distance >= 128 && mantissa > 0 || distance < 128 && (u128::from(magnitude) << distance) != whole;
                let value = Field::from_canonical_u64(magnitude);
                let signed = if stored >> 15 == 1 { -value } else { value };
                let upper = value + Field::from_bool(is_cut);
                assert_eq!(row[3..6], [signed, value, upper], "{stored:#x} {max}");
            }
        }
    }

    #[test]
    fn an_exponent_above_the_greatest_one_has_no_row() {
        for (stored, max) in [(0x3f80, 125), (0x3f80, 0), (0x7f80, 253), (0x7fc0, 253), (0xff80, 253), (0x0100, 0)] {
            assert!(!broken(&WordRule::Last, &one(stored, max)).is_empty(), "{stored:#x} {max}");
        }
    }

    #[test]
    fn no_wire_of_a_word_is_free() {
        // Cut, subnormal, zero, far below, exact: with and without a sign. An inverse is free where nothing is cut.
        let words = [0x3f81_0001_8000, 0x3f80_bf80_0003, 0x3781_b7ff_3680];
        for rule in KINDS {
            for word in words {
                let word = if rule == WordRule::Last { word & 0xff } else { word | (0x5a << 48) };
                let given = |max: &dyn Fn(usize) -> u64| {
                    let max = (0..rule.entries()).map(|place| (rule.outer(place).start, max(place)));
                    [(WORD, word), (LOW, 0x81)].into_iter().chain(max).collect::<Vec<_>>()
                };
                // First to see the exponents; then each entry at another distance.
                let seen = filled(&rule, &given(&|_| 253));
                let exponent = |place: usize| Native.number(&Inner::of(&seen[rule.inner(place)]).exponent, 4);
                let distances = [17, 0, 3, 40];
                let max = |place: usize| (exponent(place).to_canonical_u64() + distances[place]).min(253);
                let row = filled(&rule, &given(&max));
                let uncut = |place: &usize| row[rule.inner(*place).end - 3] == Field::ZERO;
                let free: Vec<_> = (0..rule.entries()).filter(uncut).map(|place| rule.inner(place).end - 1).collect();
                every_wire_is_bound(&rule, &row, &free);
            }
        }
    }

    /// Two wires at once: another sign of the cut, another shift with its scale, a hidden bit that is not there.
    #[test]
    fn wires_that_agree_with_one_another_are_refused_too() {
        let row = one(0x3f80, 126);
        let inner = WordRule::Last.inner(0).start;
        let mut other = row.clone();
        // Half the magnitude, under a scale that is twice as large.
        (other[inner + 21], other[4], other[5], other[3]) =
            (Field::TWO, row[4] / Field::TWO, row[5] / Field::TWO, row[3] / Field::TWO);
        assert!(!broken(&WordRule::Last, &other).is_empty());
        // Field 1 as field 0 with a hidden bit.
        let row = one(0x0080, 10);
        let mut other = row.clone();
        (other[inner + 8], other[inner + 9]) = (Field::ZERO, Field::ONE);
        assert!(!broken(&WordRule::Last, &other).is_empty());
        // A mark where nothing is cut.
        let mut other = row;
        (other[inner + 24], other[5]) = (Field::ONE, other[5] + Field::ONE);
        assert!(!broken(&WordRule::Last, &other).is_empty());
    }
}
