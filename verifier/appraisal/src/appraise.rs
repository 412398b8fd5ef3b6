//! **Duty.** Evidence by itself, outside any bundle: is it genuine, does it answer what was asked, does a policy like it?
//! One device, several under one nonce, or a CPU quote with its accelerators. **Knows** claims, rules and three answers:
//! pass, fail, not checked. **Does not know** TEEs, files or clocks. **Spec.** PROTOCOL §6 and §8, EVIDENCE §0 and §1.9.

mod device;
mod request;
mod set;
mod trust;

use serde::Serialize;
use weighbridge_attest::{EvidenceError, Failure, SwitchSide, compare_nvidia_topology};
use weighbridge_attest_types::{
    AppraisalPolicy, Culprit, Device, Digest32, EvidenceKind, Grade, NvidiaClaims, NvidiaStatus, PlatformClaims,
    UnixMillis, sha256,
};

pub use device::appraise_devices;
pub use request::{Asked, EvidencePiece, Grounds, MAX_EVIDENCE, Roster};
pub use set::appraise_set;
pub use trust::{Tier, TrustVector};

use crate::check::rank;
use crate::policy::{Turned, culprit, policy_member, reference_anchors, rulings};
use crate::text;

/// What nobody can check about accelerators today (PROTOCOL §9, LIMITATIONS).
const RELAY_LIMIT: &str = "an accelerator's report does not say which confidential VM holds the accelerator: one elsewhere \
     that answers in time would pass";

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingStatus {
    /// It holds.
    Pass,
    /// It does not hold; nothing is accepted.
    Fail,
    /// It was not made, and nothing was concluded from that.
    NotChecked,
}

/// One check of one piece of evidence, or of all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFinding {
    /// Stable code.
    pub code: String,
    /// How it ended.
    pub status: FindingStatus,
    /// A sentence.
    pub message: String,
    /// Who has to act; present exactly when the check failed.
    pub culprit: Option<Culprit>,
    /// The rule of the policy, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// What became of one device's evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAppraisal {
    name: String,
    source: String,
    kind: EvidenceKind,
    evidence: Option<Digest32>,
    claims: Option<PlatformClaims>,
    findings: Vec<DeviceFinding>,
}

/// What became of all that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    at: UnixMillis,
    policy: PolicyName,
    devices: Vec<DeviceAppraisal>,
    whole: Vec<DeviceFinding>,
    binding: DeviceBinding,
}

/// Which policy was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyName {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its JSON as `weighbridge policy show` prints it.
    pub sha256: Digest32,
}

/// What ties accelerators to the machine that speaks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceBinding {
    /// Nothing: each answers for itself.
    None,
    /// Their nonces and the CPU quote are made of each other (PROTOCOL §3).
    NonceChained,
}

impl PolicyName {
    /// Names a policy.
    #[must_use]
    pub fn of(policy: &AppraisalPolicy) -> Self {
        Self { id: policy.id.clone(), version: policy.version, sha256: sha256(&policy_member(policy)) }
    }
}

impl Appraisal {
    /// The instant that was asked about.
    #[must_use]
    pub const fn at(&self) -> UnixMillis {
        self.at
    }

    /// The policy that was applied.
    #[must_use]
    pub const fn policy(&self) -> &PolicyName {
        &self.policy
    }

    /// Each device, in the order given.
    #[must_use]
    pub fn devices(&self) -> &[DeviceAppraisal] {
        &self.devices
    }

    /// What was found about all of them together.
    #[must_use]
    pub fn whole(&self) -> &[DeviceFinding] {
        &self.whole
    }

    /// What ties the devices to each other.
    #[must_use]
    pub const fn binding(&self) -> DeviceBinding {
        self.binding
    }

    /// `None` = accepted; otherwise the class that comes first in the order of the procedure.
    #[must_use]
    pub fn culprit(&self) -> Option<Culprit> {
        if self.devices.is_empty() && self.whole.is_empty() {
            return Some(Culprit::Internal);
        }
        let devices = self.devices.iter().filter_map(DeviceAppraisal::culprit);
        worst(&self.whole).into_iter().chain(devices).min_by_key(|culprit| rank(*culprit))
    }

    /// Takes account of files that were named as endorsements of this evidence and are none that anybody knows. What does
    /// not parse is not merely missing (EVIDENCE §0): it is not trusted, where something is missing.
    #[must_use]
    pub fn with_unread(mut self, files: &[String]) -> Self {
        if files.is_empty() {
            return self;
        }
        let message = format!("no kind of evidence here knows what was named as an endorsement: {}", text::list(files));
        self.whole.push(match self.culprit() {
            Some(Culprit::Unavailable) => DeviceFinding::fail("endorsement-unrecognised", Culprit::Untrusted, message),
            _ => DeviceFinding::not_checked("endorsement-unrecognised", message),
        });
        self
    }

