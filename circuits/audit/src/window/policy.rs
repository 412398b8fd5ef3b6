//! **Duty.** The audit policy: mode, source of randomness, deadlines, and for each stratum a cap and a fixed number of draws.
//! **Knows** ranges. **Does not know** any window. **Spec.** PROTOCOL §5; committed in genesis, before anything is known.

use thiserror::Error;
use weighbridge_attest_types::{
    Canonical, CodecError, Culprit, Decoder, Digest32, Domain, Encoder, UnixMillis, sha256,
};

use crate::flop_tree::Weight;
use crate::statistics::Risk;
use crate::window::WindowError;
use crate::window::round::{BeaconChain, RandomnessGrade, Revealed};

/// One stratum for each weight.
pub const MAX_STRATA: usize = 2;
/// Most draws of a stratum in a window: TRAINING §7 asks for 45,006 at most.
const MAX_DRAWS: u32 = 1 << 20;
/// Longest Δ or deadline: 30 days. States must be kept until then.
const MAX_MILLIS: u64 = 30 * 24 * 3600 * 1000;
/// Caps are sums of trees: below 2⁵⁶ GFLOP.
const MAX_CAP: u128 = 1 << 86;

/// What is committed before the draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// Trace roots of every unit.
    Committed,
    /// Boundary roots of units; drawn units are replayed, and their tiles drawn by a second seed.
    Replayed,
    /// Nothing of a unit: a beacon at a step boundary orders the next unit's capture. Described only.
    Surprise,
}

/// Where challenges come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomnessRule {
    /// The first round at or after the quoted end of the window + Δ.
    Beacon {
        /// Which beacon.
        chain: BeaconChain,
        /// Δ, in milliseconds: more than the clocks' error and the delay of the log.
        delta_millis: u64,
    },
    /// A verifier's nonce.
    Verifier {
        /// Its key.
        verifier: Digest32,
    },
    /// Fiat–Shamir.
    SelfCheck,
}

/// What is drawn from, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stratum {
    /// In proportion to what.
    pub weight: Weight,
    /// F: most weight of a window.
    pub cap: u128,
    /// k: draws of each window, whatever it holds. A rate would leak the total.
    pub draws: u32,
    /// Its part of δ.
    pub risk: Risk,
}

/// The policy of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPolicy {
    mode: AuditMode,
    randomness: RandomnessRule,
    deadline_millis: u64,
    risk: Risk,
    strata: Vec<Stratum>,
}

/// Policies that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowPolicyError {
    /// A number out of range.
    #[error("{what} is out of range")]
    Range {
        /// Which.
        what: &'static str,
    },
    /// No stratum, too many, or one weight twice.
    #[error("strata are 1 to {MAX_STRATA}, ascending by weight, each once")]
    Strata,
    /// Their risks come to more than the run's.
    #[error("the strata's risks come to more than the run's")]
    Risk,
}

impl WindowPolicyError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

fn within(what: &'static str, is_within: bool) -> Result<(), WindowPolicyError> {
    if is_within { Ok(()) } else { Err(WindowPolicyError::Range { what }) }
}

impl AuditPolicy {
    /// A policy. `surprise` can be said, and no window can be committed under it.
    ///
    /// # Errors
    /// [`WindowPolicyError`].
    pub fn new(
        mode: AuditMode,
        randomness: RandomnessRule,
        deadline_millis: u64,
        risk: Risk,
        strata: Vec<Stratum>,
    ) -> Result<Self, WindowPolicyError> {
        within("deadline", (1..=MAX_MILLIS).contains(&deadline_millis))?;
        if let RandomnessRule::Beacon { chain, delta_millis } = randomness {
            within("delta", (1..=MAX_MILLIS).contains(&delta_millis))?;
            within("beacon period", (1..=MAX_MILLIS).contains(&chain.period_millis))?;
        }
        let is_ascending = strata.is_sorted_by(|one, next| one.weight < next.weight);
        if strata.is_empty() || strata.len() > MAX_STRATA || !is_ascending {
            return Err(WindowPolicyError::Strata);
        }
        for Stratum { cap, draws, .. } in &strata {
            within("cap", (1..MAX_CAP).contains(cap))?;
            within("draws", (1..=MAX_DRAWS).contains(draws))?;
        }
        risk.check_split(strata.iter().map(|stratum| stratum.risk)).map_err(|_| WindowPolicyError::Risk)?;
        Ok(Self { mode, randomness, deadline_millis, risk, strata })
    }

    /// Its mode.
    #[must_use]
    pub const fn mode(&self) -> AuditMode {
        self.mode
    }

