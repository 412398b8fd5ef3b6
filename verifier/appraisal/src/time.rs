//! **Duty.** The external time bracket: *not before* a signed nonce or a beacon round inside the key quote, *not after* a
//! signed receipt or a timestamp over the chain's last head, and whether the ledger's own clock fits in between.
//! **Knows** Ed25519 and time anchors. **Does not know** device rates or policy, and reads no clock.
//! **Spec.** PROTOCOL §3 (time bracket), COMPUTE §9.
//!
//! A token that contradicts its chain, or whose signature does not hold, is a failure whoever signed it. A token that
//! is absent, or whose authority is no anchor, only leaves the bracket open: the clock is then the host's.

mod beacon;
mod rows;
mod timestamp;

use ring::signature::{ED25519, UnparsedPublicKey};
use weighbridge_attest_types::{
    BeaconAnchor, CertificateAnchor, Challenge, Digest32, Grade, IntervalPublic, LedgerEntry, NodeKey, PoseidonDigest,
    Signature64, SignedNonce, SignedReceipt, TimeAnchor, TrustAnchors, UnixMillis,
};
use weighbridge_ledger::CheckedLedger;

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{NodeParts, name};
use crate::text;

pub use beacon::{BeaconError, beacon_time};
pub(crate) use rows::{RowBracket, bracket_row};
pub use timestamp::{TimestampError, TimestampToken};

/// What an end of a bracket is, as the report names it.
pub(crate) mod by {
    pub(crate) const NONCE: &str = "nonce";
    pub(crate) const BEACON: &str = "beacon";
    pub(crate) const RECEIPT: &str = "receipt";
    pub(crate) const TIMESTAMP: &str = "timestamp";
}

/// How far a ledger's wall clock may lie outside the bracket. Authority and host are two machines: clocks disciplined
/// by NTP over a public network agree within a few hundred milliseconds; two seconds also cover a smeared leap second.
pub const CLOCK_SKEW_MILLIS: u64 = 2_000;

/// Greatest slew of a disciplined kernel clock, in parts per million (adjtimex(2): 500 ppm): how much more time than
/// the bracket a monotonic clock may count.
const CLOCK_SLEW_PPM: u64 = 500;
const MILLION: u64 = 1_000_000;

/// The anchor of one end: its name, what it lends, and how a person recognises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenAnchor {
    pub(crate) name: String,
    pub(crate) grade: Grade,
    pub(crate) fingerprint: String,
}

impl TokenAnchor {
    fn authority(anchor: &TimeAnchor) -> Self {
        let TimeAnchor { name, grade, key } = anchor;
        Self { name: name.clone(), grade: *grade, fingerprint: format!("Ed25519 {key}") }
    }

    fn beacon(anchor: &BeaconAnchor) -> Self {
        let BeaconAnchor { name, grade, chain_hash, .. } = anchor;
        Self { name: name.clone(), grade: *grade, fingerprint: format!("drand chain {chain_hash}") }
    }

    fn timestamp(anchor: &CertificateAnchor) -> Self {
        let CertificateAnchor { name, grade, spki_sha256, .. } = anchor;
        Self { name: name.clone(), grade: *grade, fingerprint: format!("key SHA-256 {spki_sha256}") }
    }
}

/// One end of a bracket, signed by a trust anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenTime {
    at: UnixMillis,
    by: &'static str,
    anchor: TokenAnchor,
}

impl TokenTime {
    pub(crate) const fn at(&self) -> UnixMillis {
        self.at
    }

    /// `nonce`, `beacon`, `receipt` or `timestamp`.
    pub(crate) const fn by(&self) -> &'static str {
        self.by
    }

    pub(crate) const fn anchor(&self) -> &TokenAnchor {
        &self.anchor
    }
}

/// What anchored tokens say about one chain, or about all chains of a node; an end without a token stays open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeBracket {
    not_before: Option<TokenTime>,
    not_after: Option<TokenTime>,
}

impl NodeBracket {
    pub(crate) const fn not_before(&self) -> Option<&TokenTime> {
        self.not_before.as_ref()
    }

    pub(crate) const fn not_after(&self) -> Option<&TokenTime> {
        self.not_after.as_ref()
    }
}

/// The period of the whole run, and whose clock bounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Period {
    /// Every node has both ends under a trust anchor.
    External {
        /// Earliest *not before* of all nodes.
        from: UnixMillis,
        /// Latest *not after* of all nodes.
        to: UnixMillis,
        /// Longest time that one node's monotonic clock counted, under all its keys. A clock may run a little faster than
        /// the bracket; what it counted is charged all the same.
        counted_millis: u64,
        /// The weakest anchor decides.
        grade: Grade,
    },
    /// Some end is open: what the hosts' clocks say, if the chains have intervals.
    Host(Option<(UnixMillis, UnixMillis)>),
}

