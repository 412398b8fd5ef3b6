//! **Duty.** A node's ledger against its roster row: whose chain it is, which devices it accounts for, which quotes it
//! names. **Knows** ledgers and the digests of evidence. **Does not know** what evidence says.
//! **Spec.** PROTOCOL §3 (Ledger; Interval: "so a dropped quote shows").

use std::collections::BTreeMap;

use weighbridge_attest_types::{Digest32, LedgerEntry, NodeKey, NodeLedger, QuotedHead, RosterRow};
use weighbridge_ledger::CheckedLedger;

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{NodeParts, name};
use crate::text;

/// Findings of one check that are gathered; a ledger of a million wrong intervals needs no million sentences.
const MANY: usize = 32;

/// A chain that hangs together. Whether it is the right one is in `sound`.
#[derive(Debug)]
pub(crate) struct NodeChain<'a> {
    parts: &'a NodeParts,
    ledger: CheckedLedger,
    quoted_through: u64,
    sound: bool,
}

impl<'a> NodeChain<'a> {
    pub(crate) const fn parts(&self) -> &'a NodeParts {
        self.parts
    }

    /// The key that signs this chain.
    pub(crate) fn node_key(&self) -> NodeKey {
        self.ledger.start().node_key
    }

    pub(crate) const fn ledger(&self) -> &CheckedLedger {
        &self.ledger
    }

    /// Index of the last quoted head: what follows is `declared` and its time a gap.
    pub(crate) const fn quoted_through(&self) -> u64 {
        self.quoted_through
    }

    /// Whether the chain is this row's, of this run, and names its quotes.
    pub(crate) const fn is_sound(&self) -> bool {
        self.sound
    }
}

/// Checks everything about a node's ledger that needs no instant; `None` when its heads or signatures do not hold.
pub(crate) fn check_chain<'a>(
    row: &RosterRow,
    parts: &'a NodeParts,
    genesis: Digest32,
    checks: &mut Checks,
) -> Option<NodeChain<'a>> {
    let path = format!("{}/{}", parts.folder, name::LEDGER);
    let checked = CheckedLedger::check(&parts.ledger);
    let chain = match &checked {
        Ok(ledger) => Ok(format!("{} intervals; every head follows, every entry is signed", ledger.last_index())),
        Err(error) => Err(Finding::fail(error.culprit(), text::chain(error))),
    };
    let is_first = parts.place == 0;
    let mut found =
        vec![("ledger-chain", chain), ("ledger-row", is_of_row(checked.as_ref().ok(), genesis, row, is_first))];
    if is_first {
        // What a later chain cites can be judged only when the evidence of the one before it is.
        found.push(("ledger-predecessor", has_no_predecessor(&parts.ledger)));
    }
    found.extend([("ledger-quotes", names_its_quotes(parts)), ("ledger-quoted", is_quoted(parts))]);
    let mut sound = true;
    for (code, result) in found {
        sound = checks.record(&path, code, result) && sound;
    }
    let quoted_through = parts.head_quotes.last().map_or(0, |quote| quote.index);
    Some(NodeChain { parts, ledger: checked.ok()?, quoted_through, sound })
}

/// Genesis and device set are the row's, and every interval accounts for exactly the row's accelerators. The first
/// chain is the row's key's; a later one has a key of its own, which no roster names.
fn is_of_row(ledger: Option<&CheckedLedger>, genesis: Digest32, row: &RosterRow, is_first: bool) -> CheckResult {
    let Some(ledger) = ledger else {
        return Err(Finding::skipped("the ledger does not hold together, so it is nobody's"));
    };
    let (checked, whose) = match is_first {
        true => (ledger.check_row(genesis, row), "this node"),
        false => (ledger.check_later_key(genesis, row), "this node's devices under another key"),
    };
    match checked {
        Ok(()) => Ok(format!("this run's chain of {whose}; accelerators in every interval: {}", row.devices.len())),
        Err(error) => Err(Finding::fail(error.culprit(), text::chain(&error))),
    }
}

/// A chain after a reboot counts only behind the chain it cites (PROTOCOL §3).
fn has_no_predecessor(ledger: &NodeLedger) -> CheckResult {
    match ledger.start.predecessor {
        None => Ok("the chain starts with the run".to_owned()),
        Some(head) => {
            Err(Finding::untrusted(format!("the chain continues head {head} of another chain, which is not before it")))
        }
    }
}

/// The ledger cites each quote in the first interval after it was made; every citation must have its evidence in the
/// bundle, and every quote but the one over the greatest head must be cited. That one may have had no such interval: it was
/// over the last head, or it took longer than one interval and the node stopped before the next. Whoever leaves its
/// citation out gains nothing: the same chain, cut off behind the head that it quotes, says the same, and all that stands
/// behind that head is unattested and charged as a gap either way. A quote that is dropped still shows where it is cited,
/// and one that is smuggled in below a greater one shows because it is not.
fn names_its_quotes(parts: &NodeParts) -> CheckResult {
    let mut present: BTreeMap<u64, Digest32> =
        parts.head_quotes.iter().map(|quote| (quote.index, quote.evidence.digest)).collect();
    let mut wrong = Vec::new();
    for LedgerEntry { public, .. } in &parts.ledger.entries {
        let Some(QuotedHead { index, evidence }) = public.quoted else { continue };
        let here = format!("interval {} names the quote over head {index}", public.index);
        match present.remove(&index) {
            _ if index >= public.index => wrong.push(format!("{here}, which did not exist yet")),
            None => wrong.push(format!("{here}, which the bundle does not have (or which was named before)")),
            Some(digest) if digest != evidence => {
                wrong.push(format!("{here}, but the bundle has other evidence there"))
            }
            Some(_) => {}
        }
        if wrong.len() >= MANY {
            break;
        }
    }
    let greatest = parts.head_quotes.iter().map(|quote| quote.index).max();
    let unnamed = present.keys().filter(|&&index| Some(index) != greatest);
    wrong.extend(unnamed.map(|index| format!("no interval names the quote over head {index}")));
    match wrong.is_empty() {
        true => Ok(format!("the ledger and the bundle agree on {} quotes", parts.head_quotes.len())),
        false => Err(Finding::untrusted(text::list(wrong))),
    }
}

