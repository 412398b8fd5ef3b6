use serde_json::json;

use super::*;

const ALGORITHMS: &[u8] = &[0x0c, 0, 48, 0];

/// A header for one or more algorithms.
fn header(count: u32, algorithms: &[u8]) -> Vec<u8> {
    let content =
        [b"Spec ID Event03\0", &[0u8, 0, 0, 0, 0, 2, 0, 2][..], &count.to_le_bytes(), algorithms, &[0]].concat();
    let size = u32::try_from(content.len()).unwrap();
    [&1u32.to_le_bytes()[..], &3u32.to_le_bytes(), &[0; 20], &size.to_le_bytes(), &content].concat()
}

fn event(index: u32, event_type: u32, digest: [u8; 48], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap();
    let digests = [&1u32.to_le_bytes()[..], &[0x0c, 0], &digest].concat();
    [&index.to_le_bytes()[..], &event_type.to_le_bytes(), &digests, &size.to_le_bytes(), content].concat()
}

fn log(events: &[Vec<u8>]) -> Vec<u8> {
    [header(1, ALGORITHMS), events.concat()].concat()
}

fn read(bytes: &[u8]) -> Result<EventLog, String> {
    recognise(bytes).expect("a log").map_err(|failure| {
        assert_eq!(failure.code, "event-log-unreadable");
        failure.message
    })
}

fn chain(digests: &[[u8; 48]]) -> [u8; 48] {
    digests.iter().fold([0; 48], |value, digest| sha384(&[value, *digest].concat()))
}

#[test]
fn registers_are_chains_of_digests_from_zero() {
    let separator = sha384(&[0; 4]);
    let events = [
        event(1, 4, separator, &[0; 4]),
        event(1, 9, [7; 48], b"not what was hashed"),
        event(0, 3, [9; 48], b"said, not extended"),
        event(3, 4, separator, &[0; 4]),
    ];
    for fill in [vec![], vec![0xff; 900], vec![0; 900]] {
        let read = read(&[log(&events), fill].concat()).unwrap();
        let rtmr = [chain(&[separator, [7; 48]]), [0; 48], chain(&[separator]), [5; 48]];
        let claims = read.against(&rtmr);
        assert_eq!((claims.state, claims.explained), (EventLogState::Replayed, [true, true, true, false]));
        let count = |register, event_type, bound| EventCount { register, event_type, count: 1, bound };
        assert_eq!(*claims.events, [count(0, 4, 1), count(0, 9, 0), count(2, 4, 1)]);
        assert!(!claims.explains_all());
        // One register that differs, and nothing of the log counts.
        for register in [0, 2] {
            let mut other = rtmr;
            other[register][47] ^= 1;
            assert_eq!(read.against(&other), EventLogClaims::none(EventLogState::Untrusted), "RTMR{register}");
        }
    }
    let empty = read(&log(&[])).unwrap();
    assert_eq!(empty.against(&[[0; 48]; 4]).explained, [true; 4]);
    assert_eq!(empty.against(&[[1; 48]; 4]).explained, [false; 4]);
}

#[test]
fn order_and_number_of_events_count() {
    let (a, b) = (event(2, 1, [1; 48], b""), event(2, 1, [2; 48], b""));
    let rtmr = [[0; 48], chain(&[[1; 48], [2; 48]]), [0; 48], [0; 48]];
    let state = |events: &[Vec<u8>]| read(&log(events)).unwrap().against(&rtmr).state;
    assert_eq!(state(&[a.clone(), b.clone()]), EventLogState::Replayed);
    for wrong in [vec![b.clone(), a.clone()], vec![a.clone()], vec![a.clone(), b.clone(), b]] {
        assert_eq!(state(&wrong), EventLogState::Untrusted);
    }
}

#[test]
fn a_log_that_is_not_one_is_unreadable() {
    let good = event(1, 4, [1; 48], b"abc");
    for length in 0..good.len() {
        let cut = log(&[good.clone(), good[..length].to_vec()]);
        assert_eq!(read(&cut).is_ok(), length == 0, "{length}");
    }
    for (index, what) in [(0u32, "register index 0"), (5, "register index 5"), (u32::MAX - 1, "register index")] {
        assert!(read(&log(&[event(index, 4, [1; 48], b"")])).unwrap_err().contains(what));
    }
    let two = [0x0c, 0, 48, 0, 0x0b, 0, 32, 0];
    let repeated = [0x0c, 0, 48, 0, 0x0c, 0, 48, 0];
    for (bytes, what) in [
        (header(1, &[0x0b, 0, 32, 0]), "no SHA-384"),
        (header(2, &repeated), "repeated"),
        (header(9, &two), "at most 8"),
        (header(1, &two), "needs"),
        (header(2, ALGORITHMS), "needs"),
        ([header(2, &two), good.clone()].concat(), "1 digests of 2"),
        ([header(1, ALGORITHMS), vec![1; 20]].concat(), "digests of 1"),
    ] {
        let why = read(&bytes).unwrap_err();
        assert!(why.contains(what), "{why}");
    }
    let mut foreign = log(std::slice::from_ref(&good));
    let algorithm_at = header(1, ALGORITHMS).len() + 12;
    foreign[algorithm_at] = 0x0d;
    assert!(read(&foreign).unwrap_err().contains("unknown or repeated"));
    // Fill of two kinds is no fill.
    assert!(read(&[log(&[]), vec![0xff; 8], vec![0; 8]].concat()).is_err());
    let many = log(&vec![event(1, 4, [1; 48], b""); MAX_EVENTS + 1]);
    assert!(read(&many).unwrap_err().contains("more than"));
    assert!(read(&[log(&[]), vec![0xff; MAX_EVENT_LOG_BYTES]].concat()).unwrap_err().contains("over the cap"));
}

