//! **Duty.** The salted commitment to the numeric spec and schedule that a manifest carries. **Does not know** what a
//! spec says. **Spec.** PROTOCOL §3 (RunManifest): scheme 1 is
//! `Poseidon(domain, salt as 4 elements ‖ [length in bytes] ‖ pack7(spec))`.

use weighbridge_attest_types::{Domain, SpecCommitment};

use crate::{pack7, poseidon, salt_elements};

/// The scheme that this build writes and knows.
const SCHEME: u8 = 1;

/// Commits to canonical spec bytes under a salt that stays with the operator.
#[must_use]
pub fn commit_spec(salt: &[u8; 28], spec: &[u8]) -> SpecCommitment {
    let mut elements = salt_elements(salt).to_vec();
    // pack7 pads the last element with zeros: the length tells `a` from `a\0`.
    elements.push(spec.len() as u64);
    elements.extend(pack7(spec));
    SpecCommitment { scheme: SCHEME, digest: poseidon(Domain::Spec, &elements) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_length_and_every_byte_matter() {
        let base = commit_spec(&[1; 28], b"graph");
        assert_eq!(base.scheme, 1);
        assert_eq!(base, commit_spec(&[1; 28], b"graph"));
        let mut salt = [1; 28];
        salt[27] = 2;
        for other in [commit_spec(&salt, b"graph"), commit_spec(&[1; 28], b"graph\0"), commit_spec(&[1; 28], b"graqh")]
        {
            assert_ne!(base, other);
        }
    }
}
