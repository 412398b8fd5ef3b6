//! **Duty.** *Not before* by a round of a public randomness beacon: whoever answers its output did so after its time.
//! **Knows** drand's two signature schemes, by the library, and how rounds follow each other. **Does not know** nonces
//! or receipts, and reads no clock. **Spec.** PROTOCOL §3 (time bracket); drand, "Beacon randomness".

use drand_verify::{G1Pubkey, G2PubkeyRfc, Pubkey};
use thiserror::Error;
use weighbridge_attest_types::{BeaconAnchor, BeaconScheme, BeaconToken, Challenge, UnixMillis};

use super::{TokenAnchor, TokenTime, by};
use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::NodeParts;
use crate::text;

/// Why a round says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BeaconError {
    /// It is of another chain than the anchor.
    #[error("it names another chain")]
    OtherChain,
    /// A chained round without the one before, or an unchained one with it.
    #[error("its previous signature does not fit the scheme of its chain")]
    Previous,
    /// The signature is not the chain's over this round.
    #[error("its signature does not hold under the key of its chain")]
    Signature,
    /// The round's time is beyond all time.
    #[error("its round is at no time that can be told")]
    Time,
}

/// The instant before which nobody knew this round, by the anchor of its chain.
///
/// # Errors
/// [`BeaconError`].
pub fn beacon_time(token: &BeaconToken, anchor: &BeaconAnchor) -> Result<UnixMillis, BeaconError> {
    if token.chain() != anchor.chain_hash {
        return Err(BeaconError::OtherChain);
    }
    match is_signed(token, anchor)? {
        true => round_time(token.round(), anchor).ok_or(BeaconError::Time),
        false => Err(BeaconError::Signature),
    }
}

/// A point that is not on the curve, or not in its group, signs nothing.
fn is_signed(token: &BeaconToken, anchor: &BeaconAnchor) -> Result<bool, BeaconError> {
    let chained = anchor.scheme == BeaconScheme::Chained;
    if token.previous().is_empty() == chained {
        return Err(BeaconError::Previous);
    }
    Ok(match anchor.scheme {
        BeaconScheme::Chained => holds::<G1Pubkey>(token, anchor),
        BeaconScheme::UnchainedG1 => holds::<G2PubkeyRfc>(token, anchor),
    })
}

fn holds<K: Pubkey>(token: &BeaconToken, anchor: &BeaconAnchor) -> bool {
    let key = K::from_variable(&anchor.public_key);
    key.is_ok_and(|key| key.verify(token.round(), token.previous(), token.signature()).unwrap_or(false))
}

pub(super) fn round_time(round: u64, anchor: &BeaconAnchor) -> Option<UnixMillis> {
    let since = round.checked_sub(1)?.checked_mul(u64::from(anchor.period_seconds))?;
    anchor.genesis_seconds.checked_add(since)?.checked_mul(1_000).map(UnixMillis)
}

/// Checks the beacon member of one node.
pub(super) fn check(
    path: &str,
    token: &BeaconToken,
    parts: &NodeParts,
    anchors: &[BeaconAnchor],
    checks: &mut Checks,
) -> Option<TokenTime> {
    let (chain, round) = (token.chain(), token.round());
    let anchor = anchors.iter().find(|anchor| anchor.chain_hash == chain);
    let known = match anchor {
        Some(anchor) => Ok(format!("`{}` ({}) is a trust anchor", anchor.name, anchor.grade.as_str())),
        None => Err(Finding::unknown(format!(
            "beacon chain {chain} is no trust anchor, so its rounds do not count; name it with --trust-roots DIR"
        ))),
    };
    checks.record(path, "time-beacon-chain", known);
    let time = anchor.map(|anchor| beacon_time(token, anchor));
    let signed = match &time {
        Some(Ok(at)) => Ok(format!("round {round} was signed by its chain, not before {}", text::instant(*at))),
        Some(Err(why)) => Err(Finding::untrusted(format!("round {round}: {why}"))),
        None => Err(Finding::skipped("without an anchor there is no key to check the round with")),
    };
    checks.record(path, "time-beacon-signature", signed);
    let answered = checks.record(path, "time-beacon-challenge", is_answered(token, parts));
    let at = time.and_then(Result::ok).filter(|_| answered)?;
    anchor.map(|anchor| TokenTime { at, by: by::BEACON, anchor: TokenAnchor::beacon(anchor) })
}

/// The round's output is inside the key quote, so that the quote cannot be older than the round.
fn is_answered(token: &BeaconToken, parts: &NodeParts) -> CheckResult {
    match &parts.key_quote.set.binding.challenge {
        Challenge::BeaconRound(found) if *found == token.randomness() => {
            Ok("the key quote answers this round".to_owned())
        }
        _ => Err(Finding::untrusted("the key quote does not answer this round, so it may be older")),
    }
}
