//! Public time tokens as an operator carries them in and out: a beacon round, a query, a timestamp.

use std::fs;

use serde_json::json;
use weighbridge_attest_types::{BeaconToken, Bundle, Canonical, Challenge, EvidenceSet, sha256, timestamp_imprint};
use weighbridge_daemon_api::{EndRequest, RunEnded, paths};

use super::commands::{json as object, nowhere, with_config};
use super::support::{Served, manifest};
use crate::time_tokens::rounds;

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_round_and_a_timestamp_go_in_and_out_by_commands() {
    let served = Served::start(91, |_| ()).await;
    let file = nowhere(served.folder.path(), "");
    let path = |name: &str| served.folder.path().join(name).to_str().unwrap().to_owned();
    // The last answer counts: a nonce first, then a round.
    served.introduced().await;
    let round = rounds().remove(0).token;
    let drand = json!({
        "round": round.round(), "signature": hex::encode(round.signature()), "randomness": round.randomness(),
    });
    fs::write(path("round.json"), drand.to_string()).unwrap();
    let told = with_config(&file, &["challenge", "--beacon", &path("round.json")]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.starts_with("answered  round 123 of chain 52db9ba7"), "{}", told.stdout);
    let early = with_config(&file, &["head"]);
    assert_eq!(
        (early.code, early.stderr.trim()),
        (Some(2), "weighbridged: the node has no head yet; start a run first")
    );

    let info = served.info().await;
    served.start_run(&manifest(&info, info.key_quote.unwrap())).await;
    served.pass_interval().await;
    served.clock.advance(1_000);
    let ended: RunEnded = served.client.post(paths::END, &EndRequest {}).await.unwrap();
    let imprint = timestamp_imprint(ended.node_key_digest, ended.index, ended.head);
    let head = with_config(&file, &["--format", "json", "head", "--timestamp-query", &path("query.tsq")]);
    assert_eq!(object(&head)["claims"]["imprint"], json!(imprint));
    assert_eq!(fs::read(path("query.tsq")).unwrap()[24..56], imprint.0);

    let hand_in = |bytes: &[u8]| {
        fs::write(path("answer.tsr"), bytes).unwrap();
        with_config(&file, &["--format", "json", "receipt", "--timestamp", &path("answer.tsr")])
    };
    let other = hand_in(&served.stamp(sha256(b"another head")));
    assert_eq!((other.code, object(&other)["reasons"][0]["code"].clone()), (Some(2), json!("receipt-differs")));
    let garbled = hand_in(b"<html>");
    assert_eq!((garbled.code, object(&garbled)["reasons"][0]["code"].clone()), (Some(3), json!("token-malformed")));
    let answer = served.stamp(imprint);
    for counted in [true, false] {
        assert_eq!(object(&hand_in(&answer))["claims"], json!({ "counted": counted }));
    }

    let out = path("node.export");
    assert_eq!(with_config(&file, &["export", "--out", &out]).code, Some(0));
    let export = Bundle::parse_export(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(export.get("time/timestamp"), Some(answer.as_slice()));
    assert_eq!(BeaconToken::from_bytes(export.get("time/beacon").unwrap()), Ok(round.clone()));
    assert_eq!((export.get("time/nonce"), export.get("time/receipt")), (None, None));
    let set = EvidenceSet::from_bytes(export.get("evidence/key").unwrap()).unwrap();
    assert_eq!(set.binding.challenge, Challenge::BeaconRound(round.randomness()));
    // The run of this key is closed: the service begins a new one.
    let key = served.info().await.node_key;
    let (_, folder) = served.stop().await;
    let again = Served::start_in(folder, 91, |_| ()).await;
    assert_ne!(again.info().await.node_key, key);
    again.stop().await;
}

#[test]
fn token_files_that_are_not_what_they_should_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = nowhere(folder.path(), "");
    let path = folder.path().join("token");
    let words = ["challenge", "--beacon", path.to_str().unwrap()];
    let absent = with_config(&file, &words);
    assert_eq!(absent.code, Some(2));
    assert!(absent.stderr.contains("token could not be read: "), "{}", absent.stderr);
    fs::write(&path, r#"{"round":1,"signature":"c0"}"#).unwrap();
    let infinite = with_config(&file, &words);
    assert_eq!(infinite.code, Some(3));
    let expected = "is not a beacon round as drand answers it: beacon signature is not a canonical value";
    assert!(infinite.stderr.contains(expected), "{}", infinite.stderr);
}
