//! **Duty.** From a container to typed parts: every member has a place, every place that must be filled is.
//! **Knows** member names and canonical encodings. **Does not know** whether anything in them is true.
//! **Spec.** PROTOCOL §7 (every byte accounted for).

use std::collections::BTreeMap;

use weighbridge_attest_types::{
    BeaconToken, Bundle, Canonical, Declarations, Digest32, EvidenceSet, NodeLedger, NodeWitness, RunManifest,
    SignedNonce, SignedReceipt, UnixMillis, sha256,
};
use weighbridge_audit::{Answers, MAX_ANSWERS_BYTES};
use weighbridge_circuits::ThresholdPublic;

use crate::check::{Checks, Finding};
use crate::text;
use crate::time::{TimestampError, TimestampToken};

/// Names of members that stand alone.
pub(crate) mod name {
    pub(crate) const MANIFEST: &str = "run-manifest";
    pub(crate) const POLICY: &str = "policy.json";
    pub(crate) const APPRAISED_AT: &str = "appraised-at";
    pub(crate) const REPORT: &str = "report.json";
    pub(crate) const CIRCUITS: &str = "circuits";
    pub(crate) const PROOF: &str = "proof/threshold";
    pub(crate) const PROOF_PUBLIC: &str = "proof/threshold.public";
    pub(crate) const ENDORSEMENTS: &str = "endorsements";
    pub(crate) const LEDGER: &str = "ledger";
    pub(crate) const EVIDENCE: &str = "evidence";
    pub(crate) const KEY_EVIDENCE: &str = "evidence/key";
    pub(crate) const NONCE: &str = "time/nonce";
    pub(crate) const RECEIPT: &str = "time/receipt";
    pub(crate) const BEACON: &str = "time/beacon";
    pub(crate) const TIMESTAMP: &str = "time/timestamp";
    pub(crate) const DECLARATIONS: &str = "declarations.json";
    /// Answers to the draws of the audit.
    pub(crate) const ANSWERS: &str = "audit";
    pub(crate) const READINGS: &str = "readings";
    /// Folder, below a node's, of the chains of its later keys.
    pub(crate) const AFTER: &str = "after";
}

/// Digits of a node, chain or endorsement number.
const SHORT_NUMBER: usize = 4;
/// Digits of a ledger index.
const INDEX_NUMBER: usize = 8;
/// Evidence sets of all chains, those that introduce keys included, and beacon rounds. Each costs a few milliseconds to
/// verify: a bundle is judged in a minute, not in an hour.
const MAX_COSTLY_MEMBERS: usize = 8_192;

/// Folder of a node in a bundle.
pub(crate) fn node_folder(number: u64) -> String {
    format!("node/{number:0width$}", width = SHORT_NUMBER)
}

/// Folder of a chain in a bundle: the node's own for the key of the roster, below it for each key after a reboot.
pub(crate) fn chain_folder(node: u64, place: u64) -> String {
    match place {
        0 => node_folder(node),
        _ => format!("{}/{}/{place:0width$}", node_folder(node), name::AFTER, width = SHORT_NUMBER),
    }
}

/// Member of an endorsement in a bundle.
pub(crate) fn endorsement_name(number: usize) -> String {
    format!("{}/{number:0width$}", name::ENDORSEMENTS, width = SHORT_NUMBER)
}

/// A bundle's content, parsed and still unchecked.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) manifest: RunManifest,
    pub(crate) policy: Vec<u8>,
    /// By the number in the folder's name; of each the chains of its keys in order, at least one.
    pub(crate) nodes: BTreeMap<u64, Vec<NodeParts>>,
    pub(crate) endorsements: Vec<Vec<u8>>,
    pub(crate) proof: Option<ProofParts>,
    /// What the provider states beside the run.
    pub(crate) declarations: Option<DeclarationsPart>,
    /// Answers to the draws of the audit.
    pub(crate) answers: Option<Answers>,
    pub(crate) appraised_at: UnixMillis,
    pub(crate) report: Option<Vec<u8>>,
    /// Digest of all members but the report.
    pub(crate) members: Digest32,
}