impl Period {
    /// `external` or `host`.
    pub(crate) const fn clock(&self) -> &'static str {
        match self {
            Self::External { .. } => "external",
            Self::Host(_) => "host",
        }
    }

    pub(crate) fn ends(&self) -> Option<(UnixMillis, UnixMillis)> {
        match self {
            Self::External { from, to, .. } => Some((*from, *to)),
            Self::Host(ends) => *ends,
        }
    }

    /// Charged length in milliseconds; `None` when it is unknown or runs backwards.
    pub(crate) fn millis(&self) -> Option<u64> {
        let (from, to) = self.ends()?;
        let length = to.0.checked_sub(from.0)?;
        match self {
            Self::External { counted_millis, .. } => Some(length.max(*counted_millis)),
            Self::Host(_) => Some(length),
        }
    }

    /// Every device is charged over one period, from the first *not before* to the last *not after* of the run: a
    /// device leaves the inventory only by a release record (COMPUTE §9), not because its own node's receipt is early.
    ///
    /// `brackets` has one for each node; `ledgers` has the chains of each node's keys.
    pub(crate) fn of(brackets: &[NodeBracket], ledgers: &[Vec<&[LedgerEntry]>]) -> Self {
        let intervals = ledgers.iter().flat_map(|chains| publics_of(chains));
        let counted_millis = ledgers.iter().map(|chains| counted(publics_of(chains))).max();
        let tokens: Option<Vec<_>> =
            brackets.iter().map(|node| Some((node.not_before.as_ref()?, node.not_after.as_ref()?))).collect();
        let tokens = tokens.unwrap_or_default();
        let from = tokens.iter().map(|(before, _)| before.at).min();
        let to = tokens.iter().map(|(_, after)| after.at).max();
        let grade = tokens.iter().flat_map(|(before, after)| [before.anchor.grade, after.anchor.grade]).min();
        match (from, to, grade) {
            (Some(from), Some(to), Some(grade)) => {
                Self::External { from, to, counted_millis: counted_millis.unwrap_or_default(), grade }
            }
            _ => {
                let from = intervals.clone().map(|public| public.start_wall).min();
                Self::Host(from.zip(intervals.map(|public| public.end_wall).max()))
            }
        }
    }
}

/// Whose tokens are looked at.
#[derive(Debug, Clone, Copy)]
struct Holder<'a> {
    parts: &'a NodeParts,
    ledger: Option<&'a CheckedLedger>,
    node_key: NodeKey,
    /// Whether a later key of the same node followed.
    is_followed: bool,
}

/// Checks the tokens of one chain; what holds under an anchor becomes its own bracket.
fn tokens(holder: Holder<'_>, anchors: &TrustAnchors, checks: &mut Checks) -> NodeBracket {
    NodeBracket { not_before: not_before(holder.parts, anchors, checks), not_after: not_after(holder, anchors, checks) }
}

/// Holds a chain's clock against the bracket that it has to lie in.
fn check_clock(parts: &NodeParts, bracket: &NodeBracket, checks: &mut Checks) {
    let path = format!("{}/time", parts.folder);
    let publics = || parts.ledger.entries.iter().map(|entry| &entry.public);
    checks.record(&path, "time-order", is_ordered(bracket));
    checks.record(&path, "clock-shifted", clock_fits(bracket, publics()));
    checks.record(&path, "clock-overfull", length_fits(bracket, publics()));
}

/// The later of what a nonce and a beacon round say. The key quote answers one of them; the other is refused.
fn not_before(parts: &NodeParts, anchors: &TrustAnchors, checks: &mut Checks) -> Option<TokenTime> {
    let path = format!("{}/{}", parts.folder, name::NONCE);
    if parts.nonce.is_none() && parts.beacon.is_none() {
        let open = match parts.place {
            0 => "absent, and no beacon round: nobody outside says that the run did not start before its clock says",
            _ => "absent, and no beacon round: nobody outside says that this key did not come before its clock says",
        };
        checks.record(&path, "time-nonce", Err(Finding::unknown(open)));
    }
    let nonce = parts.nonce.as_ref().and_then(|token| by_nonce(&path, token, parts, &anchors.time, checks));
    let path = format!("{}/{}", parts.folder, name::BEACON);
    let beacon = parts.beacon.as_ref().and_then(|token| beacon::check(&path, token, parts, &anchors.beacons, checks));
    nonce.into_iter().chain(beacon).max_by_key(TokenTime::at)
}

