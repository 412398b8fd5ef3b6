//! **Duty.** An appraisal as a tree for people and as the one object of `--format json`. **Does not know** what any check
//! means beyond its sentence. **Spec.** PROTOCOL §8; docs/appraise.md.

use serde_json::{Value, json};
use weighbridge_appraisal::{Appraisal, CheckStatus, DeviceAppraisal, DeviceFinding, FindingStatus};
use weighbridge_attest_types::{Culprit, Grade};

use crate::cli::console::Paint;
use crate::cli::object::{Object, Reason};
use crate::cli::outcome::{mark, remedy};
use crate::evidence::EndorsementFiles;
use crate::instant;
use crate::prose::{beside, sentence, wrapped};
use crate::visible::visible;

const COLUMNS: usize = 100;
const CODE_COLUMN: usize = 28;
const HANG: usize = 13;
/// What stands for all devices together, and for the files beside them.
const WHOLE: &str = "all of it";

/// The tree, then what it comes to.
pub(super) fn text(appraisal: &Appraisal, files: &EndorsementFiles, hints: &[String], paint: Paint) -> String {
    let mut text = String::new();
    for device in appraisal.devices() {
        text.push_str(&format!("{}  {}\n", paint.strong(device.name()), visible(device.source())));
        text.push_str(&findings(device.findings(), paint));
    }
    if !appraisal.whole().is_empty() {
        text.push_str(&format!("{}\n{}", paint.strong(WHOLE), findings(appraisal.whole(), paint)));
    }
    for path in &files.unknown {
        let line = format!("{} was not used: no kind of evidence here knows this file", path.display());
        text.push_str(&wrapped(&visible(&line), COLUMNS, 0));
    }
    text.push('\n');
    text + &summary(appraisal, hints, paint)
}

/// What an appraisal comes to, in a few lines; the grade comes first where no vendor lends it.
pub(super) fn summary(appraisal: &Appraisal, hints: &[String], paint: Paint) -> String {
    let mut text = String::new();
    let grade = appraisal.grade();
    if let Some(weak) = grade.filter(|grade| *grade != Grade::Attested) {
        let warning =
            format!("{}: under roots that were handed over by name; no vendor vouches", weak.as_str().to_uppercase());
        text.push_str(&format!("{}\n", paint.bad(&warning)));
    }
    let policy = appraisal.policy();
    let mut line =
        |name: &str, words: &str| text.push_str(&beside(&format!("{name:<HANG$}"), &visible(words), COLUMNS, HANG));
    line("policy", &format!("{} v{} sha256:{}", policy.id, policy.version, policy.sha256));
    line("judged", &format!("as of {}", instant::rfc3339(appraisal.at())));
    if let Some(until) = appraisal.valid_until() {
        line("valid until", &instant::rfc3339(until));
    }
    if let Some(grade) = grade {
        line("grade", grade.as_str());
    }
    let open = all_findings(appraisal).filter(|(_, finding)| finding.status == FindingStatus::NotChecked).count();
    let why = if open == 0 { String::new() } else { format!(": {open} checks were not made") };
    line("tier", &format!("{}{why}", appraisal.tier().as_str()));
    if let Some(limit) = appraisal.relay_limit() {
        line("limit", &sentence(limit));
    }
    text + &verdict(appraisal, hints, paint)
}

fn verdict(appraisal: &Appraisal, hints: &[String], paint: Paint) -> String {
    let Some(culprit) = appraisal.culprit() else {
        return format!("{} (exit code 0)\n", paint.good("accepted"));
    };
    let mut text = String::new();
    for (path, finding) in all_findings(appraisal).filter(|(_, finding)| finding.status == FindingStatus::Fail) {
        let line = visible(&format!("{path}: {}: {}", finding.code, finding.message));
        text.push_str(&beside(&format!("{} ", mark(CheckStatus::Fail, paint)), &line, COLUMNS, 2));
    }
    text.push_str(&format!("{} (exit code {})\n", paint.bad(culprit.verdict()), culprit.exit_code()));
    let mut lines = vec![remedy(culprit).to_owned()];
    lines.extend(hints.iter().cloned());
    lines.iter().for_each(|line| text.push_str(&wrapped(&visible(line), COLUMNS, 2)));
    text
}

