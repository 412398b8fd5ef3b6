//! **Duty.** The only place that takes randomness from the machine. **Does not know** what becomes of it.

use ring::rand::{SecureRandom, SystemRandom};

use crate::keys::{KeyError, NodeSecrets};

/// Fresh secrets for a node key.
pub(super) fn fresh_secrets() -> Result<NodeSecrets, KeyError> {
    #[expect(clippy::disallowed_methods, reason = "this is the shell that makes randomness and hands it down")]
    let random = SystemRandom::new();
    let mut secrets = NodeSecrets { seed: [0; 32], salt_secret: [0; 32] };
    random.fill(&mut secrets.seed).map_err(|_| KeyError::Randomness)?;
    random.fill(&mut secrets.salt_secret).map_err(|_| KeyError::Randomness)?;
    Ok(secrets)
}

/// A number below `below`, for waiting times alone: 0 where there is no randomness, and when `below` is 0.
pub(super) fn random_below(below: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the shell that makes randomness and hands it down")]
    let random = SystemRandom::new();
    let mut bytes = [0; 8];
    let _ = random.fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(below).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_alike() {
        let (first, second) = (fresh_secrets().unwrap(), fresh_secrets().unwrap());
        assert_ne!(first.seed, second.seed);
        assert_ne!(first.seed, first.salt_secret);
        assert!((0..50).all(|_| random_below(7) < 7) && random_below(0) == 0);
    }
}