fn by_nonce(
    path: &str,
    token: &SignedNonce,
    parts: &NodeParts,
    anchors: &[TimeAnchor],
    checks: &mut Checks,
) -> Option<TokenTime> {
    let SignedNonce { authority, issued, nonce, signature } = token;
    let signed = SignedNonce::signing_bytes(*issued, *nonce);
    let mut holds = checks.record(path, "time-nonce-signature", is_signed(authority, &signed, signature));
    holds = checks.record(path, "time-nonce-challenge", is_answered(*nonce, parts)) && holds;
    let anchor = anchor_of(path, "time-nonce-authority", authority, anchors, checks);
    anchor.filter(|_| holds).map(|anchor| TokenTime { at: *issued, by: by::NONCE, anchor })
}

/// The earlier of what a receipt and a timestamp over the last head say. Each must be genuine.
fn not_after(holder: Holder<'_>, anchors: &TrustAnchors, checks: &mut Checks) -> Option<TokenTime> {
    let Holder { parts, is_followed, .. } = holder;
    let path = format!("{}/{}", parts.folder, name::RECEIPT);
    if parts.receipt.is_none() && parts.timestamp.is_none() {
        let finding = match is_followed {
            true => Finding::skipped("absent: a later key of this node followed, whose last head ends the node's time"),
            false => Finding::unknown(
                "absent, and no timestamp: nobody outside says that the run had ended when its clock says",
            ),
        };
        checks.record(&path, "time-receipt", Err(finding));
    }
    let receipt = parts.receipt.as_ref().and_then(|token| by_receipt(&path, token, holder, &anchors.time, checks));
    let path = format!("{}/{}", parts.folder, name::TIMESTAMP);
    let stamped = parts.timestamp.as_ref();
    let stamped = stamped.and_then(|token| timestamp::check(&path, token, holder, &anchors.timestamp, checks));
    receipt.into_iter().chain(stamped).min_by_key(TokenTime::at)
}

fn by_receipt(
    path: &str,
    token: &SignedReceipt,
    Holder { parts, ledger, node_key, .. }: Holder<'_>,
    anchors: &[TimeAnchor],
    checks: &mut Checks,
) -> Option<TokenTime> {
    let SignedReceipt { authority, received, node_key_digest, index, head, signature } = token;
    let signed = SignedReceipt::signing_bytes(*received, *node_key_digest, *index, *head);
    let mut holds = checks.record(path, "time-receipt-signature", is_signed(authority, &signed, signature));
    holds = checks.record(path, "time-receipt-node", names_key(*node_key_digest, node_key)) && holds;
    holds = checks.record(path, "time-receipt-head", names_head(*index, *head, ledger)) && holds;
    let closes = covers_last(*index, parts);
    holds = closes.is_ok() && holds;
    checks.record(path, "time-receipt-last", closes);
    let anchor = anchor_of(path, "time-receipt-authority", authority, anchors, checks);
    anchor.filter(|_| holds).map(|anchor| TokenTime { at: *received, by: by::RECEIPT, anchor })
}

fn is_signed(authority: &Digest32, message: &[u8], signature: &Signature64) -> CheckResult {
    match UnparsedPublicKey::new(&ED25519, &authority.0).verify(message, &signature.0) {
        Ok(()) => Ok(format!("signed by time authority {authority}")),
        Err(_) => Err(Finding::untrusted(format!("the signature of time authority {authority} does not hold"))),
    }
}

/// The nonce is inside the key quote, so that the quote cannot be older than the nonce.
fn is_answered(nonce: Digest32, parts: &NodeParts) -> CheckResult {
    match &parts.key_quote.set.binding.challenge {
        Challenge::VerifierNonce(found) if *found == nonce => Ok("the key quote answers this nonce".to_owned()),
        _ => Err(Finding::untrusted("the key quote does not answer this nonce, so it may be older")),
    }
}

fn names_key(digest: Digest32, node_key: NodeKey) -> CheckResult {
    let wanted = node_key.digest();
    match digest == wanted {
        true => Ok("the receipt is for the key of this chain".to_owned()),
        false => Err(Finding::untrusted(format!("the receipt is for node key {digest}, not {wanted}"))),
    }
}

fn names_head(index: u64, head: PoseidonDigest, ledger: Option<&CheckedLedger>) -> CheckResult {
    let Some(ledger) = ledger else {
        return Err(Finding::skipped("the ledger does not hold together, so no head of it can be compared"));
    };
    match ledger.head(index) {
        Some(found) if found == head => Ok(format!("the receipt is over head {index} of this chain")),
        Some(_) => Err(Finding::untrusted(format!("the receipt is over another head {index} than this chain has"))),
        None => {
            let last = ledger.last_index();
            Err(Finding::untrusted(format!(
                "the receipt is over head {index}; the chain ends at {last}: history is lost"
            )))
        }
    }
}