fn findings(findings: &[DeviceFinding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let status = match finding.status {
            FindingStatus::Pass => CheckStatus::Pass,
            FindingStatus::Fail => CheckStatus::Fail,
            FindingStatus::NotChecked => CheckStatus::Skipped,
        };
        let head = format!("  {} {:<CODE_COLUMN$} ", mark(status, paint), finding.code);
        let open = if status == CheckStatus::Skipped { "not checked: " } else { "" };
        let message = visible(&format!("{open}{}", finding.message));
        text.push_str(&beside(&head, &message, COLUMNS, CODE_COLUMN + 5));
    }
    text
}

/// The object that a program reads.
pub(super) fn object(appraisal: &Appraisal, files: &EndorsementFiles) -> Object {
    let claims = claims(appraisal, files);
    let failed = all_findings(appraisal).filter(|(_, finding)| finding.status == FindingStatus::Fail);
    let reason = |(path, finding): (&str, &DeviceFinding)| Reason {
        code: finding.code.clone(),
        message: format!("{path}: {}", finding.message),
    };
    match appraisal.culprit() {
        None => Object::accepted(claims),
        Some(culprit) => Object::refused(culprit, or_internal(failed.map(reason).collect(), culprit), claims),
    }
}

/// A refusal has a reason.
fn or_internal(reasons: Vec<Reason>, culprit: Culprit) -> Vec<Reason> {
    if !reasons.is_empty() {
        return reasons;
    }
    vec![Reason {
        code: "evidence-genuine".to_owned(),
        message: format!("nothing was found genuine: {}", culprit.verdict()),
    }]
}

fn claims(appraisal: &Appraisal, files: &EndorsementFiles) -> Value {
    let row = |path: &str, finding: &DeviceFinding| {
        let DeviceFinding { code, status, message, culprit, rule: _ } = finding;
        json!({ "path": path, "code": code, "status": status, "message": message, "culprit": culprit })
    };
    let mut checks = Vec::new();
    for device in appraisal.devices() {
        checks.extend(device.findings().iter().map(|finding| row(device.name(), finding)));
    }
    checks.extend(appraisal.whole().iter().map(|finding| row(WHOLE, finding)));
    json!({
        "tier": appraisal.tier(),
        "policy": appraisal.policy(),
        "appraised_at": instant::rfc3339(appraisal.at()),
        "valid_until": appraisal.valid_until().map(instant::rfc3339),
        "grade": appraisal.grade(),
        "device_binding": appraisal.binding(),
        "relay_limit": appraisal.relay_limit(),
        "devices": appraisal.devices().iter().map(device).collect::<Vec<_>>(),
        "endorsements": files.digests.iter().map(|(path, digest)| json!({ "file": path, "sha256": digest })).collect::<Vec<_>>(),
        "unused_endorsements": files.unknown,
        "checks": checks,
    })
}

fn device(device: &DeviceAppraisal) -> Value {
    let claims = device.claims().map(|claims| {
        let mut value = json!(claims);
        if let Some(fields) = value.as_object_mut() {
            // Both stand among the checks and below, in the words that people use.
            fields.remove("not_checked");
            fields.remove("valid_until");
        }
        value
    });
    json!({
        "name": device.name(),
        "source": device.source(),
        "kind": device.kind(),
        "verdict": device.culprit().map_or("accepted", Culprit::verdict),
        "tier": device.tier(),
        "trustworthiness_vector": device.trust_vector(),
        "evidence_sha256": device.evidence(),
        "grade": device.claims().map(|claims| claims.grade),
        "anchor": device.claims().map(|claims| &claims.anchor),
        "valid_until": device.claims().map(|claims| instant::rfc3339(claims.valid_until)),
        "claims": claims,
    })
}

fn all_findings(appraisal: &Appraisal) -> impl Iterator<Item = (&str, &DeviceFinding)> {
    let devices = appraisal.devices().iter();
    let devices = devices.flat_map(|device| device.findings().iter().map(|finding| (device.name(), finding)));
    devices.chain(appraisal.whole().iter().map(|finding| (WHOLE, finding)))
}
