//! Hostile bytes at every door (tests/src/parsers.rs): thousands of deterministic mutations of honest and captured bytes.
//! Nothing panics, nothing hangs, nothing takes memory out of proportion, what is accepted encodes to what was read, and
//! sealed bytes are accepted in no other form. `just fuzz` does the same with a coverage-guided fuzzer, for hours.

mod proportion;
mod regressions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use weighbridge_tests::parsers::{Form, Mutator, PARSERS, Parser, Seen, captures};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// One attempt that takes longer than this hangs. Not a figure: the slowest takes a few dozen milliseconds.
const HANG: Duration = Duration::from_secs(120);
/// What an attempt may take beyond what was there before, whatever its input: a certificate chain or a proof unfolds.
const FREE_BYTES: usize = 4 * 1024 * 1024;
/// And per byte of input: a JSON header of a few bytes a tensor becomes rows of strings and vectors.
const BYTES_PER_BYTE: usize = 64;
/// So that the same bytes come in every run.
const SEED: u64 = 20_261_124;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn no_door_breaks_under_damaged_bytes() {
    let (done, heard) = channel();
    let worker = thread::spawn(move || {
        PARSERS.iter().for_each(|parser| try_all(parser, &done));
        proportion::check();
    });
    let last = follow(&heard);
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
    assert_eq!(last, PARSERS.last().map(|parser| parser.name));
}

/// Hears of every attempt; silence is a hang.
fn follow(heard: &Receiver<(&'static str, usize)>) -> Option<&'static str> {
    let mut last = None;
    loop {
        match heard.recv_timeout(HANG) {
            Ok((name, _)) => last = Some(name),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return last,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{last:?} or the row after it hangs"),
        }
    }
}

fn try_all(parser: &'static Parser, done: &Sender<(&'static str, usize)>) {
    let honest = (parser.samples)();
    assert!(!honest.is_empty(), "{}: has no sample", parser.name);
    for sample in &honest {
        assert_eq!((parser.attempt)(sample), Seen::Accepted, "{}: an honest sample", parser.name);
    }
    for bytes in regressions::of(parser.name) {
        attempt(parser, &bytes, 0);
    }
    let (mut most, mut accepted) = (0, 0);
    let starts = honest.iter().cloned().chain(captures(parser.name)).collect();
    let mut mutator = Mutator::new(SEED, parser.form, starts);
    for round in 1..=parser.rounds {
        let bytes = mutator.damaged();
        let (seen, taken) = attempt(parser, &bytes, round);
        most = most.max(taken);
        accepted += usize::from(seen == Seen::Accepted);
        if parser.sealed && seen == Seen::Accepted && !honest.contains(&bytes) {
            fail(parser, &bytes, round, "is accepted, and is not what was sealed");
        }
        let _heard = done.send((parser.name, round));
    }
    println!("{:16} {:5} mutations, {accepted:4} accepted, at most {most:8} bytes taken", parser.name, parser.rounds);
}

/// One attempt: its answer, and the memory it took at its height.
fn attempt(parser: &Parser, bytes: &[u8], round: usize) -> (Seen, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let Ok(seen) = catch_unwind(AssertUnwindSafe(|| (parser.attempt)(bytes))) else {
        fail(parser, bytes, round, "makes it panic");
    };
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let most = FREE_BYTES + BYTES_PER_BYTE * bytes.len();
    if taken > most {
        fail(parser, bytes, round, &format!("makes it take {taken} bytes, over {most}"));
    }
    (seen, taken)
}

/// Keeps the bytes and says where, for a regression test.
fn fail(parser: &Parser, bytes: &[u8], round: usize, what: &str) -> ! {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{round}", parser.name));
    let kept = std::fs::write(&file, bytes).map(|()| file.display().to_string());
    panic!("{}, mutation {round} of {} bytes, {what}; kept in {kept:?}", parser.name, bytes.len());
}

#[test]
fn damage_is_the_same_in_every_run_and_changes_something() {
    let damaged = |form: Form| {
        let mut mutator = Mutator::new(1, form, vec![b"{\"a\":1,\"b\":2,\"c\":3}".to_vec()]);
        (0..200).map(|_| mutator.damaged()).collect::<Vec<_>>()
    };
    for form in [Form::Binary, Form::Json, Form::Text] {
        let first = damaged(form);
        assert_eq!(first, damaged(form));
        assert!(first.iter().filter(|bytes| *bytes != b"{\"a\":1,\"b\":2,\"c\":3}").count() > 150);
    }
    assert!(damaged(Form::Json).iter().any(|bytes| bytes.starts_with(b"{\"a\":1,\"b\":2,\"b\":2")), "keys repeat");
}
