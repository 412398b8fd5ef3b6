use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use super::*;
use crate::clock::tests::Still;

/// Answers by a script, in the order of the requests.
#[derive(Debug)]
struct Script {
    replies: Mutex<Vec<Result<Reply, HttpError>>>,
    asked: Arc<AtomicUsize>,
}

fn reply(status: u16, retry_after: Option<&str>) -> Result<Reply, HttpError> {
    Ok(Reply { status, retry_after: retry_after.map(str::to_owned), headers: vec![], body: vec![7] })
}

fn cut() -> Result<Reply, HttpError> {
    Err(HttpError::Failed("cut".to_owned()))
}

impl Transport for Script {
    fn exchange(&self, _: &Ask) -> Result<Reply, HttpError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.replies.lock().unwrap().remove(0)
    }
}

fn limits() -> Limits {
    Limits {
        tries: 4,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(60),
        host_pauses: vec![("amd.com".to_owned(), Duration::from_secs(10))],
    }
}

fn fetcher(replies: Vec<Result<Reply, HttpError>>) -> (Fetcher, Arc<Still>, Arc<AtomicUsize>) {
    let (clock, asked) = (Arc::new(Still::default()), Arc::new(AtomicUsize::new(0)));
    let script = Script { replies: Mutex::new(replies), asked: Arc::clone(&asked) };
    (Fetcher::new(Box::new(script), Arc::<Still>::clone(&clock), limits()), clock, asked)
}

fn ask(url: &str) -> Ask {
    Ask::get(url.to_owned(), 100)
}

fn seconds(clock: &Still) -> Vec<u64> {
    clock.slept().iter().map(Duration::as_secs).collect()
}

#[test]
fn pauses_grow_and_a_success_ends_them() {
    let (fetcher, clock, asked) = fetcher(vec![cut(), reply(503, None), reply(429, None), reply(200, None)]);
    assert_eq!(fetcher.get(&ask("https://x/a")).unwrap().status, 200);
    assert_eq!((seconds(&clock), asked.load(Ordering::SeqCst)), (vec![1, 2, 4], 4));
}

#[test]
fn tries_end_with_what_went_wrong_last() {
    let (fetcher, _, asked) = fetcher(vec![cut(), cut(), cut(), reply(502, None)]);
    let error = fetcher.get(&ask("https://x/a")).unwrap_err();
    assert_eq!(error.to_string(), "https://x/a: status 502 after 4 tries");
    assert_eq!((error.code(), asked.load(Ordering::SeqCst)), ("fetch-busy", 4));
}

#[test]
fn a_service_says_itself_how_long_to_wait() {
    let (fetcher, clock, _) = fetcher(vec![reply(429, Some("17")), reply(200, None)]);
    assert!(fetcher.get(&ask("https://x/a")).is_ok());
    assert_eq!(seconds(&clock), [17]);
    // The test's calendar begins at 2026-10-01T00:00:00Z.
    let (fetcher, clock, _) = fetcher_of_date("Thu, 01 Oct 2026 00:00:30 GMT");
    assert!(fetcher.get(&ask("https://x/a")).is_ok());
    assert_eq!(seconds(&clock), [30]);
    let (fetcher, clock, asked) = fetcher_of_date("Thu, 01 Oct 2026 01:00:00 GMT");
    let error = fetcher.get(&ask("https://x/a")).unwrap_err();
    assert_eq!(error.to_string(), "https://x/a: asked to wait 3600 s, longer than --max-wait");
    assert_eq!((seconds(&clock), asked.load(Ordering::SeqCst)), (vec![], 1));
}

fn fetcher_of_date(date: &str) -> (Fetcher, Arc<Still>, Arc<AtomicUsize>) {
    fetcher(vec![reply(503, Some(date)), reply(200, None)])
}

#[test]
fn what_another_try_would_not_change_is_not_tried_again() {
    for (answer, code) in [
        (reply(404, None), "fetch-not-there"),
        (reply(401, None), "fetch-not-there"),
        (reply(302, None), "fetch-answer"),
        (Err(HttpError::TooLong(9)), "fetch-no-answer"),
        (Err(HttpError::Refused("bad URL".to_owned())), "fetch-no-answer"),
    ] {
        let (fetcher, clock, asked) = fetcher(vec![answer]);
        assert_eq!(fetcher.get(&ask("https://x/a")).unwrap_err().code(), code);
        assert_eq!((seconds(&clock), asked.load(Ordering::SeqCst)), (vec![], 1));
    }
}

#[test]
fn amds_host_is_asked_every_ten_seconds() {
    let (fetcher, clock, _) = fetcher(vec![reply(200, None), reply(200, None), reply(200, None)]);
    for path in ["a", "b", "c"] {
        assert!(fetcher.get(&ask(&format!("https://kdsintf.amd.com/{path}"))).is_ok());
    }
    assert_eq!(seconds(&clock), [10, 10]);
}

/// Waits at a barrier inside the exchange until all others stand in the queue for the same answer.
#[derive(Debug)]
struct Gate {
    inside: Arc<Barrier>,
    asked: Arc<AtomicUsize>,
    status: u16,
}

impl Transport for Gate {
    fn exchange(&self, _: &Ask) -> Result<Reply, HttpError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.inside.wait();
        reply(self.status, None)
    }
}

#[test]
fn who_asks_the_same_shares_one_request_and_its_failure() {
    for status in [200, 404] {
        let (inside, asked) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let gate = Gate { inside: Arc::clone(&inside), asked: Arc::clone(&asked), status };
        let fetcher = Arc::new(Fetcher::new(Box::new(gate), Arc::new(Still::default()), limits()));
        let crowd: Vec<_> = (0..8)
            .map(|_| {
                let fetcher = Arc::clone(&fetcher);
                std::thread::spawn(move || fetcher.get(&ask("https://x/a")).map(|reply| reply.status))
            })
            .collect();
        // The one that flies holds one reference to the flight, and so does the map and each that waits.
        let waiting = || lock(&fetcher.flights).values().map(Arc::strong_count).sum::<usize>();
        while waiting() < 9 {
            std::thread::yield_now();
        }
        inside.wait();
        let answers: Vec<_> = crowd.into_iter().map(|thread| thread.join().unwrap().map_err(|e| e.code())).collect();
        let expected = if status == 200 { Ok(200) } else { Err("fetch-not-there") };
        assert_eq!((answers, asked.load(Ordering::SeqCst)), (vec![expected; 8], 1));
    }
}
