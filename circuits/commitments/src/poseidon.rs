//! **Duty.** The only native use of plonky2's hash. Inputs are `[domain element, length, …]` through
//! `hash_n_to_hash_no_pad`: the domain separates uses and the length separates inputs, because the sponge alone does
//! neither. **Spec.** PROTOCOL §3; CIRCUITS §3 (pitfalls).

use plonky2::field::goldilocks_field::GoldilocksField;
use plonky2::field::types::{Field, PrimeField64};
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::plonk::config::Hasher;
use weighbridge_attest_types::{Digest32, Domain, PoseidonDigest};

/// Bytes in one packed element: 2⁵⁶ < p, so that every byte string has one packing.
const PACKED_BYTES: usize = 7;

/// Poseidon over `[domain element, number of elements, elements…]`.
///
/// Elements are taken modulo p; callers pass canonical ones (packed bytes, digests, readings below 2⁵⁶).
#[must_use]
pub fn poseidon(domain: Domain, elements: &[u64]) -> PoseidonDigest {
    let head = [domain.element(), elements.len() as u64];
    let input: Vec<_> = head.iter().chain(elements).map(|&e| GoldilocksField::from_noncanonical_u64(e)).collect();
    let hash = PoseidonHash::hash_no_pad(&input);
    let canonical = hash.elements.map(|element| element.to_canonical_u64());
    PoseidonDigest::from_elements(canonical).unwrap_or_default()
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
    fn domain_and_length_separate_inputs() {
        assert_ne!(poseidon(Domain::Meter, &[1, 2]), poseidon(Domain::Head, &[1, 2]));
        assert_ne!(poseidon(Domain::Meter, &[1]), poseidon(Domain::Meter, &[1, 0]));
    }
}