    /// Earliest end of everything that was used; `None` where nothing was found genuine.
    #[must_use]
    pub fn valid_until(&self) -> Option<UnixMillis> {
        self.devices.iter().filter_map(|device| device.claims()).map(|claims| claims.valid_until).min()
    }

    /// The weakest anchor decides; `None` where nothing was found genuine.
    #[must_use]
    pub fn grade(&self) -> Option<Grade> {
        self.devices.iter().filter_map(|device| device.claims()).map(|claims| claims.grade).min()
    }

    /// The tier of the whole: never better than that of any device.
    #[must_use]
    pub fn tier(&self) -> Tier {
        let devices = self.devices.iter().map(DeviceAppraisal::tier);
        devices.fold(Tier::of(&self.whole), Tier::worse)
    }

    /// What a reader has to know about accelerators that answered; `None` where there are none.
    #[must_use]
    pub fn relay_limit(&self) -> Option<&'static str> {
        let mut claims = self.devices.iter().filter_map(|device| device.claims());
        claims.any(|claims| claims.chip_family.is_some()).then_some(RELAY_LIMIT)
    }
}

impl DeviceAppraisal {
    /// A name that is unique within the appraisal: the kind and a number.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it came from, in the caller's words.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> &EvidenceKind {
        &self.kind
    }

    /// SHA-256 of the part of the evidence that counts; `None` where it did not parse.
    #[must_use]
    pub const fn evidence(&self) -> Option<Digest32> {
        self.evidence
    }

    /// What it says; only where it was found genuine.
    #[must_use]
    pub const fn claims(&self) -> Option<&PlatformClaims> {
        self.claims.as_ref()
    }

    /// Every check.
    #[must_use]
    pub fn findings(&self) -> &[DeviceFinding] {
        &self.findings
    }

    /// `None` = accepted. Evidence about which nothing was found is not accepted.
    #[must_use]
    pub fn culprit(&self) -> Option<Culprit> {
        match (worst(&self.findings), &self.claims) {
            (None, None) => Some(Culprit::Unavailable),
            (found, _) => found,
        }
    }

    /// How far a Relying Party may lean on it (AR4SI).
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.claims {
            Some(_) => Tier::of(&self.findings),
            None => Tier::of(&self.findings).worse(Tier::None),
        }
    }

    /// AR4SI's vector: what was and was not found about each aspect.
    #[must_use]
    pub fn trust_vector(&self) -> TrustVector {
        TrustVector::of(self)
    }
}

impl DeviceFinding {
    pub(crate) fn pass(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, FindingStatus::Pass, None, message)
    }

    pub(crate) fn fail(code: &str, culprit: Culprit, message: impl Into<String>) -> Self {
        Self::new(code, FindingStatus::Fail, Some(culprit), message)
    }

    pub(crate) fn not_checked(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, FindingStatus::NotChecked, None, message)
    }

    /// One finding for each failure of a refusal.
    pub(crate) fn of_refusal(error: &EvidenceError) -> impl Iterator<Item = Self> {
        Self::of_refusal_by(error, error.culprit())
    }

    /// The same where somebody else has to act than the error says.
    pub(crate) fn of_refusal_by(error: &EvidenceError, culprit: Culprit) -> impl Iterator<Item = Self> {
        error.failures().iter().map(move |Failure { code, message }| Self::fail(code, culprit, message))
    }

    fn new(code: &str, status: FindingStatus, culprit: Option<Culprit>, message: impl Into<String>) -> Self {
        let message = text::cut(message.into(), MAX_MESSAGE);
        Self { code: code.to_owned(), status, message, culprit, rule: None }
    }
}

/// Characters of one sentence; hostile evidence must not swell the answer about it.
const MAX_MESSAGE: usize = 2_000;