/// One chain's members: a node's, under one of its keys.
#[derive(Debug)]
pub(crate) struct NodeParts {
    pub(crate) folder: String,
    /// 0 for the key of the roster; from 1 for the keys after it.
    pub(crate) place: u64,
    pub(crate) ledger: NodeLedger,
    pub(crate) key_quote: EvidencePart,
    /// Ascending by index.
    pub(crate) head_quotes: Vec<HeadQuotePart>,
    pub(crate) nonce: Option<SignedNonce>,
    pub(crate) receipt: Option<SignedReceipt>,
    pub(crate) beacon: Option<BeaconToken>,
    pub(crate) timestamp: Option<TimestampToken>,
    /// Openings of every interval, at level `open`.
    pub(crate) readings: Option<NodeWitness>,
}

/// The provider's statement with the digest of its bytes.
#[derive(Debug)]
pub(crate) struct DeclarationsPart {
    pub(crate) content: Declarations,
    pub(crate) digest: Digest32,
}

/// One evidence set with the digest that ledgers and rosters cite.
#[derive(Debug)]
pub(crate) struct EvidencePart {
    pub(crate) path: String,
    pub(crate) set: EvidenceSet,
    /// SHA-256 of the canonical bytes.
    pub(crate) digest: Digest32,
}

/// An evidence set that says to be about a head.
#[derive(Debug)]
pub(crate) struct HeadQuotePart {
    /// Index in the member's name.
    pub(crate) index: u64,
    pub(crate) evidence: EvidencePart,
}

/// The zero-knowledge statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProofParts {
    pub(crate) public: ThresholdPublic,
    pub(crate) proof: Vec<u8>,
    pub(crate) circuits: Vec<u8>,
}

/// Sorts every member into its place; `None` when a member is unknown, does not parse or is missing.
pub(crate) fn ingest(bundle: &Bundle, checks: &mut Checks) -> Option<Parts> {
    let mut draft = Draft::default();
    let mut whole = true;
    for (name, bytes) in bundle.iter() {
        if let Err((code, finding)) = draft.place(name, bytes) {
            draft.is_refused = true;
            whole = checks.record(name, code, Err(finding)) && whole;
        }
    }
    // A member that is there and does not parse was already named.
    let missing: Vec<String> = draft.missing().into_iter().filter(|path| bundle.get(path).is_none()).collect();
    for path in &missing {
        checks.record(path, "member-missing", Err(Finding::malformed("the bundle does not have this member")));
    }
    if !whole || !missing.is_empty() {
        let finding = Finding::skipped("nothing else was checked, because members do not parse or are missing");
        checks.record("bundle", "members", Err(finding));
        return None;
    }
    let parts = draft.finish(bundle.digest_without(name::REPORT))?;
    checks.record("bundle", "members", Ok(format!("{} members, each in its place", bundle.iter().count())));
    Some(parts)
}

/// Parts as they arrive.
#[derive(Default)]
struct Draft {
    /// Some member was refused, so that nothing will be judged.
    is_refused: bool,
    manifest: Option<RunManifest>,
    policy: Option<Vec<u8>>,
    /// By node and place.
    nodes: BTreeMap<(u64, u64), NodeDraft>,
    /// Members whose verification costs milliseconds, so far.
    costly: usize,
    endorsements: Vec<Vec<u8>>,
    declarations: Option<DeclarationsPart>,
    answers: Option<Answers>,
    proof: Option<Vec<u8>>,
    public: Option<ThresholdPublic>,
    circuits: Option<Vec<u8>>,
    appraised_at: Option<UnixMillis>,
    report: Option<Vec<u8>>,
}

#[derive(Default)]
struct NodeDraft {
    ledger: Option<NodeLedger>,
    key_quote: Option<EvidencePart>,
    head_quotes: Vec<HeadQuotePart>,
    nonce: Option<SignedNonce>,
    receipt: Option<SignedReceipt>,
    beacon: Option<BeaconToken>,
    timestamp: Option<TimestampToken>,
    readings: Option<NodeWitness>,
}