/// Only a receipt over the last head bounds the whole chain.
fn covers_last(index: u64, parts: &NodeParts) -> CheckResult {
    let last = parts.ledger.entries.last().map_or(0, |entry| entry.public.index);
    match index >= last {
        true => Ok(format!("nothing follows head {index}")),
        false => {
            Err(Finding::unknown(format!("the chain goes on to {last}: what follows head {index} has no outer end")))
        }
    }
}

fn anchor_of(
    path: &str,
    code: &'static str,
    authority: &Digest32,
    anchors: &[TimeAnchor],
    checks: &mut Checks,
) -> Option<TokenAnchor> {
    let anchor = anchors.iter().find(|anchor| anchor.key == *authority);
    let result = match anchor {
        Some(anchor) => Ok(format!("`{}` ({}) is a trust anchor", anchor.name, anchor.grade.as_str())),
        None => Err(Finding::unknown(format!(
            "time authority {authority} is no trust anchor, so its word does not count; name it with --trust-roots DIR"
        ))),
    };
    checks.record(path, code, result);
    anchor.map(TokenAnchor::authority)
}

fn is_ordered(bracket: &NodeBracket) -> CheckResult {
    let NodeBracket { not_before: Some(before), not_after: Some(after) } = bracket else {
        return Err(Finding::unknown("the bracket is open: without both ends completeness is unknown"));
    };
    let (from, to) = (text::instant(before.at), text::instant(after.at));
    match after.at >= before.at {
        true => Ok(format!("not before {from}, not after {to}")),
        false => {
            let (before, after) = (before.by, after.by);
            Err(Finding::untrusted(format!("not after {to} by {after}, but not before {from} by {before}")))
        }
    }
}

/// The wall clock of every interval lies in the bracket, give or take the skew.
fn clock_fits<'a>(bracket: &NodeBracket, publics: impl Iterator<Item = &'a IntervalPublic> + Clone) -> CheckResult {
    let mut wrong = Vec::new();
    if let (Some(before), Some(start)) = (&bracket.not_before, publics.clone().map(|public| public.start_wall).min())
        && start.0.saturating_add(CLOCK_SKEW_MILLIS) < before.at.0
    {
        let (start, from) = (text::instant(start), text::instant(before.at));
        wrong.push(format!("an interval starts at {start}, but the key quote is not older than {from}"));
    }
    if let (Some(after), Some(end)) = (&bracket.not_after, publics.map(|public| public.end_wall).max())
        && end.0 > after.at.0.saturating_add(CLOCK_SKEW_MILLIS)
    {
        let (end, to) = (text::instant(end), text::instant(after.at));
        wrong.push(format!("an interval ends at {end}, but its head was seen at {to}"));
    }
    match (wrong.is_empty(), bracket.not_before.is_some() || bracket.not_after.is_some()) {
        (false, _) => Err(Finding::untrusted(format!("the host clock is shifted: {}", wrong.join("; ")))),
        (true, true) => Ok(format!("the host clock lies in the bracket, within {CLOCK_SKEW_MILLIS} ms")),
        (true, false) => Err(Finding::skipped("there is nothing outside to compare the host clock with")),
    }
}

/// The public facts of several chains.
fn publics_of<'a>(chains: &'a [&[LedgerEntry]]) -> impl Iterator<Item = &'a IntervalPublic> + Clone {
    chains.iter().copied().flatten().map(|entry| &entry.public)
}

/// Milliseconds that the monotonic clock counted in all intervals.
fn counted<'a>(publics: impl Iterator<Item = &'a IntervalPublic>) -> u64 {
    publics.map(|public| public.end_mono.saturating_sub(public.start_mono)).fold(0, u64::saturating_add)
}

/// The monotonic clock counted no more time than there was.
fn length_fits<'a>(bracket: &NodeBracket, publics: impl Iterator<Item = &'a IntervalPublic>) -> CheckResult {
    let (Some(before), Some(after)) = (&bracket.not_before, &bracket.not_after) else {
        return Err(Finding::skipped("there is no bracket to compare the counted time with"));
    };
    let length = after.at.0.saturating_sub(before.at.0);
    let slew = length.saturating_mul(CLOCK_SLEW_PPM).div_euclid(MILLION);
    let most = length.saturating_add(CLOCK_SKEW_MILLIS).saturating_add(slew);
    let counted = counted(publics);
    match counted <= most {
        true => Ok(format!("the ledger counts {counted} ms in a bracket of {length} ms")),
        false => Err(Finding::untrusted(format!("the ledger counts {counted} ms, but the bracket has {length} ms"))),
    }
}

#[cfg(test)]
mod tests;
