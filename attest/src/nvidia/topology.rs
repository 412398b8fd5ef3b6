//! **Duty.** Whether GPUs and switches of one machine name each other: a set under protected PCIe is one closed fabric, or
//! it is not trusted. **Knows** bound claims. **Does not know** how many devices a machine ought to have. **Spec.**
//! EVIDENCE §1.9.

use std::collections::BTreeSet;

use weighbridge_attest_types::{GpuFacts, NvidiaMode, NvidiaStatus, Pdi, PlatformClaims, SwitchFacts};

use crate::error::{EvidenceError, Failure, untrusted_if_any};
use crate::verified::Bound;

/// A switch that cannot be changed any more.
const LOCKED: u16 = 1;
const NO_DEVICE: Pdi = Pdi([0; 8]);

/// What the switches of a set say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchSide {
    /// The GPUs are on no protected fabric, and the set holds no switch.
    NotNeeded,
    /// Switches and GPUs name exactly each other.
    Checked,
    /// The GPUs name these switches, and none of them answered: what the fabric is rests on the GPUs' word.
    NotGiven(Vec<Pdi>),
}

/// A set whose members agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaTopology {
    /// How the GPUs are given to the VM; `None` where firmware does not report it.
    pub mode: Option<NvidiaMode>,
    /// GPUs, ascending.
    pub gpus: Vec<Pdi>,
    /// Switches that answered, ascending.
    pub switches: Vec<Pdi>,
    /// The other half of the comparison.
    pub switch_side: SwitchSide,
}

/// Compares the members of one machine's set. Nonces were compared when they were bound.
///
/// # Errors
/// [`EvidenceError::Untrusted`] with every difference: a device twice, modes that mix, a GPU outside of the fabric, a
/// switch that is not locked, or two sides that name different devices.
pub fn nvidia_topology(members: &[Bound<PlatformClaims>]) -> Result<NvidiaTopology, EvidenceError> {
    compare(members.iter().map(Bound::claims))
}

struct Gpu<'m> {
    pdi: Pdi,
    facts: &'m GpuFacts,
}

struct Switch<'m> {
    pdi: Pdi,
    facts: &'m SwitchFacts,
}

/// The same over claims that a set vouches for.
pub(crate) fn compare<'m>(members: impl Iterator<Item = &'m PlatformClaims>) -> Result<NvidiaTopology, EvidenceError> {
    let (mut gpus, mut switches) = (Vec::new(), Vec::new());
    for claims in members.filter_map(|claims| claims.nvidia.as_deref()) {
        gpus.extend(claims.gpu().map(|facts| Gpu { pdi: claims.pdi, facts }));
        switches.extend(claims.switch().map(|facts| Switch { pdi: claims.pdi, facts }));
    }
    let mut failures = repeated(&gpus, &switches);
    let mode = one_mode(&gpus, &mut failures);
    let is_protected = gpus.iter().any(|gpu| gpu.mode() == Some(NvidiaMode::ProtectedPcie) || gpu.is_protected());
    let switch_side = match (is_protected, switches.is_empty()) {
        (false, true) => SwitchSide::NotNeeded,
        (_, true) => SwitchSide::NotGiven(named_alike(&gpus, &mut failures)),
        (_, false) => {
            failures.extend(differences(&gpus, &switches));
            SwitchSide::Checked
        }
    };
    for gpu in gpus.iter().filter(|gpu| is_protected && !gpu.is_protected()) {
        let message = format!("GPU {} does not report protected PCIe, and others do", gpu.pdi);
        failures.push(Failure::new("topology-protected-pcie", message));
    }
    untrusted_if_any(failures)?;
    let (gpus, switches) = (set(gpus.iter().map(|gpu| gpu.pdi)), set(switches.iter().map(|switch| switch.pdi)));
    Ok(NvidiaTopology { mode, gpus: gpus.into_iter().collect(), switches: switches.into_iter().collect(), switch_side })
}

