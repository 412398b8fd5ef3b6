//! Public time tokens by themselves: recorded beacon rounds, recorded timestamps, mutations of both, and a local
//! `openssl ts` authority whose verdicts must be ours.

mod openssl;

use serde_json::{Value, json};
use weighbridge_appraisal::{BeaconError, TimestampError, TimestampToken, beacon_time};
use weighbridge_attest::{built_in_anchors, parse_anchor_file};
use weighbridge_attest_types::{
    BeaconAnchor, BeaconToken, Canonical, CertificateAnchor, Culprit, Digest32, TrustAnchors, UnixMillis, sha256,
};

/// One recorded round with what its network said its output is.
pub(crate) struct Round {
    pub(crate) token: BeaconToken,
    randomness: Digest32,
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/time.json")).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).expect("hex")
}

/// All recorded rounds.
pub(crate) fn rounds() -> Vec<Round> {
    let round = |row: &Value| {
        let chain = Digest32(bytes(&row["chain_hash"]).try_into().expect("32 bytes"));
        let number = row["round"].as_u64().expect("a number");
        let (previous, signature) = (bytes(&row["previous_signature"]), bytes(&row["signature"]));
        let token = BeaconToken::new(chain, number, previous, signature).expect("the shape of a round");
        Round { token, randomness: Digest32(bytes(&row["randomness"]).try_into().expect("32 bytes")) }
    };
    vectors()["beacons"].as_array().expect("rows").iter().map(round).collect()
}

fn anchor_of(token: &BeaconToken) -> BeaconAnchor {
    let mut pinned = built_in_anchors().beacons.into_iter();
    pinned.find(|anchor| anchor.chain_hash == token.chain()).expect("a pinned chain")
}

#[test]
fn recorded_rounds_of_both_pinned_networks_hold_and_tell_their_time() {
    let told: Vec<_> = rounds()
        .iter()
        .map(|Round { token, randomness }| {
            assert_eq!(token.randomness(), *randomness);
            beacon_time(token, &anchor_of(token))
        })
        .collect();
    // Quicknet 123; main network 72785, 1000000, 1.
    let seconds = [1_692_803_367 + 122 * 3, 1_595_431_050 + 72_784 * 30, 1_595_431_050 + 999_999 * 30, 1_595_431_050];
    assert_eq!(told, seconds.map(|at| Ok(UnixMillis(at * 1_000))));
}

#[test]
fn a_round_with_another_number_chain_signature_or_predecessor_is_refused() {
    for Round { token, .. } in rounds() {
        let anchor = anchor_of(&token);
        let with = |round, previous: &[u8], signature: &[u8]| {
            let changed = BeaconToken::new(token.chain(), round, previous.to_vec(), signature.to_vec());
            beacon_time(&changed.expect("a shape"), &anchor)
        };
        let (previous, signature) = (token.previous(), token.signature());
        assert_eq!(with(token.round() + 1, previous, signature), Err(BeaconError::Signature));
        let mut altered = signature.to_vec();
        *altered.last_mut().expect("bytes") ^= 1;
        assert_eq!(with(token.round(), previous, &altered), Err(BeaconError::Signature));
        // The negated point is on the curve and in its group.
        let mut negated = signature.to_vec();
        negated[0] ^= 0x20;
        assert_eq!(with(token.round(), previous, &negated), Err(BeaconError::Signature));
        let unchained = previous.is_empty();
        let other: &[u8] = if unchained { &[7; 32] } else { &[] };
        assert_eq!(with(token.round(), other, signature), Err(BeaconError::Previous));
        if !unchained {
            assert_eq!(with(token.round(), &[7; 32], signature), Err(BeaconError::Signature));
        }
        // A point of the other group, of the right shape.
        let length = if signature.len() == 48 { 96 } else { 48 };
        let swapped: Vec<u8> = signature.iter().copied().cycle().take(length).collect();
        assert_eq!(with(token.round(), previous, &swapped), Err(BeaconError::Signature));
        let elsewhere = BeaconAnchor { chain_hash: sha256(b"another"), ..anchor.clone() };
        assert_eq!(beacon_time(&token, &elsewhere), Err(BeaconError::OtherChain));
        let late = BeaconAnchor { genesis_seconds: u64::MAX / 1_000 - 10, ..anchor.clone() };
        let told = beacon_time(&token, &late);
        assert!(told == Err(BeaconError::Time) || token.round() == 1, "{told:?}");
    }
}

/// Numbers that look random and are the same every time.
struct Steps(u64);

impl Steps {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// One byte changed, some cut off, or some doubled.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut changed, at) = (bytes.to_vec(), self.below(bytes.len()));
        match self.below(10) {
            0 => changed.truncate(at),
            1 => changed.insert(at, bytes[at]),
            _ => changed[at] ^= u8::try_from(1 + self.below(255)).expect("a byte"),
        }
        changed
    }
}

