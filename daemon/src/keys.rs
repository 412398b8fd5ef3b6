//! **Duty.** The node's secrets: the Ed25519 key that signs its chain, and the secret from which salts come. Made inside
//! the confidential VM; they leave it never. **Does not know** files. **Spec.** PROTOCOL §3 (Node key, Ledger).

use std::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair};
use thiserror::Error;
use weighbridge_attest_types::{Culprit, NodeKey, Signature64};
use weighbridge_ledger::reading_salt;

/// Why keys cannot be made or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
    /// Stored bytes that are no key.
    #[error("the stored node key is damaged")]
    Damaged,
    /// A signature of another length than Ed25519's.
    #[error("the node key made a signature of the wrong length")]
    Signature,
}

/// Seed and secret as they are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeSecrets {
    /// Ed25519 seed.
    pub seed: [u8; 32],
    /// Input of every salt.
    pub salt_secret: [u8; 32],
}

/// Keys in use.
pub struct NodeKeys {
    pair: Ed25519KeyPair,
    node_key: NodeKey,
    salt_secret: [u8; 32],
}

impl NodeKeys {
    /// Keys from stored secrets.
    ///
    /// # Errors
    /// [`KeyError::Damaged`].
    pub fn new(secrets: NodeSecrets) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&secrets.seed).map_err(|_| KeyError::Damaged)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Damaged)?;
        Ok(Self { pair, node_key: NodeKey(public), salt_secret: secrets.salt_secret })
    }

    /// The public key.
    #[must_use]
    pub const fn node_key(&self) -> NodeKey {
        self.node_key
    }

    /// Ed25519 signature.
    ///
    /// # Errors
    /// [`KeyError::Signature`].
    pub fn sign(&self, message: &[u8]) -> Result<Signature64, KeyError> {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().map(Signature64).map_err(|_| KeyError::Signature)
    }

    /// The salt that hides the reading of interval `index`.
    #[must_use]
    pub fn salt(&self, index: u64) -> [u8; 28] {
        reading_salt(&self.salt_secret, index)
    }
}

impl KeyError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(self) -> Culprit {
        match self {
            Self::Randomness => Culprit::Unavailable,
            Self::Damaged => Culprit::Malformed,
            Self::Signature => Culprit::Internal,
        }
    }
}

impl fmt::Debug for NodeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSecrets").finish_non_exhaustive()
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys").field("node_key", &self.node_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    const SECRETS: NodeSecrets = NodeSecrets { seed: [7; 32], salt_secret: [8; 32] };

    #[test]
    fn a_signature_holds_under_the_node_key_and_nothing_secret_is_printed() {
        let keys = NodeKeys::new(SECRETS).unwrap();
        let signature = keys.sign(b"entry").unwrap();
        let public = UnparsedPublicKey::new(&ED25519, keys.node_key().0);
        assert!(public.verify(b"entry", &signature.0).is_ok());
        assert!(public.verify(b"other", &signature.0).is_err());
        assert_eq!(format!("{SECRETS:?}"), "NodeSecrets { .. }");
        assert_eq!(keys.salt(5), reading_salt(&SECRETS.salt_secret, 5));
    }
}
