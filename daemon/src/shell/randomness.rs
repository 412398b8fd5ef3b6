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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_alike() {
        let (first, second) = (fresh_secrets().unwrap(), fresh_secrets().unwrap());
        assert_ne!(first.seed, second.seed);
        assert_ne!(first.seed, first.salt_secret);
    }
}