#[test]
fn no_mutated_round_is_accepted() {
    let mut steps = Steps(1);
    for Round { token, .. } in rounds().into_iter().take(2) {
        let (anchor, original) = (anchor_of(&token), token.to_bytes());
        for _ in 0..1_000 {
            let changed = steps.mutated(&original);
            let told = BeaconToken::from_bytes(&changed).map(|token| beacon_time(&token, &anchor));
            assert!(changed == original || !matches!(told, Ok(Ok(_))), "{}", hex::encode(changed));
        }
    }
}

/// A recorded timestamp with its root.
struct Stamp {
    response: Vec<u8>,
    imprint: Digest32,
    made: UnixMillis,
    roots: Vec<CertificateAnchor>,
}

fn roots_of(pem: &str) -> Vec<CertificateAnchor> {
    let file = json!({
        "format": "weighbridge/trust-anchor/v1", "name": "a timestamp root", "grade": "simulated",
        "kind": "timestamp-authority-root", "certificate_pem": pem,
    });
    let mut anchors = TrustAnchors::default();
    parse_anchor_file(file.to_string().as_bytes(), &mut anchors).expect("an anchor file");
    anchors.timestamp
}

fn stamps() -> Vec<Stamp> {
    let stamp = |row: &Value| {
        let made = text(&row["made"]);
        let part = |from: usize, length: usize| made[from..from + length].parse::<u64>().expect("digits");
        // Both were made on one day.
        assert_eq!(&made[..8], "20261124");
        let seconds = 1_795_478_400 + part(8, 2) * 3_600 + part(10, 2) * 60 + part(12, 2);
        Stamp {
            response: bytes(&row["response"]),
            imprint: Digest32(bytes(&row["imprint"]).try_into().expect("32 bytes")),
            made: UnixMillis(seconds * 1_000),
            roots: roots_of(text(&row["root_pem"])),
        }
    };
    vectors()["timestamps"].as_array().expect("rows").iter().map(stamp).collect()
}

/// The whole verdict about a token by itself: what it is over, and not after when.
fn judged(response: &[u8], roots: &[CertificateAnchor]) -> Result<(Digest32, UnixMillis), TimestampError> {
    let token = TimestampToken::parse(response)?;
    token.check_signature()?;
    token.check_authority(roots)?;
    Ok((token.imprint(), token.not_after()))
}

#[test]
fn recorded_timestamps_hold_under_their_root_and_no_other() {
    let [ec, rsa] = <[Stamp; 2]>::try_from(stamps()).ok().expect("two stamps");
    for (stamp, other) in [(&ec, &rsa), (&rsa, &ec)] {
        let Stamp { response, imprint, made, roots } = stamp;
        assert_eq!(judged(response, roots), Ok((*imprint, UnixMillis(made.0 + 1_000))));
        assert_eq!(judged(response, &other.roots), Err(TimestampError::UnknownRoot));
        assert_eq!(judged(response, &[]), Err(TimestampError::UnknownRoot));
        let both = [other.roots.clone(), roots.clone()].concat();
        let token = TimestampToken::parse(response).unwrap();
        assert_eq!(token.check_authority(&both), Ok(&roots[0]));
    }
}

#[test]
fn no_mutated_timestamp_is_accepted() {
    let mut steps = Steps(2);
    for Stamp { response, roots, .. } in stamps() {
        for _ in 0..3_000 {
            let changed = steps.mutated(&response);
            let verdict = judged(&changed, &roots);
            assert!(changed == response || verdict.is_err(), "{verdict:?}: {}", hex::encode(changed));
        }
    }
    let long = TimestampToken::parse(&vec![0x30; 33 * 1024]).unwrap_err();
    assert_eq!(long.to_string(), "not a timestamp of the form that is read: 33792 bytes are over the cap of 32768");
    assert_eq!(long.culprit(), Culprit::Malformed);
}

#[test]
fn certificates_that_cannot_anchor_timestamps_are_refused() {
    let no_root = |pem: &str| {
        let file = json!({
            "format": "weighbridge/trust-anchor/v1", "name": "a", "grade": "simulated",
            "kind": "timestamp-authority-root", "certificate_pem": pem,
        });
        parse_anchor_file(file.to_string().as_bytes(), &mut TrustAnchors::default()).unwrap_err().to_string()
    };
    assert!(no_root("no certificate").starts_with("anchor `a`: "));
    let pem = text(&vectors()["timestamps"][0]["root_pem"]).repeat(2);
    assert_eq!(no_root(&pem), "anchor `a`: 2 certificates instead of one");
}
