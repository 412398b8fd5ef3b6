//! What the shipped program costs while nothing happens: a run of one-minute intervals over eight simulated GPUs. Every
//! test run looks for a few seconds; `just idle` for ten minutes, and holds the processor's share too.

use std::fs;
use std::time::Duration;

use serde_json::json;
use weighbridge_daemon_api::{RunStartRequest, RunStarted, paths};

use super::drivers::{Machine, Shipped};
use super::support::manifest;

const MOST_RESIDENT_KIB: u64 = 40 * 1024;
/// Thousandths of one processor.
const MOST_PERMILLE: f64 = 3.0;
/// Below this the kernel's clock of 100 Hz says too little about a share.
const LONG_ENOUGH_SECONDS: u64 = 600;
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory, now and at most, in KiB; processor time in ticks.
fn cost(served: &Shipped) -> (u64, u64, u64) {
    let process = served.process();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (kib("VmRSS:"), kib("VmHWM:"), ticks)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_takes_little_memory_and_less_time() {
    #[expect(clippy::disallowed_methods, reason = "how `just idle` asks for ten minutes")]
    let seconds: u64 = std::env::var("WEIGHBRIDGE_IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let machine = Machine::new(json!({}));
    let served = machine.serve().await;
    let info = served.challenge().await.unwrap();
    let mut manifest = manifest(&info, info.key_quote.unwrap());
    manifest.interval_millis = 60_000;
    let _: RunStarted = served.client().post(paths::RUN_START, &RunStartRequest { manifest }).await.unwrap();
    let (_, _, before) = cost(&served);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (resident, most, after) = cost(&served);
    let (used, lasted) = (u32::try_from(after - before).unwrap(), u32::try_from(seconds).unwrap());
    let permille = f64::from(used) / TICKS_PER_SECOND / f64::from(lasted) * 1_000.0;
    println!("{seconds} s: {resident} KiB resident, {most} KiB at most, {permille:.2} ‰ of one processor");
    assert!(resident <= MOST_RESIDENT_KIB, "{resident} KiB");
    if seconds >= LONG_ENOUGH_SECONDS {
        assert!(permille <= MOST_PERMILLE, "{permille} ‰");
    }
}
