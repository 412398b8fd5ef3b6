//! **Duty.** Which randomness a window answers to, and how much it is worth. **Knows** round numbers and times.
//! **Does not know** signatures of rounds. **Spec.** PROTOCOL §5: the round is the first at or after the quoted end + Δ;
//! grades beacon, verifier-trusted, self-check.

use weighbridge_attest_types::{Canonical, Challenge, CodecError, Decoder, Digest32, Encoder, UnixMillis};

/// How far a challenge is out of the prover's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RandomnessGrade {
    /// Derived from the root alone: whoever re-rolls the root 2^g times gains a factor of 2^g. A rehearsal.
    SelfCheck,
    /// A verifier's nonce: the reader must trust that verifier.
    VerifierTrusted,
    /// A public beacon's round, fixed by rule before it was known.
    Beacon,
}

impl RandomnessGrade {
    /// Whether what it draws may be called `zk-sampled`.
    #[must_use]
    pub const fn is_a_sample(self) -> bool {
        matches!(self, Self::VerifierTrusted | Self::Beacon)
    }

    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfCheck => "self-check",
            Self::VerifierTrusted => "verifier-trusted",
            Self::Beacon => "beacon",
        }
    }
}

/// A public beacon with a fixed period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeaconChain {
    /// Hash of its parameters.
    pub chain: Digest32,
    /// Instant of round 1.
    pub genesis: UnixMillis,
    /// Milliseconds between rounds, at least 1.
    pub period_millis: u64,
}

impl BeaconChain {
    /// The first round at or after an instant; never 0.
    #[must_use]
    pub fn round_at_or_after(&self, instant: UnixMillis) -> u64 {
        let since = instant.0.saturating_sub(self.genesis.0);
        since.div_ceil(self.period_millis.max(1)).saturating_add(1)
    }

    /// When a round becomes known.
    #[must_use]
    pub const fn instant_of(&self, round: u64) -> UnixMillis {
        UnixMillis(self.genesis.0.saturating_add(round.saturating_sub(1).saturating_mul(self.period_millis)))
    }
}

impl Canonical for BeaconChain {
    fn encode(&self, out: &mut Encoder) {
        let Self { chain, genesis, period_millis } = self;
        out.put(chain).put(genesis).put(period_millis);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { chain: input.take()?, genesis: input.take()?, period_millis: input.take()? })
    }
}

/// Randomness as it became known. Whether its signature holds was checked by whoever hands it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revealed {
    /// A beacon's round.
    Round {
        /// Hash of the beacon's parameters.
        chain: Digest32,
        /// Number.
        round: u64,
        /// Its output.
        value: Digest32,
    },
    /// A verifier's nonce, made after the verifier saw the commitment.
    Nonce {
        /// The verifier's key.
        verifier: Digest32,
        /// When it was told.
        issued: UnixMillis,
        /// The nonce.
        value: Digest32,
    },
    /// Nothing from outside.
    Nothing,
}

impl Revealed {
    /// What enters the seed.
    #[must_use]
    pub const fn challenge(&self) -> Challenge {
        match self {
            Self::Round { value, .. } => Challenge::BeaconRound(*value),
            Self::Nonce { value, .. } => Challenge::VerifierNonce(*value),
            Self::Nothing => Challenge::None,
        }
    }
}
