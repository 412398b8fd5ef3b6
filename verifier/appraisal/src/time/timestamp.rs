//! **Duty.** *Not after* by an RFC 3161 timestamp over a head: the answer of a timestamp authority, taken apart and
//! checked. **Knows** what the token must be about. **Does not know** sizes of parts (`shape`), CMS (`token`), signatures
//! (`signature`) or paths (`authority`), and reads no clock. **Spec.** PROTOCOL §3 (time bracket); RFC 3161 §2.4.2.

mod authority;
mod shape;
mod signature;
mod token;

use thiserror::Error;
use weighbridge_attest_types::{CertificateAnchor, Culprit, NodeKey, PoseidonDigest, UnixMillis, timestamp_imprint};
use weighbridge_ledger::CheckedLedger;

use super::{Holder, TokenAnchor, TokenTime, by};
use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::NodeParts;
use crate::text;

pub use token::TimestampToken;

/// Why a timestamp says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The bytes are not a granted answer with one token of the form we read.
    #[error("not a timestamp of the form that is read: {0}")]
    Form(String),
    /// The token is not signed as RFC 3161 wants it.
    #[error("the timestamp's signature does not hold: {0}")]
    Signature(String),
    /// The token may be genuine: it is signed in a way that is not read.
    #[error("algorithm not read: the timestamp is signed with {0}, which is not known with its digest and key")]
    Unread(String),
    /// The certificate that signed may not sign timestamps, or not at that time.
    #[error("the timestamp's certificate cannot sign it: {0}")]
    Certificate(String),
    /// No path from the certificate to a root holds.
    #[error("the timestamp's certificate has no path that holds to `{root}`: {why}")]
    Path {
        /// Name of the anchor.
        root: String,
        /// What breaks it.
        why: String,
    },
    /// No root that we trust stands above the certificate.
    #[error("no trust anchor stands above the timestamp's certificate; name its root with --trust-roots DIR")]
    UnknownRoot,
}

impl TimestampError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Form(_) => Culprit::Malformed,
            Self::Unread(_) => Culprit::Unsupported,
            Self::Signature(_) | Self::Certificate(_) | Self::Path { .. } | Self::UnknownRoot => Culprit::Untrusted,
        }
    }

    fn finding(&self) -> Finding {
        match self {
            Self::UnknownRoot => Finding::unknown(self.to_string()),
            _ => Finding::fail(self.culprit(), self.to_string()),
        }
    }
}

/// Checks the timestamp member of one node.
pub(super) fn check(
    path: &str,
    token: &TimestampToken,
    Holder { parts, ledger, node_key, .. }: Holder<'_>,
    roots: &[CertificateAnchor],
    checks: &mut Checks,
) -> Option<TokenTime> {
    let at = token.not_after();
    let index = ledger.and_then(|ledger| stamped_index(token, node_key, ledger));
    let mut holds = checks.record(path, "time-timestamp-head", names_head(index, ledger));
    let closes = covers_last(index, parts);
    holds = closes.is_ok() && holds;
    checks.record(path, "time-timestamp-last", closes);
    let signed = token.check_signature();
    let said = format!("signed by the certificate in it, not after {}", text::instant(at));
    let signed = signed.map(|()| said).map_err(|why| why.finding());
    holds = checks.record(path, "time-timestamp-signature", signed) && holds;
    let anchor = token.check_authority(roots);
    let named = |root: &&CertificateAnchor| format!("`{}` ({}) is a trust anchor", root.name, root.grade.as_str());
    let known = anchor.as_ref().map(named).map_err(TimestampError::finding);
    checks.record(path, "time-timestamp-authority", known);
    let anchor = anchor.ok().filter(|_| holds)?;
    Some(TokenTime { at, by: by::TIMESTAMP, anchor: TokenAnchor::timestamp(anchor) })
}

/// Which head of the chain was stamped: the last one first. A token does not name its index, the imprint holds it.
fn stamped_index(token: &TimestampToken, node_key: NodeKey, ledger: &CheckedLedger) -> Option<u64> {
    let key = node_key.digest();
    let is_of = |index: u64, head: PoseidonDigest| timestamp_imprint(key, index, head) == token.imprint();
    let mut indices = (0..=ledger.last_index()).rev();
    indices.find(|index| ledger.head(*index).is_some_and(|head| is_of(*index, head)))
}

fn names_head(index: Option<u64>, ledger: Option<&CheckedLedger>) -> CheckResult {
    match (index, ledger) {
        (Some(index), _) => Ok(format!("the timestamp is over head {index} of this chain")),
        (None, Some(_)) => Err(Finding::untrusted("the timestamp is over no head of this node's chain")),
        (None, None) => Err(Finding::skipped("the ledger does not hold together, so no head of it can be compared")),
    }
}

/// Only a timestamp over the last head bounds the whole chain.
fn covers_last(index: Option<u64>, parts: &NodeParts) -> CheckResult {
    let last = parts.ledger.entries.last().map_or(0, |entry| entry.public.index);
    match index {
        Some(index) if index >= last => Ok(format!("nothing follows head {index}")),
        Some(index) => {
            Err(Finding::unknown(format!("the chain goes on to {last}: what follows head {index} has no outer end")))
        }
        None => Err(Finding::skipped("the timestamp is over no head that can be compared")),
    }
}

/// Whole seconds of an instant: what a certificate's dates are compared with.
const fn seconds(at: UnixMillis) -> u64 {
    at.0.div_euclid(1_000)
}
