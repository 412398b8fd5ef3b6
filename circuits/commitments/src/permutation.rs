//! **Duty.** Poseidon's permutation over Goldilocks, as fast as plain integers allow: nearly all of a commitment's time
//! is spent here. **Knows** numbers modulo p = 2⁶⁴ − 2³² + 1. **Does not know** sponges or domains; its constants are
//! plonky2's (`poseidon.rs`), and so is the permutation that the tests hold it to. **Spec.** The Poseidon paper,
//! appendix B (partial rounds with sparse matrices); decision 0012.
//!
//! Values are any `u64`, not always below p, until [`canonical`]. What is gained over the library: the 22 partial rounds
//! are unrolled in algebra. With t the state after their first matrix and b the values that left the S-box, the state
//! of round r is linear in t and in the earlier b; so the sums are formed once, without a reduction per product.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "indices run over fixed lengths; arithmetic is modulo 2⁶⁴ on purpose, or stays far below it as noted"
)]

use crate::poseidon::constants::{
    FIRST_PARTIAL, INITIAL, MDS, MDS_FIRST, PARTIAL, ROUNDS, SPARSE_COLUMNS, SPARSE_ROWS,
};

/// Elements of the state.
pub(crate) const WIDTH: usize = 12;
const HALF_FULL: usize = 4;
const PARTIAL_ROUNDS: usize = 22;
/// 2⁶⁴ ≡ 2³² − 1 (mod p).
const EPSILON: u64 = 0xffff_ffff;
/// The modulus.
const ORDER: u64 = 0xffff_ffff_0000_0001;

/// How much b of an earlier round enters the first element of a later one: column · row of their sparse matrices.
static FEEDBACK: [[u64; PARTIAL_ROUNDS]; PARTIAL_ROUNDS] = feedback();

/// Applies the permutation.
pub(crate) fn permute(state: &mut [u64; WIDTH]) {
    full_rounds(state, 0);
    partial_rounds(state);
    full_rounds(state, HALF_FULL + PARTIAL_ROUNDS);
}

/// The representative below p.
pub(crate) const fn canonical(x: u64) -> u64 {
    if x >= ORDER { x - ORDER } else { x }
}

fn full_rounds(state: &mut [u64; WIDTH], from: usize) {
    for round in from..from + HALF_FULL {
        for (place, element) in state.iter_mut().enumerate() {
            *element = sbox(add(*element, ROUNDS[round * WIDTH + place]));
        }
        *state = mix(state);
    }
}

fn partial_rounds(state: &mut [u64; WIDTH]) {
    for (element, constant) in state.iter_mut().zip(&FIRST_PARTIAL) {
        *element = add(*element, *constant);
    }
    let mut t = [0u64; WIDTH - 1];
    for (column, t) in t.iter_mut().enumerate() {
        let mut sum = Sum::default();
        for (row, element) in state[1..].iter().enumerate() {
            sum.add_product(*element, INITIAL[row][column]);
        }
        *t = sum.reduce();
    }
    let mut b = [0u64; PARTIAL_ROUNDS];
    for round in 0..PARTIAL_ROUNDS {
        b[round] = add(sbox(state[0]), PARTIAL[round]);
        let mut sum = Sum::default();
        for (t, weight) in t.iter().zip(&SPARSE_ROWS[round]) {
            sum.add_product(*t, *weight);
        }
        for (b, weight) in b[..round].iter().zip(&FEEDBACK[round]) {
            sum.add_product(*b, *weight);
        }
        sum.add_product(b[round], MDS[0] + MDS_FIRST);
        state[0] = sum.reduce();
    }
    for (place, element) in state[1..].iter_mut().enumerate() {
        let mut sum = Sum(u128::from(t[place]), 0);
        for (b, column) in b.iter().zip(&SPARSE_COLUMNS) {
            sum.add_product(*b, column[place]);
        }
        *element = sum.reduce();
    }
}

/// x⁷. A function of its own: inlined into a round, the compiler runs out of registers and takes twice the time.
#[inline(never)]
fn sbox(x: u64) -> u64 {
    let square = multiply(x, x);
    multiply(multiply(x, square), multiply(square, square))
}

/// The circulant matrix and its one diagonal element, on halves of 32 bits: sums stay below 2⁴¹.
fn mix(state: &[u64; WIDTH]) -> [u64; WIDTH] {
    let low = correlate(&state.map(|element| element & EPSILON));
    let high = correlate(&state.map(|element| element >> 32));
    let mut mixed = [0u64; WIDTH];
    for (place, mixed) in mixed.iter_mut().enumerate() {
        let mut sum = u128::from(low[place]) + (u128::from(high[place]) << 32);
        if place == 0 {
            sum += u128::from(MDS_FIRST) * u128::from(state[0]);
        }
        let (low, high) = halves(sum);
        // The upper half is below 2¹⁰.
        *mixed = add(low, (high << 32) - high);
    }
    mixed
}