fn is_quoted(parts: &NodeParts) -> CheckResult {
    match parts.head_quotes.last() {
        Some(quote) => Ok(format!("quoted through head {}", quote.index)),
        None => Err(Finding::untrusted("no evidence is about this ledger: nothing in it is attested")),
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{
        Binding, ChainStart, Challenge, EvidenceEnvelope, EvidenceKind, EvidenceSet, IntervalPublic, NodeKey,
        PoseidonDigest, Presence, Signature64, UnixMillis,
    };

    use super::*;
    use crate::ingest::{EvidencePart, HeadQuotePart};

    fn evidence(digest: u8) -> EvidencePart {
        let binding = Binding::key(Digest32::default(), Challenge::None);
        let cpu = EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::TDX), body: vec![] };
        let set = EvidenceSet { binding, cpu, devices: vec![] };
        EvidencePart { path: String::new(), set, digest: Digest32([digest; 32]) }
    }

    /// A chain whose entry i names `named[i - 1]` = (index, digest), with `present` evidence in the bundle.
    fn parts(named: &[Option<(u64, u8)>], present: &[(u64, u8)]) -> NodeParts {
        let entry = |(index, named): (u64, &Option<(u64, u8)>)| LedgerEntry {
            public: IntervalPublic {
                index,
                boot_id: [0; 16],
                start_wall: UnixMillis(0),
                end_wall: UnixMillis(0),
                start_mono: 0,
                end_mono: 0,
                presence: Presence::default(),
                devices: vec![],
                checkpoints: vec![],
                windows: vec![],
                quoted: named.map(|(index, digest)| QuotedHead { index, evidence: Digest32([digest; 32]) }),
            },
            meter: PoseidonDigest::default(),
            signature: Signature64([0; 64]),
        };
        let start = ChainStart {
            genesis: Digest32::default(),
            node_key: NodeKey([0; 32]),
            device_set: Digest32::default(),
            predecessor: None,
        };
        let quotes = present.iter().map(|&(index, digest)| HeadQuotePart { index, evidence: evidence(digest) });
        NodeParts {
            folder: "node/0000".to_owned(),
            place: 0,
            ledger: NodeLedger { start, entries: (1..).zip(named).map(entry).collect() },
            key_quote: evidence(0),
            head_quotes: quotes.collect(),
            nonce: None,
            receipt: None,
            beacon: None,
            timestamp: None,
            readings: None,
        }
    }

    fn message(named: &[Option<(u64, u8)>], present: &[(u64, u8)]) -> String {
        match names_its_quotes(&parts(named, present)) {
            Ok(message) => message,
            Err(finding) => format!("{finding:?}"),
        }
    }

    #[test]
    fn every_quote_but_that_over_the_greatest_head_is_named() {
        assert_eq!(
            message(&[None, Some((1, 7)), None], &[(1, 7), (3, 8)]),
            "the ledger and the bundle agree on 2 quotes"
        );
        assert_eq!(message(&[None], &[]), "the ledger and the bundle agree on 0 quotes");
    }

    #[test]
    fn dropped_swapped_smuggled_and_future_quotes_show() {
        let named = [None, Some((1, 7)), None];
        assert!(
            message(&named, &[]).contains("interval 2 names the quote over head 1, which the bundle does not have")
        );
        assert!(message(&named, &[(1, 9)]).contains("but the bundle has other evidence there"));
        let later = [None, None, None, Some((3, 7)), None];
        assert!(message(&later, &[(1, 8), (3, 7)]).contains("no interval names the quote over head 1"));
        assert!(message(&[Some((1, 7))], &[(1, 7)]).contains("which did not exist yet"));
        let twice = [None, Some((1, 7)), Some((1, 7)), None];
        assert!(
            message(&twice, &[(1, 7)]).contains("interval 3 names the quote over head 1, which the bundle does not")
        );
    }

    /// A quote over head 2 was finished when interval 3 was sealed already, and the node stopped before interval 4.
    #[test]
    fn the_last_quote_may_have_had_no_interval_to_name_it() {
        let agree = "the ledger and the bundle agree on 2 quotes";
        assert_eq!(message(&[None, Some((1, 7)), None], &[(1, 7), (2, 8)]), agree);
        // It is one quote and the greatest: two of them, or one below a named one, are refused.
        let two = message(&[None, Some((1, 7)), None, None], &[(1, 7), (2, 8), (3, 9)]);
        assert!(two.contains("no interval names the quote over head 2"), "{two}");
        // And where an interval names it, its evidence must be the one that is named.
        let other = message(&[None, Some((1, 7)), None, Some((2, 9))], &[(1, 7), (2, 8)]);
        assert!(other.contains("but the bundle has other evidence there"), "{other}");
    }

    #[test]
    fn a_chain_without_any_quote_is_not_attested() {
        assert!(is_quoted(&parts(&[None], &[])).is_err());
        assert!(is_quoted(&parts(&[None], &[(1, 7)])).is_ok());
    }

    #[test]
    fn a_million_wrong_intervals_make_no_million_sentences() {
        let named = vec![Some((0, 1)); 10_000];
        assert!(message(&named, &[]).len() < 2_000);
    }
}