/// A member that has no place, or does not parse there.
type Misplaced = (&'static str, Finding);

impl Draft {
    fn place(&mut self, member: &str, bytes: &[u8]) -> Result<(), Misplaced> {
        match member {
            name::MANIFEST => self.manifest = Some(parse(bytes)?),
            name::POLICY => self.policy = Some(bytes.to_vec()),
            name::APPRAISED_AT => self.appraised_at = Some(parse(bytes)?),
            name::REPORT => self.report = Some(bytes.to_vec()),
            name::CIRCUITS => self.circuits = Some(bytes.to_vec()),
            name::PROOF => self.proof = Some(bytes.to_vec()),
            name::PROOF_PUBLIC => self.public = Some(parse(bytes)?),
            name::DECLARATIONS => self.declarations = Some(declarations(bytes)?),
            name::ANSWERS => self.answers = Some(answers(bytes)?),
            _ => return self.place_numbered(member, bytes),
        }
        Ok(())
    }

    fn place_numbered(&mut self, member: &str, bytes: &[u8]) -> Result<(), Misplaced> {
        // Members come in ascending order, so that each endorsement must carry the next number.
        if member == endorsement_name(self.endorsements.len()) {
            self.endorsements.push(bytes.to_vec());
            return Ok(());
        }
        let (node, rest) = member.strip_prefix("node/").and_then(|rest| rest.split_once('/')).ok_or_else(unknown)?;
        let node = number(node, SHORT_NUMBER).ok_or_else(unknown)?;
        let (place, rest) = place(rest).ok_or_else(unknown)?;
        let draft = self.nodes.entry((node, place)).or_default();
        match rest {
            name::LEDGER => draft.ledger = Some(parse(bytes)?),
            name::KEY_EVIDENCE => {
                count(&mut self.costly)?;
                draft.key_quote = Some(evidence(member, bytes)?);
            }
            name::NONCE => draft.nonce = Some(parse(bytes)?),
            name::RECEIPT => draft.receipt = Some(parse(bytes)?),
            name::BEACON => {
                count(&mut self.costly)?;
                draft.beacon = Some(parse(bytes)?);
            }
            // The costliest to read of all members, and there may be one for each chain.
            name::TIMESTAMP if self.is_refused => {}
            name::TIMESTAMP => draft.timestamp = Some(timestamp(bytes)?),
            name::READINGS => draft.readings = Some(parse(bytes)?),
            _ => {
                let index = head_quote_index(rest).ok_or_else(unknown)?;
                count(&mut self.costly)?;
                draft.head_quotes.push(HeadQuotePart { index, evidence: evidence(member, bytes)? });
            }
        }
        Ok(())
    }

    /// Members that must be there and are not. Time tokens may be absent, and so may the proof as a whole.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut need = |present: bool, path: String| {
            if !present {
                missing.push(path);
            }
        };
        need(self.manifest.is_some(), name::MANIFEST.to_owned());
        need(self.policy.is_some(), name::POLICY.to_owned());
        need(self.appraised_at.is_some(), name::APPRAISED_AT.to_owned());
        let mut due = (0, 0);
        for (&(number, place), node) in &self.nodes {
            // Of a hole in the chains of a node its beginning is named.
            let expected = if due.0 == number { due.1 } else { 0 };
            need(place == expected, format!("{}/{}", chain_folder(number, expected), name::LEDGER));
            due = (number, place.saturating_add(1));
            let folder = chain_folder(number, place);
            need(node.ledger.is_some(), format!("{folder}/{}", name::LEDGER));
            need(node.key_quote.is_some(), format!("{folder}/{}", name::KEY_EVIDENCE));
        }
        if self.proof.is_some() || self.public.is_some() || self.circuits.is_some() {
            need(self.proof.is_some(), name::PROOF.to_owned());
            need(self.public.is_some(), name::PROOF_PUBLIC.to_owned());
            need(self.circuits.is_some(), name::CIRCUITS.to_owned());
        }
        missing
    }

    fn finish(self, members: Digest32) -> Option<Parts> {
        let Self {
            is_refused: _,
            manifest,
            policy,
            nodes,
            costly: _,
            endorsements,
            declarations,
            answers,
            proof,
            public,
            circuits,
            appraised_at,
            report,
        } = self;
        let proof = match (public, proof, circuits) {
            (Some(public), Some(proof), Some(circuits)) => Some(ProofParts { public, proof, circuits }),
            _ => None,
        };
        let mut rows: BTreeMap<u64, Vec<NodeParts>> = BTreeMap::new();
        for ((number, place), draft) in nodes {
            rows.entry(number).or_default().push(draft.finish(number, place)?);
        }
        Some(Parts {
            manifest: manifest?,
            policy: policy?,
            nodes: rows,
            endorsements,
            proof,
            declarations,
            answers,
            appraised_at: appraised_at?,
            report,
            members,
        })
    }
}

impl NodeDraft {
    fn finish(self, number: u64, place: u64) -> Option<NodeParts> {
        let Self { ledger, key_quote, head_quotes, nonce, receipt, beacon, timestamp, readings } = self;
        let folder = chain_folder(number, place);
        let (ledger, key_quote) = (ledger?, key_quote?);
        Some(NodeParts { folder, place, ledger, key_quote, head_quotes, nonce, receipt, beacon, timestamp, readings })
    }
}