/// Σᵢ x[(i + r) mod 12] · MDS[i] for each r, through the factors of z¹² − 1 = (z³ − 1)(z³ + 1)(z⁶ + 1).
fn correlate(x: &[u64; WIDTH]) -> [u64; WIDTH] {
    // Below 2⁴¹ in size throughout, so that signs and halves are exact.
    let x = x.map(u64::cast_signed);
    let c = MDS.map(u64::cast_signed);
    let (mut sum, mut difference, mut c_sum, mut c_difference) = ([0i64; 6], [0i64; 6], [0i64; 6], [0i64; 6]);
    for i in 0..6 {
        (sum[i], difference[i]) = (x[i].wrapping_add(x[i + 6]), x[i].wrapping_sub(x[i + 6]));
        (c_sum[i], c_difference[i]) = (c[i].wrapping_add(c[i + 6]), c[i].wrapping_sub(c[i + 6]));
    }
    let mut cyclic = [0i64; 6];
    for r in 0..3 {
        let (mut plus, mut minus) = (0i64, 0i64);
        for i in 0..3 {
            let (at, turned) = ((i + r) % 3, i + r >= 3);
            let (even, odd) = (sum[at].wrapping_add(sum[at + 3]), sum[at].wrapping_sub(sum[at + 3]));
            plus = plus.wrapping_add(even.wrapping_mul(c_sum[i].wrapping_add(c_sum[i + 3])));
            let odd = odd.wrapping_mul(c_sum[i].wrapping_sub(c_sum[i + 3]));
            minus = if turned { minus.wrapping_sub(odd) } else { minus.wrapping_add(odd) };
        }
        (cyclic[r], cyclic[r + 3]) = (plus.wrapping_add(minus) >> 1, plus.wrapping_sub(minus) >> 1);
    }
    let mut out = [0u64; WIDTH];
    for r in 0..6 {
        let mut negacyclic = 0i64;
        for i in 0..6 {
            let product = difference[(i + r) % 6].wrapping_mul(c_difference[i]);
            negacyclic = if i + r >= 6 { negacyclic.wrapping_sub(product) } else { negacyclic.wrapping_add(product) };
        }
        out[r] = (cyclic[r].wrapping_add(negacyclic) >> 1).cast_unsigned();
        out[r + 6] = (cyclic[r].wrapping_sub(negacyclic) >> 1).cast_unsigned();
    }
    out
}

/// A sum of products: 128 bits and how often they overflowed.
#[derive(Clone, Copy, Default)]
struct Sum(u128, u64);

impl Sum {
    #[inline(always)]
    fn add_product(&mut self, a: u64, b: u64) {
        let (sum, carry) = self.0.overflowing_add(u128::from(a) * u128::from(b));
        self.0 = sum;
        self.1 = self.1.wrapping_add(u64::from(carry));
    }

    /// 2¹²⁸ ≡ −2³² (mod p); fewer than 64 products overflow fewer than 64 times.
    #[inline(always)]
    fn reduce(self) -> u64 {
        let (difference, borrow) = reduce(self.0).overflowing_sub(self.1 << 32);
        if borrow { difference.wrapping_sub(EPSILON) } else { difference }
    }
}

/// For a second summand below p, or below 2⁶⁴ − 2³³ + 2: then adding 2⁶⁴ mod p for a carry does not carry again.
#[inline(always)]
const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(EPSILON.wrapping_mul(carry as u64))
}

#[inline(always)]
const fn multiply(a: u64, b: u64) -> u64 {
    reduce((a as u128).wrapping_mul(b as u128))
}

/// 2⁹⁶ ≡ −1 and 2⁶⁴ ≡ 2³² − 1 (mod p).
#[inline(always)]
const fn reduce(x: u128) -> u64 {
    let (low, high) = halves(x);
    let (top, middle) = (high >> 32, high & EPSILON);
    let (mut rest, borrow) = low.overflowing_sub(top);
    if borrow {
        // 2⁶⁴ too much, and at least 2⁶⁴ − 2³²: this does not borrow again.
        rest = rest.wrapping_sub(EPSILON);
    }
    add(rest, (middle << 32).wrapping_sub(middle))
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
const fn halves(x: u128) -> (u64, u64) {
    (x as u64, (x >> 64) as u64)
}

const fn feedback() -> [[u64; PARTIAL_ROUNDS]; PARTIAL_ROUNDS] {
    let mut table = [[0; PARTIAL_ROUNDS]; PARTIAL_ROUNDS];
    let mut later = 0;
    while later < PARTIAL_ROUNDS {
        let mut earlier = 0;
        while earlier < later {
            let (mut sum, mut place) = (0u64, 0);
            while place < WIDTH - 1 {
                let product = canonical(multiply(SPARSE_COLUMNS[earlier][place], SPARSE_ROWS[later][place]));
                sum = canonical(add(sum, product));
                place += 1;
            }
            table[later][earlier] = sum;
            earlier += 1;
        }
        later += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poseidon::library_permutation;
    use proptest::prelude::*;

    fn held(state: [u64; WIDTH]) {
        let mut ours = state;
        permute(&mut ours);
        assert_eq!(ours.map(canonical), library_permutation(state), "{state:?}");
    }

    #[test]
    fn the_edges_of_the_field_are_permuted_as_the_library_does() {
        let edges = [0, 1, EPSILON, EPSILON + 1, 1 << 63, ORDER - 1, ORDER, ORDER + 1, u64::MAX];
        for a in edges {
            held([a; WIDTH]);
            for b in edges {
                held(std::array::from_fn(|i| if i % 2 == 0 { a } else { b }));
                held(std::array::from_fn(|i| if i == 0 { a } else { b }));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn any_state_is_permuted_as_the_library_does(state in any::<[u64; WIDTH]>()) {
            held(state);
        }

        #[test]
        fn reductions_are_exact(a in any::<u128>(), b in any::<u64>(), c in any::<u64>(), over in 0u64..64) {
            let modulo = |x: u128| u64::try_from(x % u128::from(ORDER)).unwrap();
            prop_assert_eq!(canonical(reduce(a)), modulo(a));
            prop_assert_eq!(canonical(multiply(b, c)), modulo(u128::from(b) * u128::from(c)));
            prop_assert_eq!(canonical(add(b, canonical(c))), modulo(u128::from(b) + u128::from(canonical(c))));
            let weight = u128::from(over) * (u128::from(ORDER) - (1 << 32));
            prop_assert_eq!(canonical(Sum(a, over).reduce()), modulo(a % u128::from(ORDER) + weight));
        }
    }
}