#[test]
fn several_digests_are_read_and_one_counts() {
    let two = [0x0b, 0, 32, 0, 0x0c, 0, 48, 0];
    let mut bytes = header(2, &two);
    for part in [&1u32.to_le_bytes()[..], &4u32.to_le_bytes(), &2u32.to_le_bytes(), &[0x0b, 0], &[9; 32], &[0x0c, 0]] {
        bytes.extend(part);
    }
    bytes.extend([[1; 48].as_slice(), &0u32.to_le_bytes()].concat());
    let claims = read(&bytes).unwrap().against(&[chain(&[[1; 48]]), [0; 48], [0; 48], [0; 48]]);
    assert!(claims.explains_all());
}

fn run_time(name: &str, payload: &[u8]) -> serde_json::Value {
    let covered = [&0x0800_0001u32.to_le_bytes()[..], b":", name.as_bytes(), b":", payload].concat();
    json!({ "imr": 3, "event_type": 0x0800_0001u32, "digest": hex::encode(sha384(&covered)), "event": name,
            "event_payload": hex::encode(payload) })
}

#[test]
fn run_time_events_have_names_that_their_digest_covers() {
    let firmware =
        json!({ "imr": 0, "event_type": 4, "digest": "01".repeat(48), "event": "", "event_payload": "00000000" });
    let list = json!([firmware, run_time("compose-hash", &[1, 2]), run_time("system-ready", &[])]);
    let rtmr3 = [&list[1]["digest"], &list[2]["digest"]]
        .map(|digest| hex::decode(digest.as_str().unwrap()).unwrap().try_into().unwrap());
    let rtmr = [chain(&[[1; 48]]), [0; 48], [0; 48], chain(&rtmr3)];
    let text = list.to_string();
    for bytes in [
        text.clone(),
        json!({ "quote": "00", "event_log": text }).to_string(),
        json!({ "event_log": list }).to_string(),
    ] {
        let claims = read(bytes.as_bytes()).unwrap().against(&rtmr);
        assert!(claims.explains_all());
        let named: Vec<_> = claims.named.iter().map(|event| (event.name.as_str(), event.payload.as_slice())).collect();
        assert_eq!(named, [("compose-hash", &[1u8, 2][..]), ("system-ready", &[])]);
        assert_eq!(claims.events.last().map(|count| (count.count, count.bound)), Some((2, 2)));
    }
    let broken = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut list = list.clone();
        change(&mut list);
        read(list.to_string().as_bytes()).unwrap_err()
    };
    assert!(broken(&|list| list[1]["event"] = "other".into()).contains("not that of its name"));
    assert!(broken(&|list| list[1]["event_payload"] = "0102ff".into()).contains("not that of its name"));
    // `type:name:content` can be cut elsewhere, and then the digest still holds.
    let moved = run_time("a", b"b:c");
    let recut = |name: &str, payload: &[u8]| {
        let mut event = moved.clone();
        (event["event"], event["event_payload"]) = (name.into(), hex::encode(payload).into());
        read(json!([event]).to_string().as_bytes()).map(drop)
    };
    assert_eq!(recut("a", b"b:c"), Ok(()));
    assert!(recut("a:b", b"c").unwrap_err().contains("colon"));
    assert!(broken(&|list| list[0]["imr"] = 4.into()).contains("no RTMR4"));
    assert!(broken(&|list| list[0]["digest"] = "01".into()).contains("48 bytes"));
    assert!(broken(&|list| list[0]["digest"] = "zz".repeat(48).into()).contains("not hex"));
    let twice = json!({ "event_log": json!(json!([firmware]).to_string()).to_string() }).to_string();
    assert!(read(twice.replace("\\\\\\\"", "\\\"").as_bytes()).is_err());
    let nested = json!({ "event_log": json!(list.to_string()).to_string() }).to_string();
    assert!(recognise(nested.as_bytes()).is_none_or(|read| read.is_err()));
}

#[test]
fn other_files_are_no_logs() {
    for bytes in [&b""[..], b"{}", b"[]", b"{\"tcb_info\":1}", b"HCLA", &header(1, ALGORITHMS)[..40], &[0; 4096]] {
        assert!(recognise(bytes).is_none(), "{bytes:?}");
    }
}