/// Which of a node's chains a member below its folder belongs to, and the rest of the name: `after/0001/ledger` is the
/// ledger of the first key after a reboot. There is no `after/0000`: that would be a second name of the first chain.
fn place(rest: &str) -> Option<(u64, &str)> {
    let Some(later) = rest.strip_prefix(name::AFTER).and_then(|rest| rest.strip_prefix('/')) else {
        return Some((0, rest));
    };
    let (place, rest) = later.split_once('/')?;
    Some((number(place, SHORT_NUMBER).filter(|&place| place > 0)?, rest))
}

/// The index in `evidence/00000012`.
pub(crate) fn head_quote_index(member: &str) -> Option<u64> {
    number(member.strip_prefix(name::EVIDENCE)?.strip_prefix('/')?, INDEX_NUMBER)
}

/// A number in its one spelling: zero-padded to `width`.
fn number(text: &str, width: usize) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (format!("{value:0width$}") == text).then_some(value)
}

fn parse<T: Canonical>(bytes: &[u8]) -> Result<T, Misplaced> {
    T::from_bytes(bytes).map_err(|error| ("member-parses", Finding::malformed(text::chain(&error))))
}

fn timestamp(bytes: &[u8]) -> Result<TimestampToken, Misplaced> {
    let refused = |error: TimestampError| ("member-parses", Finding::fail(error.culprit(), text::chain(&error)));
    TimestampToken::parse(bytes).map_err(refused)
}

fn declarations(bytes: &[u8]) -> Result<DeclarationsPart, Misplaced> {
    match Declarations::parse(bytes) {
        Ok(content) => Ok(DeclarationsPart { content, digest: sha256(bytes) }),
        Err(error) => Err(("member-parses", Finding::malformed(text::chain(&error)))),
    }
}

/// Before a byte of it is read: all answers are judged in a minute.
pub(crate) fn answers(bytes: &[u8]) -> Result<Answers, Misplaced> {
    match bytes.len() {
        found if found > MAX_ANSWERS_BYTES => {
            let message = format!("{found} bytes of answers; the cap is {MAX_ANSWERS_BYTES}");
            Err(("member-parses", Finding::malformed(message)))
        }
        _ => parse(bytes),
    }
}

fn evidence(path: &str, bytes: &[u8]) -> Result<EvidencePart, Misplaced> {
    Ok(EvidencePart { path: path.to_owned(), set: parse(bytes)?, digest: sha256(bytes) })
}

/// Before the member is read: one too many costs nothing.
fn count(costly: &mut usize) -> Result<(), Misplaced> {
    *costly = costly.saturating_add(1);
    if *costly <= MAX_COSTLY_MEMBERS {
        return Ok(());
    }
    let message =
        format!("a bundle of this version holds at most {MAX_COSTLY_MEMBERS} evidence sets and beacon rounds together");
    Err(("member-unknown", Finding::malformed(message)))
}

