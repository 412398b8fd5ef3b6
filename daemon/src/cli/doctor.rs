//! **Duty.** `weighbridged doctor`: everything that stands in the way of a node, each with what to do. **Knows** what the
//! platform crate found, and the service's own folders, socket and clock. **Does not know** how an interface is used.
//! **Spec.** ECOSYSTEM §8 (a); PROTOCOL §8.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use serde_json::{Value, json};
use weighbridge_attest_collect::{Detection, Finding, InterfaceState, Role, Weight, detect, examine};

use super::{CommandError, Printed};
use crate::config::Config;
use crate::shell::{Clock, SystemClock};

/// A year of one-minute intervals with their quotes is about a gigabyte.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// 2026-01-01: a clock before this release was never set.
const RELEASE_MILLIS: u64 = 1_767_225_600_000;
/// What a time service leaves when the clock is set.
const SYNCHRONISED: [&str; 3] = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"];

pub(super) fn doctor(config: &Config) -> Printed {
    let detection = detect(&config.platform());
    let mut findings = examine(&config.platform());
    findings.extend([clock(), time_service(), state_folder(&config.state_dir), socket(&config.socket)]);
    let (mut text, interfaces) = interfaces(&detection);
    for finding in &findings {
        text.push_str(&line(finding));
    }
    let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
    let lacking = match (detection.is_complete(), faults) {
        (false, _) => Some(CommandError::Incomplete),
        (true, 0) => None,
        (true, faults) => Some(CommandError::Ailing { faults }),
    };
    let findings: Vec<Value> = findings.iter().map(row).collect();
    Printed { text, claims: json!({ "interfaces": interfaces, "findings": findings }), lacking }
}

fn interfaces(detection: &Detection) -> (String, Vec<Value>) {
    let (mut text, mut rows) = (String::new(), Vec::new());
    for interface in &detection.interfaces {
        let role = if interface.role == Role::Cpu { "cpu" } else { "accelerator" };
        let name = interface.name;
        let (line, state) = match &interface.state {
            InterfaceState::Available { detail } => {
                (format!("{name:<12} {role:<12} available    {detail}\n"), json!({ "available": detail }))
            }
            InterfaceState::Unavailable { what, why, remedy } => (
                format!("{name:<12} {role:<12} unavailable  {what}: {why}\n{:<39} {remedy}\n", ""),
                json!({ "unavailable": { "what": what, "why": why, "remedy": remedy } }),
            ),
        };
        text.push_str(&line);
        rows.push(json!({ "name": name, "role": role, "state": state }));
    }
    (text, rows)
}

const fn word(weight: Weight) -> &'static str {
    match weight {
        Weight::Good => "good",
        Weight::Note => "note",
        Weight::Fault => "fault",
    }
}

fn line(finding: &Finding) -> String {
    let Finding { check, weight, found, remedy } = finding;
    let told = format!("{check:<25} {:<12} {found}\n", word(*weight));
    if remedy.is_empty() { told } else { format!("{told}{:<39} {remedy}\n", "") }
}

fn row(finding: &Finding) -> Value {
    let Finding { check, weight, found, remedy } = finding;
    json!({ "check": check, "weight": word(*weight), "found": found, "remedy": remedy })
}

fn clock() -> Finding {
    match SystemClock::new().and_then(|clock| clock.now()) {
        Ok(now) if now.wall.0 < RELEASE_MILLIS => Finding::new(
            "clock",
            Weight::Fault,
            "the wall clock stands before 2026",
            "set it (`timedatectl`): certificates and intervals carry its time",
        ),
        Ok(_) => Finding::new("clock", Weight::Good, "wall clock, boot-time clock and boot id can be read", ""),
        Err(error) => Finding::new("clock", Weight::Fault, error.to_string(), "mount /proc in the service's sandbox"),
    }
}

/// The host may still move the clock: what a Verifier believes is the bracket from outside.
fn time_service() -> Finding {
    match SYNCHRONISED.iter().find(|file| Path::new(file).exists()) {
        Some(file) => Finding::new("time-service", Weight::Good, format!("a time service is at work ({file})"), ""),
        None => Finding::new(
            "time-service",
            Weight::Note,
            "no time service is seen",
            "enable systemd-timesyncd or chrony; a clock that is set back halts a run",
        ),
    }
}

fn state_folder(folder: &Path) -> Finding {
    let of = |weight, found: String, remedy| Finding::new("state-folder", weight, found, remedy);
    let place = folder.display();
    // The service makes the folder; what has to be there before it is the one above.
    let exists = folder.exists();
    let looked_at = if exists { folder } else { folder.parent().unwrap_or(folder) };
    if let Err(error) = access(looked_at, Access::WRITE_OK | Access::EXEC_OK) {
        let found = format!("{} is not writable for this user ({})", looked_at.display(), io::Error::from(error));
        return of(Weight::Fault, found, "run doctor as the service's user, or name another `state_dir`");
    }
    let free = statvfs(looked_at).map(|space| space.f_bavail.saturating_mul(space.f_frsize));
    match free {
        Ok(free) if free < LEAST_FREE_BYTES => of(
            Weight::Fault,
            format!("{place} has {} MiB left", free >> 20),
            "free space: nothing is acknowledged that cannot be kept",
        ),
        Ok(free) => {
            let made = if exists { "is there" } else { "can be made" };
            of(Weight::Good, format!("{place} {made}, {} GiB free", free >> 30), "")
        }
        Err(error) => of(Weight::Note, format!("{place}: free space is not known ({})", io::Error::from(error)), ""),
    }
}

fn socket(path: &Path) -> Finding {
    let of = |weight, found: String, remedy| Finding::new("socket", weight, found, remedy);
    let place = path.display();
    match UnixStream::connect(path) {
        Ok(_) => of(Weight::Good, format!("a service answers on {place}"), ""),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let remedy = "jobs reach it as members of the group `weighbridge`";
            of(Weight::Fault, format!("{place} may not be opened by this user"), remedy)
        }
        Err(_) if path.parent().is_some_and(|folder| fs::metadata(folder).is_ok_and(|found| found.is_dir())) => {
            of(Weight::Note, format!("no service answers on {place}"), "start it: `systemctl start weighbridged`")
        }
        Err(_) => {
            let remedy = "let systemd make it (RuntimeDirectory=), or name another `socket`";
            of(Weight::Note, format!("the folder of {place} does not exist"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_there_or_closed_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let absent = state_folder(Path::new("/nonexistent/below/state"));
        assert_eq!(absent.weight, Weight::Fault);
        assert!(absent.found.starts_with("/nonexistent/below is not writable"), "{}", absent.found);
        assert!(state_folder(&at("state")).found.contains("can be made"));
        assert!(socket(&at("absent.sock")).found.starts_with("no service answers on "));
        assert!(socket(&at("no/absent.sock")).found.ends_with("does not exist"));
        let _listener = std::os::unix::net::UnixListener::bind(at("s.sock")).unwrap();
        assert_eq!(socket(&at("s.sock")).weight, Weight::Good);
    }

    #[test]
    fn a_finding_is_one_line_and_its_remedy_the_next() {
        let fault = Finding::new("clock", Weight::Fault, "it stands", "wind it");
        assert_eq!(line(&fault), format!("clock{:21}fault        it stands\n{:40}wind it\n", "", ""));
        assert_eq!(
            row(&fault),
            json!({ "check": "clock", "weight": "fault", "found": "it stands", "remedy": "wind it" })
        );
        assert_eq!(line(&Finding::new("clock", Weight::Good, "it goes", "")).lines().count(), 1);
    }
}
