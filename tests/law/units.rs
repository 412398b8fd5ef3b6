//! **Duty.** Every sandbox line of a unit names the threat it stops, in a comment above it. **Spec.** HOUSE §1, §10.

use crate::tree::{self, TextFile};

/// Beginnings of the directives that sandbox a service (systemd.exec, systemd.resource-control).
const SANDBOX: [&str; 27] = [
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "DeviceAllow",
    "DevicePolicy",
    "IPAddress",
    "InaccessiblePaths",
    "KeyringMode",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "MemoryMax",
    "NoExecPaths",
    "NoNewPrivileges",
    "Private",
    "ProcSubset",
    "Protect",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RemoveIPC",
    "Restrict",
    "SecureBits",
    "SocketBind",
    "SupplementaryGroups",
    "SystemCall",
    "TasksMax",
    "TemporaryFileSystem",
    "UMask",
    "LimitCORE",
];

#[test]
fn every_sandbox_line_names_its_threat() {
    let units = tree::files(&[".service"]);
    assert!(!units.is_empty(), "systemd/ holds no unit: the daemon ships with one");
    let breaches: Vec<String> = units.iter().flat_map(unexplained).collect();
    tree::hold("each sandbox line has a comment above it that names its threat", &breaches);
}

/// A repeated directive shares the comment of the line before it, so a list of devices needs only one.
fn unexplained(unit: &TextFile) -> Vec<String> {
    let mut breaches = Vec::new();
    let (mut is_explained, mut previous) = (false, "");
    for (number, line) in unit.lines() {
        let key = line.split('=').next().unwrap_or_default();
        if line.starts_with('#') {
            (is_explained, previous) = (line.trim_start_matches('#').trim().len() > 10, "");
            continue;
        }
        let is_sandbox = SANDBOX.iter().any(|start| key.starts_with(start));
        if is_sandbox && !is_explained && key != previous {
            breaches.push(format!("{}:{number}: `{key}`: say above it which threat it stops", unit.path));
        }
        (is_explained, previous) = (false, key);
    }
    breaches
}

#[test]
fn a_line_without_a_comment_is_found() {
    let text =
        "[Service]\n# A stranger's device is not ours to read.\nDevicePolicy=closed\nPrivateTmp=yes\n".to_owned();
    let unit = TextFile { path: "x.service".to_owned(), text };
    assert_eq!(unexplained(&unit), ["x.service:4: `PrivateTmp`: say above it which threat it stops"]);
}