impl Gpu<'_> {
    /// Firmware before field 36 says by field 21 alone that it is on a protected fabric.
    fn mode(&self) -> Option<NvidiaMode> {
        self.facts.mode.or_else(|| self.is_protected().then_some(NvidiaMode::ProtectedPcie))
    }

    fn is_protected(&self) -> bool {
        self.facts.protected_pcie == Some(NvidiaStatus::On)
    }

    /// Its switches, as they name themselves.
    fn switches(&self) -> BTreeSet<Pdi> {
        set(self.facts.switch_pdis.iter().map(|pdi| pdi.reversed()))
    }
}

/// Each device once, and no place without a device.
fn set(pdis: impl Iterator<Item = Pdi>) -> BTreeSet<Pdi> {
    pdis.filter(|pdi| *pdi != NO_DEVICE).collect()
}

fn repeated(gpus: &[Gpu<'_>], switches: &[Switch<'_>]) -> Vec<Failure> {
    let mut seen = BTreeSet::new();
    let all = gpus.iter().map(|gpu| ("GPU", gpu.pdi)).chain(switches.iter().map(|switch| ("switch", switch.pdi)));
    let again = all.filter(|device| !seen.insert(*device));
    again.map(|(kind, pdi)| Failure::new("topology-repeated", format!("{kind} {pdi} answers twice"))).collect()
}

/// All GPUs are given to the VM in one way, which is known.
fn one_mode(gpus: &[Gpu<'_>], failures: &mut Vec<Failure>) -> Option<NvidiaMode> {
    let first = gpus.first().and_then(Gpu::mode);
    let mixed = gpus.iter().any(|gpu| gpu.mode() != first);
    if mixed || matches!(first, Some(NvidiaMode::Other(_))) {
        let modes: Vec<String> = gpus.iter().map(|gpu| format!("{} {:?}", gpu.pdi, gpu.mode())).collect();
        failures
            .push(Failure::new("topology-mode", format!("the modes of GPUs mix or are unknown: {}", modes.join(", "))));
    }
    first
}

/// No switch answered: the GPUs must at least agree.
fn named_alike(gpus: &[Gpu<'_>], failures: &mut Vec<Failure>) -> Vec<Pdi> {
    let first = gpus.first().map(Gpu::switches).unwrap_or_default();
    if first.is_empty() || gpus.iter().any(|gpu| gpu.switches() != first) {
        let message = "the GPUs name no switches, or not the same ones";
        failures.push(Failure::new("topology-switches", message));
    }
    first.into_iter().collect()
}

/// Both sides, each against the other.
fn differences(gpus: &[Gpu<'_>], switches: &[Switch<'_>]) -> Vec<Failure> {
    let mut failures = Vec::new();
    let answered = set(switches.iter().map(|switch| switch.pdi));
    for gpu in gpus.iter().filter(|gpu| gpu.switches() != answered) {
        let (named, found) = (shown(&gpu.switches()), shown(&answered));
        let message = format!("GPU {} names switches {named}; {found} answered", gpu.pdi);
        failures.push(Failure::new("topology-switches", message));
    }
    for switch in switches.iter().filter(|switch| switch.facts.lock_status != Some(LOCKED)) {
        let message = format!("switch {} is not locked: {:?}", switch.pdi, switch.facts.lock_status);
        failures.push(Failure::new("topology-unlocked", message));
    }
    let present = set(gpus.iter().map(|gpu| gpu.pdi));
    // No capture holds both sides, so that the byte order of a switch's list is not known for certain: either will do,
    // if it is the same for all.
    let turned = set(gpus.iter().map(|gpu| gpu.pdi.reversed()));
    let lists: Vec<(Pdi, BTreeSet<Pdi>)> =
        switches.iter().map(|switch| (switch.pdi, set(switch.facts.gpu_pdis.iter().copied()))).collect();
    let as_certified = lists.iter().all(|(_, list)| *list == present);
    if as_certified || lists.iter().all(|(_, list)| *list == turned) {
        return failures;
    }
    for (switch, list) in lists.iter().filter(|(_, list)| *list != present) {
        let message = format!("switch {switch} names GPUs {}; {} answered", shown(list), shown(&present));
        failures.push(Failure::new("topology-gpus", message));
    }
    failures
}

fn shown(pdis: &BTreeSet<Pdi>) -> String {
    let all: Vec<String> = pdis.iter().map(Pdi::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
