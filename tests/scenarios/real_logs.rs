//! **Duty.** Event logs that were captured together with quotes: GCP's CCEL area and dstack's JSON. **Spec.** EVIDENCE §2.7.

use weighbridge_attest::{RawEvidence, built_in_anchors, verify};
use weighbridge_attest_types::{EventLogClaims, EventLogState, EvidenceKind, PlatformClaims};
use weighbridge_tests::vectors::{Case, instant};

/// Claims of a captured quote under its collateral and a log.
fn with_log(case: &Case, log: Vec<u8>) -> PlatformClaims {
    let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    let mut endorsements = case.endorsements_of(row);
    endorsements.push(log);
    let raw_quote = case.evidence_of(row);
    let raw = RawEvidence { body: &raw_quote, certificates: &[] };
    let at = instant(row.at.as_deref().unwrap());
    verify(&EvidenceKind::new("tdx"), raw, &endorsements, &built_in_anchors(), at).unwrap().claims().clone()
}

fn log_of(claims: &PlatformClaims) -> &EventLogClaims {
    &claims.tdx.as_deref().expect("claims of the kind").event_log
}

#[test]
fn a_ccel_area_explains_every_register_of_its_quote() {
    let Some(case) = Case::named("tdx", "v4-gcp-cos113-00806f05") else { return };
    let area = case.read("ccel_data.dat");
    let claims = with_log(&case, area.clone());
    let log = log_of(&claims);
    assert_eq!((log.state, log.explained), (EventLogState::Replayed, [true; 4]));
    let count = |register| log.events.iter().filter(|count| count.register == register).map(|count| count.count).sum();
    let counts: [u32; 4] = [0, 1, 2, 3].map(count);
    assert_eq!(counts, [16, 7, 20, 0]);
    assert!(log.named.is_empty());
    assert!(!claims.not_checked.iter().any(|open| open.code == "tdx-event-log"));
    // Each digest counts; what the log says beside digests does not.
    let used = area.iter().rposition(|byte| *byte != 0xff).unwrap() + 1;
    let mut extended = 0;
    for at in (65..used).step_by(61) {
        let mut changed = area.clone();
        changed[at] ^= 1;
        let found = with_log(&case, changed);
        let state = log_of(&found).state;
        assert_ne!(state, EventLogState::Missing, "{at}");
        extended += usize::from(state == EventLogState::Replayed);
        assert_eq!((found.device, found.tcb_status), (claims.device, claims.tcb_status));
    }
    assert!(extended > 0, "content that no digest is compared with");
    // Another machine's quote has nothing of this log.
    let other = Case::named("tdx", "v4-azure-live-90c06f").unwrap();
    assert_eq!(log_of(&with_log(&other, area)).state, EventLogState::Untrusted);
}

#[test]
fn dstacks_log_names_what_was_extended_at_run_time() {
    let Some(case) = Case::named("tdx", "v4-dstack-quote-report-90c06f") else { return };
    let answer = case.read("quote-report.json");
    let claims = with_log(&case, answer.clone());
    let log = log_of(&claims);
    assert_eq!((log.state, log.explained), (EventLogState::Replayed, [true; 4]));
    let names: Vec<&str> = log.named.iter().map(|event| event.name.as_str()).collect();
    let expected = [
        "system-preparing",
        "app-id",
        "compose-hash",
        "instance-id",
        "boot-mr-done",
        "key-provider",
        "system-ready",
        "LIUM_MINER_HOTKEY",
    ];
    assert_eq!(names, expected);
    assert_eq!(log.named[2].payload.len(), 32);
    let rtmr3 = log.events.last().unwrap();
    assert_eq!((rtmr3.register, rtmr3.count, rtmr3.bound), (3, 8, 8));
    // The list alone is as good; a renamed event is no event of this log.
    let parsed: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let list = parsed["event_log"].as_str().unwrap();
    assert_eq!(log_of(&with_log(&case, list.as_bytes().to_vec())), log);
    let renamed = list.replace("compose-hash", "compose-hush");
    assert_eq!(log_of(&with_log(&case, renamed.into_bytes())).state, EventLogState::Untrusted);
    let without_last = {
        let mut events: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
        events.pop();
        serde_json::to_vec(&events).unwrap()
    };
    assert_eq!(log_of(&with_log(&case, without_last)).state, EventLogState::Untrusted);
}