fn unknown() -> Misplaced {
    ("member-unknown", Finding::malformed("no member of a bundle has this name"))
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{Culprit, Member};

    use super::*;
    use crate::check::Check;

    fn failures_of(members: &[(&str, Vec<u8>)]) -> Vec<(String, &'static str)> {
        let mut bundle = Bundle::new_bundle();
        for (name, bytes) in members {
            bundle.insert(Member { name: (*name).to_owned(), bytes: bytes.clone() }).unwrap();
        }
        let mut checks = Checks::default();
        assert!(ingest(&bundle, &mut checks).is_none());
        let failed =
            |check: Check| (check.culprit == Some(Culprit::Malformed)).then_some((check.path.clone(), check.code));
        checks.into_list().into_iter().filter_map(failed).collect()
    }

    #[test]
    fn after_a_refused_member_no_timestamp_is_read() {
        let timestamps = |members: &[(&'static str, Vec<u8>)]| {
            let failed = failures_of(members).into_iter();
            failed.filter(|(path, code)| path.ends_with(name::TIMESTAMP) && *code == "member-parses").count()
        };
        let junk = |member| (member, vec![0x30]);
        let (first, second) = (junk("node/0000/time/timestamp"), junk("node/0001/time/timestamp"));
        assert_eq!(timestamps(std::slice::from_ref(&first)), 1);
        assert_eq!(timestamps(&[first.clone(), second.clone()]), 1);
        assert_eq!(timestamps(&[junk("appraised-at"), first, second]), 0);
    }

    #[test]
    fn key_quotes_head_quotes_and_beacons_have_one_bound() {
        let members = |kind: &'static str, range: std::ops::Range<usize>| {
            range.map(move |number| format!("node/{number:04}/{kind}")).collect::<Vec<_>>()
        };
        let most = MAX_COSTLY_MEMBERS / 2;
        let all = [
            members(name::BEACON, 0..most),
            members(name::KEY_EVIDENCE, 0..most - 1),
            members("evidence/00000001", 0..1),
        ];
        let all = all.concat();
        let too_many = |names: &[String]| {
            let members: Vec<_> = names.iter().map(|name| (name.as_str(), vec![])).collect();
            failures_of(&members).iter().filter(|(_, code)| *code == "member-unknown").count()
        };
        assert_eq!(too_many(&all), 0);
        for (kind, more) in [(name::BEACON, 1), (name::KEY_EVIDENCE, 2), ("evidence/00000002", 1)] {
            let names = [all.clone(), members(kind, 9_000..9_000 + more)].concat();
            assert_eq!(too_many(&names), more, "{kind}");
        }
    }

    #[test]
    fn an_empty_bundle_lacks_every_required_member() {
        let expected =
            [("run-manifest", "member-missing"), ("policy.json", "member-missing"), ("appraised-at", "member-missing")];
        let expected: Vec<_> = expected.map(|(path, code)| (path.to_owned(), code)).to_vec();
        assert_eq!(failures_of(&[]), expected);
    }

    #[test]
    fn names_without_a_place_are_unknown() {
        for name in [
            "extra",
            "node/0000",
            "node/0/ledger",
            "node/00000/ledger",
            "node/0000/ledger/more",
            "node/0000/evidence/12",
            "node/0000/evidence/000000012",
            "node/0000/after/0000/ledger",
            "node/0000/after/1/ledger",
            "node/0000/after/0001",
            "node/0000/after/0001/after/0002/ledger",
            "node/0000/after/0001/evidence/12",
            "endorsements/0001",
            "proof/other",
        ] {
            let found = failures_of(&[(name, vec![])]);
            assert!(found.contains(&(name.to_owned(), "member-unknown")), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_hole_in_the_chains_of_a_node_is_named_where_it_begins() {
        let missing = |names: &[&str]| {
            let members: Vec<_> = names.iter().map(|name| (*name, vec![])).collect();
            let found = failures_of(&members).into_iter().filter(|(_, code)| *code == "member-missing");
            found.map(|(path, _)| path).filter(|path| path.ends_with("ledger")).collect::<Vec<_>>()
        };
        // These members do not parse; only those that are not there at all are missing.
        let (first, second) = ("node/0000/after/0001/ledger", "node/0000/after/0002/ledger");
        assert_eq!(missing(&["node/0000/ledger", second]), [first]);
        assert_eq!(missing(&[first]), ["node/0000/ledger"]);
        assert_eq!(missing(&["node/0000/ledger", first, second]), Vec::<String>::new());
        assert_eq!(missing(&["node/0000/after/9999/ledger"]), ["node/0000/ledger"]);
        assert_eq!(missing(&["node/0000/ledger", "node/0001/after/0001/ledger"]), ["node/0001/ledger"]);
    }

    #[test]
    fn a_member_that_does_not_parse_is_named_and_all_of_them_are() {
        let found =
            failures_of(&[("appraised-at", vec![0; 7]), ("node/0000/ledger", vec![1]), ("run-manifest", vec![])]);
        for path in ["appraised-at", "node/0000/ledger", "run-manifest"] {
            assert!(found.contains(&(path.to_owned(), "member-parses")), "{path}: {found:?}");
        }
        assert!(found.contains(&("node/0000/evidence/key".to_owned(), "member-missing")));
    }

    #[test]
    fn half_a_proof_is_no_proof() {
        let found = failures_of(&[("proof/threshold", vec![1])]);
        assert!(found.contains(&("proof/threshold.public".to_owned(), "member-missing")));
        assert!(found.contains(&("circuits".to_owned(), "member-missing")));
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(number("0012", 4), Some(12));
        assert_eq!(number("16383", 4), Some(16_383));
        for wrong in ["12", "+012", "00012", "", "001x"] {
            assert_eq!(number(wrong, 4), None, "{wrong}");
        }
    }
}
