//! Tokens that hold, contradict or are nobody's; brackets to the millisecond.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use weighbridge_attest_types::{
    BeaconAnchor, BeaconScheme, BeaconToken, Binding, ChainStart, CodecError, Device, EvidenceEnvelope, EvidenceKind,
    EvidenceSet, NodeLedger, Presence, RosterRow,
};
use weighbridge_ledger::Chain;

use super::*;
use crate::check::{Check, CheckStatus};
use crate::ingest::EvidencePart;

const NONCE: Digest32 = Digest32([9; 32]);
const ISSUED: u64 = 1_000_000;
const START: u64 = ISSUED + 10_000;
const INTERVAL: u64 = 60_000;
const RECEIVED: u64 = START + INTERVAL + 5_000;

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn public_key(key: &Ed25519KeyPair) -> [u8; 32] {
    key.public_key().as_ref().try_into().unwrap()
}

fn sign(key: &Ed25519KeyPair, bytes: &[u8]) -> Signature64 {
    Signature64(key.sign(bytes).as_ref().try_into().unwrap())
}

fn row() -> RosterRow {
    RosterRow {
        node_key: NodeKey(public_key(&key(1))),
        key_quote: Digest32::default(),
        cpu_kind: EvidenceKind::new(EvidenceKind::TDX),
        cpu: Device(Digest32::default()),
        devices: vec![],
    }
}

fn interval(index: u64, start_wall: u64) -> IntervalPublic {
    let start_mono = (index - 1) * INTERVAL;
    IntervalPublic {
        index,
        boot_id: [0; 16],
        start_wall: UnixMillis(start_wall),
        end_wall: UnixMillis(start_wall + INTERVAL),
        start_mono,
        end_mono: start_mono + INTERVAL,
        presence: Presence::default(),
        devices: vec![],
        checkpoints: vec![],
        windows: vec![],
        quoted: None,
    }
}

fn ledger(intervals: u64) -> CheckedLedger {
    let node = key(1);
    let start = ChainStart {
        genesis: Digest32([4; 32]),
        node_key: NodeKey(public_key(&node)),
        device_set: Digest32::default(),
        predecessor: None,
    };
    let mut chain = Chain::new(start);
    for index in 1..=intervals {
        let sealed = chain.seal(interval(index, START + (index - 1) * INTERVAL), PoseidonDigest::default()).unwrap();
        let signature = sign(&node, sealed.signing_bytes());
        chain.append(sealed.signed(signature)).unwrap();
    }
    CheckedLedger::check(chain.ledger()).unwrap()
}

/// A node whose authority (seed 2) issued [`NONCE`] and saw head 1.
fn parts() -> NodeParts {
    let authority = key(2);
    let ledger = ledger(1);
    let binding = Binding::key(row().node_key.digest(), Challenge::VerifierNonce(NONCE));
    let cpu = EvidenceEnvelope { kind: EvidenceKind::new(EvidenceKind::TDX), body: vec![] };
    let set = EvidenceSet { binding, cpu, devices: vec![] };
    let entries: Vec<LedgerEntry> = ledger.entries().to_vec();
    NodeParts {
        folder: "node/0000".to_owned(),
        place: 0,
        key_quote: EvidencePart { path: "node/0000/evidence/key".to_owned(), set, digest: Digest32::default() },
        head_quotes: vec![],
        nonce: Some(nonce(&authority, ISSUED)),
        receipt: Some(receipt(&authority, RECEIVED, 1, ledger.head(1).unwrap())),
        beacon: None,
        timestamp: None,
        readings: None,
        ledger: NodeLedger { start: *ledger.start(), entries },
    }
}

fn nonce(authority: &Ed25519KeyPair, issued: u64) -> SignedNonce {
    let issued = UnixMillis(issued);
    let signature = sign(authority, &SignedNonce::signing_bytes(issued, NONCE));
    SignedNonce { authority: Digest32(public_key(authority)), issued, nonce: NONCE, signature }
}

