//! **Duty.** Poseidon with domain tags, and the only native use of plonky2: its constants, and in tests its hash.
//! Inputs are `[domain element, length, …]` into a sponge of rate 8 that overwrites and does not pad: the domain separates
//! uses and the length separates inputs, because the sponge alone does neither. **Spec.** PROTOCOL §3; CIRCUITS §3
//! (pitfalls); plonky2's `hash_n_to_hash_no_pad`.

use weighbridge_attest_types::{Digest32, Domain, PoseidonDigest};

use crate::permutation::{WIDTH, canonical, permute};

/// Elements that enter the sponge at once.
const RATE: usize = 8;
/// Bytes in one packed element: 2⁵⁶ < p, so that every byte string has one packing.
const PACKED_BYTES: usize = 7;

/// Poseidon over `[domain element, number of elements, elements…]`.
///
/// Elements are taken modulo p; callers pass canonical ones (packed bytes, digests, readings below 2⁵⁶).
#[must_use]
pub fn poseidon(domain: Domain, elements: &[u64]) -> PoseidonDigest {
    let mut state = [0u64; WIDTH];
    let mut filled = 0usize;
    for &element in [domain.element(), elements.len() as u64].iter().chain(elements) {
        if filled == RATE {
            permute(&mut state);
            filled = 0;
        }
        if let Some(place) = state.get_mut(filled) {
            *place = element;
        }
        filled = filled.saturating_add(1);
    }
    permute(&mut state);
    let [a, b, c, d, ..] = state.map(canonical);
    PoseidonDigest::from_elements([a, b, c, d]).unwrap_or_default()
}

/// What fixes the permutation, from the library that proves it in circuits.
pub(crate) mod constants {
    use plonky2::field::goldilocks_field::GoldilocksField;
    use plonky2::hash::poseidon::{ALL_ROUND_CONSTANTS, Poseidon};

    pub(crate) static ROUNDS: [u64; 360] = ALL_ROUND_CONSTANTS;
    pub(crate) const MDS: [u64; 12] = GoldilocksField::MDS_MATRIX_CIRC;
    /// The only element of the diagonal that is not 0.
    pub(crate) const MDS_FIRST: u64 = {
        let [first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] = GoldilocksField::MDS_MATRIX_DIAG else {
            panic!("another diagonal")
        };
        first
    };
    pub(crate) static FIRST_PARTIAL: [u64; 12] = GoldilocksField::FAST_PARTIAL_FIRST_ROUND_CONSTANT;
    pub(crate) static PARTIAL: [u64; 22] = GoldilocksField::FAST_PARTIAL_ROUND_CONSTANTS;
    pub(crate) static SPARSE_COLUMNS: [[u64; 11]; 22] = GoldilocksField::FAST_PARTIAL_ROUND_VS;
    pub(crate) static SPARSE_ROWS: [[u64; 11]; 22] = GoldilocksField::FAST_PARTIAL_ROUND_W_HATS;
    pub(crate) static INITIAL: [[u64; 11]; 11] = GoldilocksField::FAST_PARTIAL_ROUND_INITIAL_MATRIX;
}

/// The library's permutation.
#[cfg(test)]
pub(crate) fn library_permutation(state: [u64; WIDTH]) -> [u64; WIDTH] {
    use plonky2::field::goldilocks_field::GoldilocksField;
    use plonky2::field::types::{Field, PrimeField64};
    use plonky2::hash::poseidon::Poseidon;
    GoldilocksField::poseidon(state.map(GoldilocksField::from_noncanonical_u64))
        .map(|element| element.to_canonical_u64())
}

/// Packs bytes seven to an element, little-endian; the last element holds what is left.
///
/// The packing alone does not carry the length in bytes: whoever packs a variable field adds it.
#[must_use]
pub fn pack7(bytes: &[u8]) -> Vec<u64> {
    let (whole, tail) = bytes.as_chunks::<PACKED_BYTES>();
    let element = |&[a, b, c, d, e, f, g]: &[u8; PACKED_BYTES]| u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
    let tail = (!tail.is_empty()).then(|| tail.iter().rev().fold(0u64, |acc, &byte| (acc << 8) | u64::from(byte)));
    whole.iter().map(element).chain(tail).collect()
}

/// A 32-byte digest as 5 elements of 7, 7, 7, 7 and 4 bytes.
#[must_use]
pub fn digest_elements(digest: Digest32) -> [u64; 5] {
    let packed = pack7(&digest.0);
    std::array::from_fn(|i| packed.get(i).copied().unwrap_or_default())
}

/// 28 bytes of salt as 4 elements.
#[must_use]
pub fn salt_elements(salt: &[u8; 28]) -> [u64; 4] {
    let packed = pack7(salt);
    std::array::from_fn(|i| packed.get(i).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_little_endian_and_short_tails_stand_alone() {
        assert_eq!(pack7(&[1, 0, 0, 0, 0, 0, 2, 3]), [1 | (2 << 48), 3]);
        assert_eq!(
            digest_elements(Digest32([0xff; 32])),
            [(1 << 56) - 1, (1 << 56) - 1, (1 << 56) - 1, (1 << 56) - 1, 0xffff_ffff]
        );
    }

    #[test]
    fn inputs_of_every_length_are_hashed_as_the_library_does() {
        use plonky2::field::goldilocks_field::GoldilocksField;
        use plonky2::field::types::{Field, PrimeField64};
        use plonky2::hash::poseidon::PoseidonHash;
        use plonky2::plonk::config::Hasher;
        for length in 0..200u64 {
            let elements: Vec<u64> = (0..length).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let input = [Domain::Meter.element(), length].into_iter().chain(elements.iter().copied());
            let input: Vec<_> = input.map(GoldilocksField::from_noncanonical_u64).collect();
            let theirs = PoseidonHash::hash_no_pad(&input).elements.map(|element| element.to_canonical_u64());
            assert_eq!(poseidon(Domain::Meter, &elements).elements(), theirs, "{length} elements");
        }
    }

    #[test]
    fn domain_and_length_separate_inputs() {
        assert_ne!(poseidon(Domain::Meter, &[1, 2]), poseidon(Domain::Head, &[1, 2]));
        assert_ne!(poseidon(Domain::Meter, &[1]), poseidon(Domain::Meter, &[1, 0]));
    }
}
