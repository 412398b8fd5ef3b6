//! **Duty.** Looks at every interface in the table and says what is there, what is not, why, and what to do.
//! **Does not know** how an interface is used. **Spec.** ECOSYSTEM §3 items 12, 27; `weighbridged doctor`.

use std::time::Duration;

use crate::collectors::{COLLECTORS, Entry, Opener};
use crate::lane::Lane;
use crate::{CollectError, PlatformOptions};

/// Longer than a driver's own deadlines, so that the driver is named and not the look.
const LOOK: Duration = Duration::from_secs(40);

/// Which part of a composite device an interface serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The CPU TEE.
    Cpu,
    /// Accelerators.
    Accelerator,
}

/// What was found at one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceState {
    /// It answers.
    Available {
        /// What it says of itself.
        detail: String,
    },
    /// It cannot be used.
    Unavailable {
        /// Which interface.
        what: &'static str,
        /// What was found.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Evidence kind.
    pub name: &'static str,
    /// Its part.
    pub role: Role,
    /// What was found.
    pub state: InterfaceState,
}

/// All interfaces that this build knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// In the order of the table.
    pub interfaces: Vec<Interface>,
}

/// Looks at every interface; takes no evidence.
#[must_use]
pub fn detect(options: &PlatformOptions) -> Detection {
    Detection { interfaces: COLLECTORS.iter().map(|entry| look(entry, options)).collect() }
}

impl Detection {
    /// Whether a node can run here: a CPU TEE leads, and accelerators are there to be weighed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has = |role| {
            let available = |found: &Interface| matches!(found.state, InterfaceState::Available { .. });
            self.interfaces.iter().any(|found| found.role == role && available(found))
        };
        has(Role::Cpu) && has(Role::Accelerator)
    }
}

fn look(entry: &Entry, options: &PlatformOptions) -> Interface {
    let role = match entry.open {
        Opener::Cpu(_) => Role::Cpu,
        Opener::Accelerators(_) => Role::Accelerator,
    };
    let state = match in_time(entry.probe, options) {
        Ok(detail) => InterfaceState::Available { detail },
        Err(CollectError::Unavailable { what, why, remedy }) => InterfaceState::Unavailable { what, why, remedy },
        Err(CollectError::Answer { what, why }) => InterfaceState::Unavailable {
            what,
            why: format!("it answered with unusable bytes: {why}"),
            remedy: "update the driver or kernel, and report this answer",
        },
    };
    Interface { name: entry.name, role, state }
}

/// A look ends, whatever the driver does.
fn in_time(
    probe: fn(&PlatformOptions) -> Result<String, CollectError>,
    options: &PlatformOptions,
) -> Result<String, CollectError> {
    let options = options.clone();
    Lane::plain("the interface", "look")?.run("a look", LOOK, move || probe(&options))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices are looked for under paths that no machine has: the same answers on a laptop and on a GPU node.
    fn nowhere() -> PlatformOptions {
        PlatformOptions {
            tsm_report: "/nonexistent/tsm/report".into(),
            nvml_library: Some("/nonexistent/libnvidia-ml.so.1".into()),
        }
    }

    #[test]
    fn what_is_not_there_is_unavailable_with_reason_and_remedy() {
        let found = detect(&nowhere());
        assert!(!found.is_complete());
        let names: Vec<_> = found.interfaces.iter().map(|interface| (interface.name, interface.role)).collect();
        assert_eq!(names, [("tdx", Role::Cpu), ("sev-snp", Role::Cpu), ("nvidia-gpu", Role::Accelerator)]);
        for interface in found.interfaces {
            let InterfaceState::Unavailable { why, remedy, .. } = interface.state else {
                panic!("{} is available at a path that does not exist", interface.name)
            };
            assert!(!why.is_empty() && !remedy.is_empty(), "{}", interface.name);
        }
    }

    #[test]
    fn a_complete_node_needs_both_parts() {
        let part = |role| Interface { name: "x", role, state: InterfaceState::Available { detail: String::new() } };
        assert!(!Detection { interfaces: vec![part(Role::Cpu)] }.is_complete());
        assert!(Detection { interfaces: vec![part(Role::Cpu), part(Role::Accelerator)] }.is_complete());
    }
}