fn receipt(authority: &Ed25519KeyPair, received: u64, index: u64, head: PoseidonDigest) -> SignedReceipt {
    let (received, node_key_digest) = (UnixMillis(received), row().node_key.digest());
    let signature = sign(authority, &SignedReceipt::signing_bytes(received, node_key_digest, index, head));
    SignedReceipt { authority: Digest32(public_key(authority)), received, node_key_digest, index, head, signature }
}

fn anchors() -> TrustAnchors {
    let anchor = TimeAnchor { name: "clock".to_owned(), grade: Grade::Simulated, key: Digest32(public_key(&key(2))) };
    TrustAnchors { time: vec![anchor], ..TrustAnchors::default() }
}

fn bracketed(parts: &NodeParts, ledger: &CheckedLedger, anchors: &TrustAnchors) -> (NodeBracket, Vec<Check>) {
    let mut checks = Checks::default();
    let bracket = bracket_row(&row(), &[(parts, Some(ledger))], anchors, &mut checks);
    (bracket.whole().clone(), checks.into_list())
}

fn status(checks: &[Check], code: &str) -> CheckStatus {
    checks.iter().find(|check| check.code == code).unwrap_or_else(|| panic!("no check {code}")).status
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| check.status == CheckStatus::Fail).map(|check| check.code).collect()
}

#[test]
fn anchored_tokens_make_a_bracket() {
    let (bracket, checks) = bracketed(&parts(), &ledger(1), &anchors());
    assert!(checks.iter().all(|check| check.status == CheckStatus::Pass), "{checks:#?}");
    assert_eq!(bracket.not_before().map(TokenTime::at), Some(UnixMillis(ISSUED)));
    assert_eq!(bracket.not_after().map(TokenTime::at), Some(UnixMillis(RECEIVED)));
    let publics = ledger(1);
    let period = Period::of(&[bracket], &[vec![publics.entries()]]);
    assert_eq!(period.millis(), Some(RECEIVED - ISSUED));
    assert_eq!(period.clock(), "external");
}

#[test]
fn an_unknown_authority_leaves_the_clock_to_the_host_and_says_what_to_do() {
    let (bracket, checks) = bracketed(&parts(), &ledger(1), &TrustAnchors::default());
    assert_eq!(bracket, NodeBracket::default());
    assert_eq!(failed(&checks), [""; 0]);
    for code in ["time-nonce-authority", "time-receipt-authority", "time-order"] {
        assert_eq!(status(&checks, code), CheckStatus::Unknown, "{code}");
    }
    assert!(checks.iter().any(|check| check.message.contains("--trust-roots DIR")));
    let publics = ledger(1);
    let period = Period::of(&[bracket], &[vec![publics.entries()]]);
    assert_eq!(period, Period::Host(Some((UnixMillis(START), UnixMillis(START + INTERVAL)))));
}

#[test]
fn absent_tokens_leave_the_bracket_open_without_failing() {
    let parts = NodeParts { nonce: None, receipt: None, ..parts() };
    let (bracket, checks) = bracketed(&parts, &ledger(1), &anchors());
    assert_eq!(bracket, NodeBracket::default());
    assert_eq!(failed(&checks), [""; 0]);
    assert_eq!(status(&checks, "time-nonce"), CheckStatus::Unknown);
    assert_eq!(status(&checks, "time-receipt"), CheckStatus::Unknown);
    assert_eq!(status(&checks, "clock-shifted"), CheckStatus::Skipped);
}