/// Every rule of the policy on one platform. Waived rules of one reason stand together.
fn policy_findings(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<DeviceFinding> {
    let mut findings: Vec<DeviceFinding> = Vec::new();
    for ruling in rulings(claims, policy) {
        let mut finding = match ruling.turned {
            Turned::Met => DeviceFinding::pass(ruling.code, ruling.message),
            Turned::Failed => DeviceFinding::fail(ruling.code, culprit(ruling.code), ruling.message),
            Turned::Waived => {
                let earlier = findings.iter_mut().find(|earlier| {
                    let is_waiver = earlier.status == FindingStatus::NotChecked && earlier.code == ruling.code;
                    is_waiver && earlier.message.ends_with(&format!(" waived by policy: {}", ruling.message))
                });
                if let Some(earlier) = earlier {
                    let rules = format!("{}, {}", earlier.rule.take().unwrap_or_default(), ruling.rule);
                    earlier.message = format!("{rules}: waived by policy: {}", ruling.message);
                    earlier.rule = Some(rules);
                    continue;
                }
                let message = format!("{}: waived by policy: {}", ruling.rule, ruling.message);
                DeviceFinding::not_checked(ruling.code, message)
            }
        };
        finding.rule = Some(ruling.rule);
        findings.push(finding);
    }
    findings
}

/// The grade is that of the weakest anchor that anything here hangs on.
fn grade_finding(claims: &PlatformClaims) -> DeviceFinding {
    let mut anchors = vec![claims.anchor.as_str()];
    anchors.extend(reference_anchors(claims).map(|(_, name)| name));
    anchors.dedup();
    match claims.grade {
        Grade::Attested => DeviceFinding::pass("anchor-grade", format!("{}: a vendor's root", text::list(&anchors))),
        grade => {
            let (anchors, grade) = (text::list(&anchors), grade.as_str());
            let message = format!("{anchors}: handed over by name, and lends the grade {grade}; no vendor vouches");
            DeviceFinding::not_checked("anchor-grade", message)
        }
    }
}

/// Everything that genuine claims give rise to, whatever they were bound to.
fn claims_findings(claims: &PlatformClaims, policy: &AppraisalPolicy) -> Vec<DeviceFinding> {
    let mut findings = Vec::new();
    findings.push(grade_finding(claims));
    let open = claims.not_checked.iter().map(|item| DeviceFinding::not_checked(&item.code, &item.why));
    findings.extend(open);
    findings.extend(policy_findings(claims, policy));
    findings
}

/// Every device once, by what its certificates say; and, where a roster is named, exactly its devices.
fn whole_findings(devices: &[DeviceAppraisal], roster: Option<&Roster>) -> Vec<DeviceFinding> {
    let mut findings = Vec::new();
    let mut seen: Vec<(Device, &str)> = Vec::new();
    let mut repeated = false;
    for (at, device) in devices.iter().enumerate() {
        let identity = device.claims().and_then(|claims| claims.device);
        let earlier = identity.and_then(|identity| seen.iter().find(|(other, _)| *other == identity));
        // A vendor that masks its devices leaves the evidence itself to tell them apart.
        let twin = devices.iter().take(at).find(|other| other.evidence.is_some() && other.evidence == device.evidence);
        if let Some(name) = earlier.map(|(_, name)| *name).or(twin.map(|twin| twin.name())) {
            repeated = true;
            let message = format!("{} and {name} are one device", device.name);
            findings.push(DeviceFinding::fail("device-repeated", Culprit::Untrusted, message));
        }
        seen.extend(identity.map(|identity| (identity, device.name())));
    }
    if devices.len() > 1 && !repeated {
        findings.push(
            match devices.iter().all(|device| device.claims().is_some_and(|claims| claims.device.is_some())) {
                true => DeviceFinding::pass("devices-distinct", format!("{} devices, each once", devices.len())),
                false => DeviceFinding::not_checked("devices-distinct", "not every device has an identity to compare"),
            },
        );
    }
    findings.extend(topology_findings(devices));
    findings.extend(roster.map(|roster| roster.finding(devices)));
    findings
}

/// Whether NVIDIA's GPUs and switches name each other, where there are any that could (EVIDENCE §1.9).
fn topology_findings(devices: &[DeviceAppraisal]) -> Vec<DeviceFinding> {
    let claims: Vec<&PlatformClaims> = devices.iter().filter_map(DeviceAppraisal::claims).collect();
    let nvidia = || claims.iter().filter_map(|claims| claims.nvidia.as_deref());
    if nvidia().next().is_none() {
        return Vec::new();
    }
    if claims.len() < devices.len() {
        return vec![DeviceFinding::not_checked(
            "nvidia-topology",
            "only genuine devices can be compared, and not all are",
        )];
    }
    if let ([_], Some(gpu)) = (devices, nvidia().find_map(NvidiaClaims::gpu)) {
        // One report is not asked to be a board.
        let is_part_of_one = gpu.protected_pcie == Some(NvidiaStatus::On);
        let message = "the GPU is part of a protected fabric, and nothing else of it was given";
        return is_part_of_one.then(|| DeviceFinding::not_checked("nvidia-topology", message)).into_iter().collect();
    }
    if nvidia().all(|claims| claims.gpu().is_none()) {
        let message = "no GPU stands beside the switches: whom they connect was not compared";
        return vec![DeviceFinding::not_checked("nvidia-topology", message)];
    }
    match compare_nvidia_topology(claims.iter().copied()) {
        Err(error) => DeviceFinding::of_refusal(&error).collect(),
        Ok(topology) => match topology.switch_side {
            SwitchSide::NotNeeded => Vec::new(),
            SwitchSide::Checked => {
                vec![DeviceFinding::pass("nvidia-topology", "GPUs and switches name exactly each other")]
            }
            SwitchSide::NotGiven(named) => {
                let named: Vec<String> = named.iter().map(ToString::to_string).collect();
                let message =
                    format!("no evidence of the switches was given that the GPUs name: {}", text::list(named));
                vec![DeviceFinding::not_checked("nvidia-topology", message)]
            }
        },
    }
}

fn worst(findings: &[DeviceFinding]) -> Option<Culprit> {
    findings.iter().filter_map(|finding| finding.culprit).min_by_key(|culprit| rank(*culprit))
}

#[cfg(test)]
mod tests;
