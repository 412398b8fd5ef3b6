//! **Duty.** A node through its own socket: what a launcher, a training job and an operator do, and what they do wrong.
//! The platform is simulated; the daemon is the shipped one. Only the clock is the test's, so that nothing sleeps for an
//! interval. **Spec.** PROTOCOL §3, TRAINING §5, HOUSE §5.

mod client;
mod commands;
mod drivers;
mod idle;
mod kill;
mod outward;
mod socket;
mod support;
mod tokens;
mod units;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use support::{Flaky, Served, config_in, manifest, safetensors, total_flop};
use weighbridge_attest_types::{
    Bundle, Canonical, CheckpointCommitment, Culprit, Digest32, EvidenceSet, Flops, NodeLedger, NodeWitness,
    RunManifest, SignedNonce, SignedReceipt, sha256,
};
use weighbridge_daemon::export;
use weighbridge_daemon::store::Store;
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, CheckpointRequest, EndRequest, NodeState, ReceiptRequest, RunEnded,
    RunStartRequest, RunStarted, StepReport, WorkUnitReport, paths,
};
use weighbridge_ledger::{CheckedLedger, check_succession};

fn unit(step: u64, flop: u128) -> WorkUnitReport {
    WorkUnitReport { attempt: 0, step, rank: 0, micro_batch: 0, flop: Flops(flop) }
}

fn parse_export(bytes: &[u8]) -> (Bundle, CheckedLedger) {
    let export = Bundle::parse_export(bytes).unwrap();
    let ledger = NodeLedger::from_bytes(export.get("ledger").unwrap()).unwrap();
    (export, CheckedLedger::check(&ledger).unwrap())
}