    /// Its source of randomness.
    #[must_use]
    pub const fn randomness(&self) -> &RandomnessRule {
        &self.randomness
    }

    /// Milliseconds from the challenge to the last response.
    #[must_use]
    pub const fn deadline_millis(&self) -> u64 {
        self.deadline_millis
    }

    /// δ of the whole run.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        self.risk
    }

    /// Strata, ascending by weight.
    #[must_use]
    pub fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    /// SHA-256(framed domain, canonical bytes): what genesis names.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let mut out = Domain::AuditPolicy.encoder();
        out.put(self);
        sha256(&out.finish())
    }
}

impl RandomnessRule {
    /// What its draws are worth.
    #[must_use]
    pub const fn grade(&self) -> RandomnessGrade {
        match self {
            Self::Beacon { .. } => RandomnessGrade::Beacon,
            Self::Verifier { .. } => RandomnessGrade::VerifierTrusted,
            Self::SelfCheck => RandomnessGrade::SelfCheck,
        }
    }

    /// When a challenge over something that closed at `closed` became known.
    ///
    /// # Errors
    /// [`WindowError::RandomnessSource`], [`WindowError::Round`] for randomness that the rule does not name.
    pub(crate) fn revealed_at(&self, closed: UnixMillis, revealed: &Revealed) -> Result<UnixMillis, WindowError> {
        match (self, revealed) {
            (Self::Beacon { chain, delta_millis }, Revealed::Round { chain: found_chain, round, .. }) => {
                if chain.chain != *found_chain {
                    return Err(WindowError::RandomnessSource);
                }
                let expected = chain.round_at_or_after(UnixMillis(closed.0.saturating_add(*delta_millis)));
                if *round != expected {
                    return Err(WindowError::Round { expected, found: *round });
                }
                Ok(chain.instant_of(expected))
            }
            (Self::Verifier { verifier }, Revealed::Nonce { verifier: found, issued, .. }) if verifier == found => {
                Ok(*issued)
            }
            (Self::SelfCheck, Revealed::Nothing) => Ok(closed),
            _ => Err(WindowError::RandomnessSource),
        }
    }
}

impl Canonical for AuditPolicy {
    fn encode(&self, out: &mut Encoder) {
        let Self { mode, randomness, deadline_millis, risk, strata } = self;
        out.put::<u8>(&match mode {
            AuditMode::Committed => 0,
            AuditMode::Replayed => 1,
            AuditMode::Surprise => 2,
        });
        match randomness {
            RandomnessRule::Beacon { chain, delta_millis } => out.put(&0u8).put(chain).put(delta_millis),
            RandomnessRule::Verifier { verifier } => out.put(&1u8).put(verifier),
            RandomnessRule::SelfCheck => out.put(&2u8),
        };
        out.put(deadline_millis).put(&risk.millionths()).count(strata.len());
        for Stratum { weight, cap, draws, risk } in strata {
            out.put::<u8>(&match weight {
                Weight::Flop => 0,
                Weight::Link => 1,
            });
            out.put(cap).put(draws).put(&risk.millionths());
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let mode = match input.take::<u8>()? {
            0 => AuditMode::Committed,
            1 => AuditMode::Replayed,
            2 => AuditMode::Surprise,
            _ => return Err(CodecError::NotCanonical("audit mode")),
        };
        let randomness = match input.take::<u8>()? {
            0 => RandomnessRule::Beacon { chain: input.take()?, delta_millis: input.take()? },
            1 => RandomnessRule::Verifier { verifier: input.take()? },
            2 => RandomnessRule::SelfCheck,
            _ => return Err(CodecError::NotCanonical("randomness rule")),
        };
        let (deadline_millis, whole) = (input.take()?, risk(input)?);
        let count = input.count("strata", MAX_STRATA)?;
        let strata: Result<Vec<Stratum>, CodecError> = (0..count).map(|_| stratum(input)).collect();
        Self::new(mode, randomness, deadline_millis, whole, strata?)
            .map_err(|_| CodecError::NotCanonical("audit policy"))
    }
}

fn risk(input: &mut Decoder<'_>) -> Result<Risk, CodecError> {
    Risk::new(input.take()?).map_err(|_| CodecError::NotCanonical("risk"))
}

fn stratum(input: &mut Decoder<'_>) -> Result<Stratum, CodecError> {
    let weight = match input.take::<u8>()? {
        0 => Weight::Flop,
        1 => Weight::Link,
        _ => return Err(CodecError::NotCanonical("weight")),
    };
    Ok(Stratum { weight, cap: input.take()?, draws: input.take()?, risk: risk(input)? })
}