#[test]
fn a_token_that_contradicts_fails_whoever_signed_it() {
    let authority = key(2);
    let head = ledger(1).head(1).unwrap();
    let mut forged = nonce(&authority, ISSUED);
    forged.issued = UnixMillis(ISSUED - 1);
    let mut other_node = receipt(&authority, RECEIVED, 1, head);
    other_node.node_key_digest = Digest32([7; 32]);
    let cases = [
        (NodeParts { nonce: Some(forged), ..parts() }, vec!["time-nonce-signature"]),
        (NodeParts { receipt: Some(other_node), ..parts() }, vec!["time-receipt-signature", "time-receipt-node"]),
        (
            NodeParts { receipt: Some(receipt(&authority, RECEIVED, 1, PoseidonDigest::default())), ..parts() },
            vec!["time-receipt-head"],
        ),
        // Lost history: the authority saw head 2, the chain ends at 1.
        (NodeParts { receipt: Some(receipt(&authority, RECEIVED, 2, head)), ..parts() }, vec!["time-receipt-head"]),
        // An old key quote: it answers another nonce.
        (
            {
                let mut parts = parts();
                parts.key_quote.set.binding.challenge = Challenge::VerifierNonce(Digest32([8; 32]));
                parts
            },
            vec!["time-nonce-challenge"],
        ),
    ];
    for (parts, expected) in cases {
        for anchors in [anchors(), TrustAnchors::default()] {
            let (_, checks) = bracketed(&parts, &ledger(1), &anchors);
            assert_eq!(failed(&checks), expected);
        }
    }
}

#[test]
fn a_receipt_over_an_earlier_head_bounds_nothing() {
    let checked = ledger(2);
    let entries = checked.entries().to_vec();
    let parts = NodeParts { ledger: NodeLedger { start: *checked.start(), entries }, ..parts() };
    let (bracket, checks) = bracketed(&parts, &checked, &anchors());
    assert_eq!(failed(&checks), [""; 0]);
    assert_eq!(status(&checks, "time-receipt-last"), CheckStatus::Unknown);
    assert!(bracket.not_before().is_some() && bracket.not_after().is_none());
}

#[test]
fn a_receipt_before_the_nonce_is_refused() {
    let head = ledger(1).head(1).unwrap();
    let at = |received| {
        let parts = NodeParts { receipt: Some(receipt(&key(2), received, 1, head)), ..parts() };
        status(&bracketed(&parts, &ledger(1), &anchors()).1, "time-order")
    };
    assert_eq!(at(ISSUED - 1), CheckStatus::Fail);
    assert_eq!(at(ISSUED), CheckStatus::Pass);
}

#[test]
fn the_host_clock_may_be_off_by_the_skew_and_not_a_millisecond_more() {
    let bracket = bracketed(&parts(), &ledger(1), &anchors()).0;
    let fits = |start: u64| clock_fits(&bracket, std::iter::once(&interval(1, start))).is_ok();
    assert!(fits(ISSUED - CLOCK_SKEW_MILLIS));
    assert!(!fits(ISSUED - CLOCK_SKEW_MILLIS - 1));
    assert!(fits(RECEIVED + CLOCK_SKEW_MILLIS - INTERVAL));
    assert!(!fits(RECEIVED + CLOCK_SKEW_MILLIS - INTERVAL + 1));
}

#[test]
fn more_counted_time_than_there_was_is_refused() {
    let bracket = bracketed(&parts(), &ledger(1), &anchors()).0;
    let length = RECEIVED - ISSUED;
    let most = length + CLOCK_SKEW_MILLIS + length * 500 / 1_000_000;
    let counted = |millis: u64| {
        let public = IntervalPublic { end_mono: millis, ..interval(1, START) };
        length_fits(&bracket, std::iter::once(&public)).is_ok()
    };
    assert!(counted(most));
    assert!(!counted(most + 1));
}