/// Every quote that an interval names is in the export under its digest, and is about that head.
fn check_quotes(export: &Bundle, ledger: &CheckedLedger) -> Vec<u64> {
    for quoted in ledger.entries().iter().filter_map(|entry| entry.public.quoted) {
        let set = export.get(&format!("evidence/{:08}", quoted.index)).expect("a named quote is exported");
        assert_eq!(sha256(set), quoted.evidence);
    }
    let sets = export.below("evidence").filter(|(name, _)| *name != "key");
    let about = |(name, set): (&str, &[u8])| {
        let index: u64 = name.parse().unwrap();
        let set = EvidenceSet::from_bytes(set).unwrap();
        assert_eq!((set.binding.index, Some(set.binding.head)), (index, ledger.head(index)));
        assert_eq!(set.binding.genesis, ledger.start().genesis);
        index
    };
    sets.map(about).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_through_the_socket_makes_a_ledger_that_holds() {
    let served = Served::start(41, |config| config.attest_every_intervals = 3).await;
    let manifest = served.introduced().await;
    let started: RunStarted = served.start_run(&manifest).await;
    assert_eq!(started.genesis, manifest.genesis());
    assert_eq!(served.start_run(&manifest).await, started);

    let mut declared = 0;
    for step in 0..8 {
        let flop = 2_500_000_000 + u128::from(step);
        assert_eq!(served.work(unit(step, flop)).await, Ok(Acknowledged { counted: true }));
        assert_eq!(served.work(unit(step, flop)).await, Ok(Acknowledged { counted: false }));
        let report = StepReport { attempt: 0, step };
        assert!(served.client.post::<_, Acknowledged>(paths::STEP, &report).await.unwrap().counted);
        declared += flop;
        served.pass_interval().await;
    }
    let refused = served.work(unit(3, 1)).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.culprit()), ("work-unit-order", Culprit::Usage));

    let file = served.folder.path().join("step-8.safetensors");
    fs::write(&file, safetensors(&[1.0, 2.0, 3.0])).unwrap();
    let request = CheckpointRequest { attempt: 0, step: 8, files: vec![file.clone()] };
    let commitment: CheckpointCommitment = served.client.post(paths::CHECKPOINT, &request).await.unwrap();
    assert_eq!(commitment.files[0].sha256, sha256(&fs::read(&file).unwrap()));
    served.pass_interval().await;

    let ended = served.end_with_receipt().await;
    let bytes = served.client.get_bytes(paths::EXPORT).await.unwrap();
    let witness = NodeWitness::from_bytes(&served.client.get_bytes(paths::WITNESS).await.unwrap()).unwrap();
    let (export, ledger) = parse_export(&bytes);
    assert_eq!((ledger.last_index(), ledger.head(ended.index)), (ended.index, Some(ended.head)));
    ledger.check_row(manifest.genesis(), &manifest.roster[0]).unwrap();
    assert_eq!(check_quotes(&export, &ledger).last(), Some(&ended.index));
    assert_eq!(RunManifest::from_bytes(export.get("run-manifest").unwrap()).unwrap(), manifest);
    assert_eq!(sha256(export.get("evidence/key").unwrap()), manifest.roster[0].key_quote);
    assert!(SignedNonce::from_bytes(export.get("time/nonce").unwrap()).is_ok());
    let receipt = SignedReceipt::from_bytes(export.get("time/receipt").unwrap()).unwrap();
    assert_eq!((receipt.index, receipt.head), (ended.index, ended.head));
    let named: Vec<_> = ledger.entries().iter().flat_map(|entry| &entry.public.checkpoints).collect();
    assert_eq!(named, [&commitment]);
    assert_eq!(total_flop(&witness), declared);
    for (entry, row) in ledger.entries().iter().zip(&witness.rows) {
        assert_eq!(weighbridge_ledger::meter_commitment(&row.reading, &row.salt), entry.meter);
    }
    // The service is gone; the state folder tells the same.
    let (state_dir, _folder) = served.stop().await;
    let store = Store::open_existing(&state_dir).unwrap();
    assert_eq!(export::public(&store, None).unwrap(), bytes);
    assert_eq!(export::witness(&store, None).unwrap().bytes, witness.to_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_legal_now_is_refused_by_name() {
    let served = Served::start(42, |_| ()).await;
    let early = served.work(unit(0, 1)).await.unwrap_err();
    assert_eq!(early.detail, "`work unit` is not legal while the node is waiting for a run");
    let info = served.info().await;
    assert_eq!((info.state, info.key_quote, info.genesis), (NodeState::Waiting, None, None));

    let unquoted = manifest(&info, Digest32::default());
    let refused = served.try_start(&unquoted).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.status), ("no-key-quote", 409));
    let wanted = served.introduced().await;
    let mut other_quote = wanted.clone();
    other_quote.roster[0].key_quote = Digest32([1; 32]);
    let refused = served.try_start(&other_quote).await.unwrap_err();
    assert!(refused.detail.starts_with("the roster does not fit this node: it names key quote 0101"), "{refused}");
    let mut other_key = wanted.clone();
    other_key.roster[0].node_key.0[0] ^= 1;
    let refused = served.try_start(&other_key).await.unwrap_err();
    assert!(refused.detail.contains("it has no row for node key"), "{refused}");
    let mut fewer = wanted.clone();
    fewer.roster[0].devices.pop();
    assert_eq!(served.try_start(&fewer).await.unwrap_err().code, "roster-differs");
    let mut short = wanted.clone();
    short.interval_millis = 999;
    assert_eq!(served.try_start(&short).await.unwrap_err().code, "manifest-refused");

    served.start_run(&wanted).await;
    let mut another = wanted.clone();
    another.model_id.push('2');
    assert_eq!(served.try_start(&another).await.unwrap_err().code, "other-run");
    let foreign = ReceiptRequest::Receipt(served.receipt());
    let early = served.client.post::<_, Acknowledged>(paths::RECEIPT, &foreign).await;
    assert_eq!(support::problem(early).code, "not-legal-now");
    served.clock.advance(1_000);
    let ended: RunEnded = served.client.post(paths::END, &EndRequest {}).await.unwrap();
    let again: RunEnded = served.client.post(paths::END, &EndRequest {}).await.unwrap();
    assert_eq!(again, ended);
    let refused = served.client.post::<_, Acknowledged>(paths::RECEIPT, &foreign).await;
    assert_eq!(support::problem(refused).code, "receipt-differs");
    assert_eq!(served.work(unit(9, 1)).await.unwrap_err().code, "not-legal-now");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_is_named_and_the_run_goes_on() {
    let served = Served::start(43, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.work(unit(0, 7_000_000_000)).await.unwrap();

    let file = |name: &str| served.folder.path().join(name);
    let ask = async |name: &str| {
        let request = CheckpointRequest { attempt: 0, step: 1, files: vec![file(name)] };
        support::problem(served.client.post::<_, CheckpointCommitment>(paths::CHECKPOINT, &request).await)
    };
    let absent = ask("absent.safetensors").await;
    assert_eq!((absent.code.as_str(), absent.culprit()), ("checkpoint-unreadable", Culprit::Unavailable));
    assert!(absent.detail.contains("absent.safetensors: cannot be read: No such file"), "{absent}");
    assert!(absent.remedy.starts_with("let the service's user read the file"), "{absent}");
    let whole = safetensors(&[1.0; 64]);
    fs::write(file("cut.safetensors"), &whole[..whole.len() - 5]).unwrap();
    let cut = ask("cut.safetensors").await;
    assert_eq!((cut.code.as_str(), cut.culprit().exit_code()), ("checkpoint-malformed", 3));
    assert!(cut.detail.contains("cut.safetensors: not an acceptable safetensors file"), "{cut}");
    assert_eq!(ask(".").await.culprit(), Culprit::Usage);

    served.work(unit(1, 8_000_000_000)).await.unwrap();
    served.pass_interval().await;
    served.end_with_receipt().await;
    let witness = served.client.get_bytes(paths::WITNESS).await.unwrap();
    assert_eq!(total_flop(&NodeWitness::from_bytes(&witness).unwrap()), 15_000_000_000);
    let (_, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    assert!(ledger.entries().iter().all(|entry| entry.public.checkpoints.is_empty()));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_halts_the_run_and_loses_nothing() {
    let served = Served::start(44, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.work(unit(0, 5_000_000_000)).await.unwrap();
    served.pass_interval().await;
    served.work(unit(1, 6_000_000_000)).await.unwrap();
    served.clock.set_wall_back(3_600_000);
    let refused = served.work(unit(2, 7_000_000_000)).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "clock-went-back"));
    assert_eq!(refused.detail, "the wall clock went back: it is 3600000 ms before the end of the last interval");
    assert!(refused.remedy.starts_with("set the clock right"), "{}", refused.remedy);

    served.clock.advance(2_000);
    assert_eq!(served.work(unit(2, 7_000_000_000)).await.unwrap_err().code, "clock-went-back");
    served.clock.advance_wall(3_600_000);
    assert_eq!(served.work(unit(2, 7_000_000_000)).await, Ok(Acknowledged { counted: true }));
    served.wait_for_head(2).await;
    served.end_with_receipt().await;
    let (_, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let halted = &ledger.entries()[1].public.devices[0];
    assert_eq!((halted.run.0, halted.gap.0), (0, 2_000));
    let witness = served.client.get_bytes(paths::WITNESS).await.unwrap();
    assert_eq!(total_flop(&NodeWitness::from_bytes(&witness).unwrap()), 18_000_000_000);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_cannot_quote_for_a_while_stops_neither_work_nor_intervals() {
    let flaky = Flaky::new(45);
    let served = Served::start_on(45, flaky.clone(), |config| config.attest_every_intervals = 1).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    flaky.fail(true);
    for step in 0..3 {
        served.work(unit(step, 1_000_000_000)).await.unwrap();
        served.pass_interval().await;
    }
    served.clock.advance(1_000);
    let refused = support::problem(served.client.post::<_, RunEnded>(paths::END, &EndRequest {}).await);
    assert_eq!((refused.status, refused.code.as_str()), (503, "platform-unavailable"));
    assert_eq!(refused.detail, "the simulated platform is unavailable: the test told it to fail");
    flaky.fail(false);
    // The end is asked for again; the last head is the same and now quoted.
    let ended = served.end_with_receipt().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    assert_eq!(check_quotes(&export, &ledger), [ended.index]);
    assert_eq!(ledger.last_index(), ended.index);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_hangs_holds_up_neither_work_nor_intervals() {
    let flaky = Flaky::new(51);
    let served = Served::start_on(51, flaky.clone(), |config| config.attest_every_intervals = 1).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    flaky.hang(true);
    for step in 0..4 {
        assert_eq!(served.work(unit(step, 1_000_000_000)).await, Ok(Acknowledged { counted: true }));
        served.pass_interval().await;
    }
    flaky.hang(false);
    let ended = served.end_with_receipt().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    // The first head's quote was under way all the time; it is named as soon as it was there.
    let quotes = check_quotes(&export, &ledger);
    assert_eq!((quotes.first(), quotes.last()), (Some(&1), Some(&ended.index)));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_cancels_no_quote() {
    let flaky = Flaky::new(52);
    let served = Served::start_on(52, flaky.clone(), |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.pass_interval().await;
    flaky.hang(true);
    let nonce = served.nonce();
    let impatient = tokio::time::timeout(Duration::from_millis(300), served.challenge(&nonce)).await;
    assert!(impatient.is_err(), "the quote hangs");
    flaky.hang(false);
    served.pass_interval().await;
    served.end_with_receipt().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let quotes = check_quotes(&export, &ledger);
    let sets = quotes.iter().map(|index| export.get(&format!("evidence/{index:08}")).unwrap());
    let mut challenges = sets.map(|set| EvidenceSet::from_bytes(set).unwrap().binding.challenge);
    assert!(challenges.any(|found| found == weighbridge_attest_types::Challenge::VerifierNonce(nonce.nonce)));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_behind_a_slow_quote_leaves_none_unnamed() {
    let flaky = Flaky::new(53);
    let served = Served::start_on(53, flaky.clone(), |config| config.attest_every_intervals = 1).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    flaky.hang(true);
    for _ in 0..3 {
        served.pass_interval().await;
    }
    let nonce = served.nonce();
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        flaky.hang(false);
        // The challenge seals a fresh interval, which must be a second long.
        tokio::time::sleep(Duration::from_millis(300)).await;
        served.clock.advance(1_000);
    };
    let (_, ()) = tokio::join!(served.challenge(&nonce), release);
    served.end_with_receipt().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    check_quotes(&export, &ledger);
    let kept = export.below("evidence").filter(|(name, _)| *name != "key").count();
    let named = ledger.entries().iter().filter(|entry| entry.public.quoted.is_some()).count();
    assert_eq!(kept, named + 1, "all but the last head's quote are named");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_in_a_run_quotes_a_fresh_head_under_its_nonce() {
    let served = Served::start(46, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.clock.advance(1_000);
    let nonce = served.nonce();
    let info = served.challenge(&nonce).await;
    let head = info.head.unwrap();
    assert!(head.index >= 1);
    served.pass_interval().await;
    served.end_with_receipt().await;
    let (export, ledger) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let quotes = check_quotes(&export, &ledger);
    let sets = quotes.iter().map(|index| export.get(&format!("evidence/{index:08}")).unwrap());
    let mut challenges = sets.map(|set| EvidenceSet::from_bytes(set).unwrap().binding.challenge);
    assert!(challenges.any(|found| found == weighbridge_attest_types::Challenge::VerifierNonce(nonce.nonce)));
    assert_eq!(SignedNonce::from_bytes(export.get("time/nonce").unwrap()).unwrap(), served.first_nonce());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_a_new_key_continues_from_the_last_quoted_head() {
    let served = Served::start(47, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.work(unit(0, 1_000_000_000)).await.unwrap();
    served.clock.advance(1_000);
    served.challenge(&served.nonce()).await;
    served.pass_interval().await;
    let before = served.client.get_bytes(paths::EXPORT).await.unwrap();
    let old_key = served.info().await.node_key;

    let served = served.reboot().await;
    let info = served.info().await;
    assert_ne!(info.node_key, old_key);
    assert_eq!((info.state, info.key_quote), (NodeState::Waiting, None));
    served.challenge(&served.nonce()).await;
    served.start_run(&manifest).await;
    served.clock.advance(1_000);
    served.end_with_receipt().await;
    let after = served.client.get_bytes(paths::EXPORT).await.unwrap();
    let named = served.client.get_bytes(&format!("{}?node-key={old_key}", paths::EXPORT)).await.unwrap();
    assert_eq!(named, before);
    let (old_export, old) = parse_export(&before);
    let quoted = check_quotes(&old_export, &old);
    let (_, new) = parse_export(&after);
    assert_eq!(new.start().predecessor, old.head(*quoted.last().unwrap()));
    check_succession(&new, &old, &quoted).unwrap();
    let (state_dir, _folder) = served.stop().await;
    // Only the newest key's secrets are left.
    let store = Store::open_existing(&state_dir).unwrap();
    assert_eq!((store.secrets(1).unwrap(), store.secrets(2).unwrap().is_some()), (None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_which_nothing_was_quoted_is_passed_over_by_the_next() {
    let served = Served::start(53, |_| ()).await;
    let manifest = served.introduced().await;
    served.start_run(&manifest).await;
    served.clock.advance(1_000);
    served.challenge(&served.nonce()).await;
    let (old_export, old) = parse_export(&served.client.get_bytes(paths::EXPORT).await.unwrap());
    let quoted = check_quotes(&old_export, &old);

    let unquoted = served.reboot().await;
    unquoted.challenge(&unquoted.nonce()).await;
    unquoted.start_run(&manifest).await;
    let last = unquoted.reboot().await;
    last.challenge(&last.nonce()).await;
    last.start_run(&manifest).await;
    last.clock.advance(1_000);
    last.end_with_receipt().await;
    let (_, new) = parse_export(&last.client.get_bytes(paths::EXPORT).await.unwrap());
    check_succession(&new, &old, &quoted).unwrap();
    last.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_one_state_folder_are_told_apart() {
    let served = Served::start(48, |_| ()).await;
    let mut second = served.config.clone();
    second.socket = served.folder.path().join("second.sock");
    let refused = support::serve_once(second, 48).await.unwrap_err();
    let expected = format!("the state folder {} is in use by another weighbridged", served.config.state_dir.display());
    assert_eq!((refused.to_string(), refused.culprit().exit_code()), (expected, 2));
    assert_eq!(refused.remedy(), "stop the other one, or give each its own `state_dir`");

    let mut same_socket = config_in(served.folder.path());
    same_socket.state_dir = served.folder.path().join("other-state");
    let refused = support::serve_once(same_socket, 48).await.unwrap_err();
    assert!(refused.to_string().starts_with("another service answers on "), "{refused}");
    assert_eq!(served.info().await.state, NodeState::Waiting);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    drop(UnixListener::bind(&config.socket).unwrap());
    let served = Served::start_in(folder, 49, |_| ()).await;
    let found = fs::symlink_metadata(&served.config.socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    let (_, folder) = served.stop().await;
    assert!(!config.socket.exists());
    fs::write(&config.socket, "precious").unwrap();
    let refused = support::serve_once(config.clone(), 49).await.unwrap_err();
    assert!(refused.to_string().ends_with("is there and is not a socket; move it away, or set another `socket`"));
    assert_eq!(fs::read(&config.socket).unwrap(), b"precious");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_message_are_problems() {
    let served = Served::start(50, |_| ()).await;
    let absent = support::problem(served.client.get::<Acknowledged>("/v1/nothing").await);
    assert_eq!((absent.status, absent.detail.as_str()), (404, "there is nothing at /v1/nothing"));
    let method = support::problem(served.client.get::<Acknowledged>(paths::STEP).await);
    assert_eq!(method.status, 405);
    let body = serde_json::json!({ "attempt": 0, "step": 1, "loss": 0.1 });
    let extra = support::problem(served.client.post::<_, Acknowledged>(paths::STEP, &body).await);
    assert!(extra.detail.contains("unknown field `loss`"), "{extra}");
    let large = "x".repeat(1_100_000);
    let large = support::problem(served.client.post::<_, Acknowledged>(paths::STEP, &large).await);
    assert_eq!(large.status, 413);
    let nonsense = serde_json::json!({ "nonce": "now" });
    let refused = support::problem(served.client.post::<_, Acknowledged>(paths::CHALLENGE, &nonsense).await);
    assert_eq!(refused.culprit(), Culprit::Malformed);
    served.stop().await;
}

/// The messages that clients in other languages must send byte for byte.
#[test]
fn messages_have_the_form_that_is_published() {
    let nonce = SignedNonce::from_bytes(&[0; 136]).unwrap();
    let text = serde_json::to_value(ChallengeRequest::Nonce(nonce)).unwrap();
    let keys: Vec<_> = text["nonce"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["authority", "issued", "nonce", "signature"]);
    let request = RunStartRequest { manifest: RunManifest::from_bytes(&support::empty_manifest().to_bytes()).unwrap() };
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<RunStartRequest>(&text).unwrap(), request);
}
