//! **Duty.** What happened and how things stand, as Prometheus reads it. Readings never enter it: they are private, and so
//! no label names a run, a path or a device. **Does not know** who asks. **Spec.** ECOSYSTEM §4 (Prometheus).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge_daemon_api::NodeState;

/// Media type of the text.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counts since the service started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) steps: AtomicU64,
    pub(super) work_units: AtomicU64,
    pub(super) windows: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) lost_reports: AtomicU64,
    pub(super) quotes: AtomicU64,
    pub(super) failed_quotes: AtomicU64,
    pub(super) pushes: AtomicU64,
    pub(super) failed_pushes: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) halted: AtomicU64,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gauges {
    pub(super) state: NodeState,
    pub(super) interval_index: u64,
    pub(super) quoted_index: u64,
    pub(super) devices: u64,
    pub(super) state_bytes: u64,
    pub(super) state_max_bytes: u64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Some more.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// The whole page.
pub(super) fn page(counters: &Counters, gauges: &Gauges) -> String {
    let mut page = Page(String::new());
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family("build_info", "gauge", "The running version.");
    page.row("build_info", &format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
    page.family("node_state", "gauge", "1 for the state that the node is in.");
    for (state, word) in [(NodeState::Waiting, "waiting"), (NodeState::Running, "running"), (NodeState::Ended, "ended")]
    {
        page.row("node_state", &format!("{{state=\"{word}\"}}"), u64::from(state == gauges.state));
    }
    page.one("devices", "gauge", "Accelerators of the node.", gauges.devices);
    page.one("interval_index", "gauge", "Last sealed interval of the run; 0 before the first.", gauges.interval_index);
    page.one("quoted_interval_index", "gauge", "Last interval whose head is quoted.", gauges.quoted_index);
    page.one("state_kept_bytes", "gauge", "Kept entries and evidence.", gauges.state_bytes);
    page.one("state_max_bytes", "gauge", "Beyond so many kept bytes no more work is taken.", gauges.state_max_bytes);
    page.one("halted", "gauge", "1 while the run takes nothing, because the clock went back.", read(&counters.halted));
    page.one("requests_total", "counter", "Requests on the socket.", read(&counters.requests));
    page.one("refusals_total", "counter", "Requests that were refused.", read(&counters.refusals));
    page.family("reports_total", "counter", "Reports of the training job that were counted.");
    page.row("reports_total", "{kind=\"step\"}", read(&counters.steps));
    page.row("reports_total", "{kind=\"work-unit\"}", read(&counters.work_units));
    page.row("reports_total", "{kind=\"window\"}", read(&counters.windows));
    page.row("reports_total", "{kind=\"checkpoint\"}", read(&counters.checkpoints));
    page.one("lost_reports_total", "counter", "Reports that the client says it lost.", read(&counters.lost_reports));
    page.family("quotes_total", "counter", "Heads and keys for which evidence was asked.");
    page.row("quotes_total", "{outcome=\"made\"}", read(&counters.quotes));
    page.row("quotes_total", "{outcome=\"failed\"}", read(&counters.failed_quotes));
    page.family("pushes_total", "counter", "Exports handed to the verifier.");
    page.row("pushes_total", "{outcome=\"made\"}", read(&counters.pushes));
    page.row("pushes_total", "{outcome=\"failed\"}", read(&counters.failed_pushes));
    page.one("reloads_total", "counter", "Configurations taken while running.", read(&counters.reloads));
    page.0
}

struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.row(name, "", value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP weighbridge_{name} {help}\n# TYPE weighbridge_{name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "weighbridge_{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALERTS: &str = include_str!("../../monitoring/alerts.yml");
    const DASHBOARD: &str = include_str!("../../monitoring/dashboard.json");

    fn sample() -> String {
        let gauges = Gauges {
            state: NodeState::Running,
            interval_index: 7,
            quoted_index: 5,
            devices: 8,
            state_bytes: 10,
            state_max_bytes: 1_000,
        };
        let counters = Counters::default();
        add(&counters.lost_reports, 3);
        count(&counters.quotes);
        page(&counters, &gauges)
    }

    /// Names in a text, with their prefix.
    fn names(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        words.filter(|word| word.starts_with("weighbridge_")).collect()
    }

    #[test]
    fn every_row_has_its_family_before_it() {
        let page = sample();
        let mut typed = BTreeSet::new();
        for line in page.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => assert!(typed.insert(rest.split(' ').next().unwrap()), "{line}"),
                None if line.starts_with('#') => assert!(line.starts_with("# HELP weighbridge_")),
                None => assert!(typed.contains(line.split(['{', ' ']).next().unwrap()), "{line}"),
            }
        }
        assert!(page.contains("weighbridge_node_state{state=\"running\"} 1\n"));
        assert!(page.contains("weighbridge_node_state{state=\"ended\"} 0\n"));
        assert!(page.contains("weighbridge_lost_reports_total 3\n"));
        assert!(page.contains("weighbridge_quotes_total{outcome=\"made\"} 1\n"));
    }

    #[test]
    fn alerts_and_dashboard_ask_only_for_what_there_is() {
        let page = sample();
        let given = names(&page);
        let asked: BTreeSet<&str> = names(ALERTS).into_iter().chain(names(DASHBOARD)).collect();
        assert!(asked.is_subset(&given), "{:?}", asked.difference(&given));
        assert!(asked.len() >= 8, "{asked:?}");
        let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() >= 6);
    }
}