#[test]
fn the_period_spans_all_nodes_and_one_open_end_leaves_it_to_the_hosts() {
    let anchor = TokenAnchor::authority(&anchors().time.remove(0));
    let token = |at| Some(TokenTime { at: UnixMillis(at), by: by::NONCE, anchor: anchor.clone() });
    let node = |from, to| NodeBracket { not_before: token(from), not_after: token(to) };
    let entry = |public| LedgerEntry { public, meter: PoseidonDigest::default(), signature: Signature64([0; 64]) };
    let (first, second) = ([entry(interval(1, 50))], [entry(interval(2, 70))]);
    let ledgers: [Vec<&[LedgerEntry]>; 2] = [vec![&first], vec![&second]];
    let period = Period::of(&[node(100, 900), node(150, 1_000)], &ledgers);
    let (from, to) = (UnixMillis(100), UnixMillis(1_000));
    assert_eq!(period, Period::External { from, to, counted_millis: INTERVAL, grade: Grade::Simulated });
    // What a clock counted beyond the bracket is charged.
    assert_eq!(period.millis(), Some(INTERVAL.max(900)));
    let open = NodeBracket { not_after: None, ..node(150, 0) };
    let period = Period::of(&[node(100, 900), open], &ledgers);
    assert_eq!(period, Period::Host(Some((UnixMillis(50), UnixMillis(70 + INTERVAL)))));
    assert_eq!(Period::of(&[], &[]), Period::Host(None));
    // Two keys of one node: what both counted is charged together.
    let ledgers: [Vec<&[LedgerEntry]>; 1] = [vec![&first, &second]];
    let period = Period::of(&[node(100, 900)], &ledgers);
    assert_eq!(period.millis(), Some(2 * INTERVAL));
}

/// A chain whose round 1 was at `genesis_seconds`; nothing that is told of it here holds.
fn beacons(genesis_seconds: u64) -> TrustAnchors {
    let beacon = BeaconAnchor {
        name: "beacon".to_owned(),
        grade: Grade::Simulated,
        chain_hash: Digest32([3; 32]),
        public_key: vec![],
        genesis_seconds,
        period_seconds: u32::MAX,
        scheme: BeaconScheme::UnchainedG1,
    };
    TrustAnchors { beacons: vec![beacon], ..anchors() }
}

fn round(number: u64) -> Result<BeaconToken, CodecError> {
    BeaconToken::new(Digest32([3; 32]), number, vec![], [vec![0x81], vec![5; 47]].concat())
}

#[test]
fn a_nonce_and_a_round_of_the_same_bytes_do_not_answer_for_each_other() {
    let output = round(7).unwrap().randomness();
    let issued = UnixMillis(ISSUED);
    let signature = sign(&key(2), &SignedNonce::signing_bytes(issued, output));
    let nonce = SignedNonce { authority: Digest32(public_key(&key(2))), issued, nonce: output, signature };
    let judged = |challenge| {
        let mut parts = NodeParts { nonce: Some(nonce.clone()), beacon: Some(round(7).unwrap()), ..parts() };
        parts.key_quote.set.binding.challenge = challenge;
        let (bracket, checks) = bracketed(&parts, &ledger(1), &beacons(1));
        let challenges = ["time-nonce-challenge", "time-beacon-challenge"].map(|code| status(&checks, code));
        (bracket.not_before().is_some(), challenges)
    };
    let (pass, fail) = (CheckStatus::Pass, CheckStatus::Fail);
    assert_eq!(judged(Challenge::BeaconRound(output)), (false, [fail, pass]));
    assert_eq!(judged(Challenge::VerifierNonce(output)), (true, [pass, fail]));
}

#[test]
fn there_is_no_round_0_and_no_round_beyond_all_time() {
    assert_eq!(round(0), Err(CodecError::NotCanonical("beacon round")));
    let at = |number, genesis| beacon::round_time(number, &beacons(genesis).beacons[0]);
    let period = u64::from(u32::MAX);
    assert_eq!(at(0, 1), None);
    assert_eq!(at(1, 1), Some(UnixMillis(1_000)));
    assert_eq!(at(2, 1), Some(UnixMillis((1 + period) * 1_000)));
    // period · round, the sum with the first round's time, and its milliseconds.
    assert_eq!((at(u64::MAX, 1), at(2, u64::MAX), at(1, u64::MAX / 1_000 + 1)), (None, None, None));
    assert!(at(1, u64::MAX / 1_000).is_some());
}
