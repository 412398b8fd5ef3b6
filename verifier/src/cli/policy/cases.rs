//! **Duty.** `weighbridge policy test`: a policy against expectations, and against another policy over the same evidence.
//! **Does not know** how evidence is judged. **Spec.** docs/policy.md; docs/schemas/policy-cases-v1.schema.json.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use weighbridge_appraisal::{Appraisal, Asked, CheckStatus, FindingStatus, PolicyName};
use weighbridge_attest::kinds;
use weighbridge_attest_types::{AppraisalPolicy, Culprit, TrustAnchors};

use super::policy_or_built_in;
use crate::cli::Format;
use crate::cli::appraise::{Question, SET, hex_of, policy_at};
use crate::cli::console::{Console, Paint};
use crate::cli::object::{Object, Reason};
use crate::cli::outcome::mark;
use crate::error::CliError;
use crate::prose::beside;
use crate::visible::visible;
use crate::{evidence, files, instant, strict, trust_roots};

const FORMAT: &str = "weighbridge/policy-cases/v1";
/// Longest file of cases. Source: ours; a case has some hundred bytes.
const MAX_CASES_BYTES: u64 = 1 << 20;
/// Cases of one file.
const MAX_CASES: usize = 1_024;
const COLUMNS: usize = 100;

/// Tries a policy on evidence: does it say what is expected, and what would change against another policy
#[derive(Debug, Args)]
#[command(after_help = "Examples: weighbridge policy test mine.json --case cases.json; \
    weighbridge policy test mine.json --case cases.json --against built-in")]
pub(in crate::cli) struct TestArgs {
    /// A policy file
    policy: PathBuf,
    /// A file of cases: evidence with what is expected of it
    #[arg(long, value_name = "FILE", required = true)]
    case: Vec<PathBuf>,
    /// Also tell what changes against this policy: a file, or built-in
    #[arg(long, value_name = "FILE|built-in")]
    against: Option<PathBuf>,
    /// Folder of additional trust anchors (*.anchor.json)
    #[arg(long, value_name = "DIR")]
    trust_roots: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    format: String,
    #[serde(deserialize_with = "strict::objects_at_most::<MAX_CASES, _, _>")]
    cases: Vec<Case>,
}

/// Paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    kind: String,
    evidence: Vec<PathBuf>,
    #[serde(default)]
    endorsements: Vec<PathBuf>,
    at: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    report_data: Option<String>,
    #[serde(default, deserialize_with = "strict::optional_object")]
    expect: Option<Expectation>,
}

/// What is left out is not expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    verdict: String,
    #[serde(default)]
    tier: Option<String>,
    /// Codes that must be among the reasons.
    #[serde(default)]
    reasons: Vec<String>,
}

/// How a case turned out.
#[derive(Debug)]
struct Tried {
    name: String,
    found: Appraisal,
    /// What was expected and is not so.
    unmet: Vec<String>,
    before: Option<Appraisal>,
}

impl TestArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let policy = policy_at(&self.policy)?;
        let against = match &self.against {
            None => None,
            Some(word) if word.as_os_str() == "built-in" => Some(policy_or_built_in(None)?),
            Some(path) => Some(policy_at(path)?),
        };
        let anchors = trust_roots::load(self.trust_roots.as_deref())?;
        let mut tried = Vec::new();
        for path in &self.case {
            for case in read(path)? {
                tried.push(case.attempt(path, &policy, against.as_ref(), &anchors)?);
            }
        }
        let unmet = tried.iter().any(|tried| !tried.unmet.is_empty());
        match self.format {
            Format::Text => {
                let text = text(&policy, against.as_ref(), &tried, console.out_paint());
                console.print(&text)?;
            }
            Format::Json => object(&policy, against.as_ref(), &tried).print(console)?,
        }
        Ok(if unmet { Culprit::Rejected.exit_code() } else { 0 })
    }
}

fn read(path: &Path) -> Result<Vec<Case>, CliError> {
    let bytes = files::read_capped(path, MAX_CASES_BYTES)?;
    let refused = |why: String| CliError::Cases { path: path.to_owned(), why };
    let file: CaseFile = strict::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    match (file.format == FORMAT, file.cases.is_empty()) {
        (false, _) => Err(refused(format!("its format is {:?}, not {FORMAT:?}", file.format))),
        (true, true) => Err(refused("it has no case".to_owned())),
        (true, false) => Ok(file.cases),
    }
}

impl Case {
    fn attempt(
        &self,
        file: &Path,
        policy: &AppraisalPolicy,
        against: Option<&AppraisalPolicy>,
        anchors: &TrustAnchors,
    ) -> Result<Tried, CliError> {
        let refused =
            |why: String| CliError::Cases { path: file.to_owned(), why: format!("case {:?}: {why}", self.name) };
        let at = instant::parse(&self.at).map_err(|error| refused(error.to_string()))?;
        if !kinds().chain([SET]).any(|kind| kind == self.kind) {
            return Err(refused(format!("kind {:?} is not known", self.kind)));
        }
        let below = |paths: &[PathBuf]| -> Vec<PathBuf> {
            let folder = file.parent().unwrap_or(Path::new(""));
            paths.iter().map(|path| folder.join(path)).collect()
        };
        let question = Question {
            kind: self.kind.clone(),
            evidence: below(&self.evidence),
            asked: self.asked().map_err(refused)?,
            roster: None,
            manifest: None,
        };
        let mut endorsements = evidence::read_endorsements(&below(&self.endorsements))?;
        let found = question.appraise(&mut endorsements, policy, anchors, at)?;
        let before = against.map(|policy| question.appraise(&mut endorsements, policy, anchors, at)).transpose()?;
        let unmet = self.expect.as_ref().map(|expect| expect.unmet(&found)).unwrap_or_default();
        Ok(Tried { name: self.name.clone(), found, unmet, before })
    }

    fn asked(&self) -> Result<Option<Asked>, String> {
        match (&self.nonce, &self.report_data) {
            (None, None) => Ok(None),
            (Some(nonce), None) => hex_of(nonce).map(|bytes| Some(Asked::Nonce(bytes))),
            (None, Some(data)) => hex_of(data).map(|bytes| Some(Asked::ReportData(bytes))),
            (Some(_), Some(_)) => Err("it asks for a nonce and for report data".to_owned()),
        }
    }
}

impl Expectation {
    fn unmet(&self, found: &Appraisal) -> Vec<String> {
        let mut unmet = Vec::new();
        let verdict = verdict(found);
        if verdict != self.verdict {
            unmet.push(format!("verdict is {verdict}, expected was {}", self.verdict));
        }
        let tier = found.tier().as_str();
        if self.tier.as_ref().is_some_and(|wanted| wanted != tier) {
            unmet.push(format!("tier is {tier}, expected was {}", self.tier.as_deref().unwrap_or_default()));
        }
        let failed = codes(found, FindingStatus::Fail);
        let missing = self.reasons.iter().filter(|wanted| !failed.contains(&wanted.as_str()));
        unmet.extend(missing.map(|code| format!("{code} is not among the reasons")));
        unmet
    }
}

fn verdict(appraisal: &Appraisal) -> &'static str {
    appraisal.culprit().map_or("accepted", Culprit::verdict)
}

fn codes(appraisal: &Appraisal, status: FindingStatus) -> Vec<&str> {
    let devices = appraisal.devices().iter().flat_map(|device| device.findings());
    let all = devices.chain(appraisal.whole());
    all.filter(|finding| finding.status == status).map(|finding| finding.code.as_str()).collect()
}

/// One check of one device that another policy decides otherwise. The evidence is the same, so only rules can differ.
fn changes(before: &Appraisal, found: &Appraisal) -> Vec<Value> {
    let rows = |appraisal: &Appraisal| -> Vec<(String, String, String, FindingStatus)> {
        let mut rows = Vec::new();
        for device in appraisal.devices() {
            for finding in device.findings() {
                // Waived rules of one reason stand together; apart they can be compared.
                let rule = finding.rule.clone().unwrap_or_default();
                let parts = rule.split(", ").map(str::to_owned);
                rows.extend(parts.map(|rule| (device.name().to_owned(), finding.code.clone(), rule, finding.status)));
            }
        }
        rows
    };
    let (before, found) = (rows(before), rows(found));
    let mut changes = Vec::new();
    for (path, code, rule, to) in &found {
        let same = |row: &&(String, String, String, FindingStatus)| (&row.0, &row.1, &row.2) == (path, code, rule);
        let from = before.iter().find(same).map(|row| row.3);
        if from != Some(*to) {
            changes.push(json!({ "path": path, "code": code, "rule": rule, "from": from, "to": to }));
        }
    }
    for (path, code, rule, from) in &before {
        if !found.iter().any(|row| (&row.0, &row.1, &row.2) == (path, code, rule)) {
            changes.push(json!({ "path": path, "code": code, "rule": rule, "from": from, "to": null }));
        }
    }
    changes
}

fn text(policy: &AppraisalPolicy, against: Option<&AppraisalPolicy>, tried: &[Tried], paint: Paint) -> String {
    let named = |policy: &AppraisalPolicy| {
        let PolicyName { id, version, sha256 } = PolicyName::of(policy);
        format!("{} v{version} sha256:{sha256}\n", visible(&id))
    };
    let mut text = format!("policy   {}", named(policy));
    text.push_str(&against.map(|policy| format!("against  {}", named(policy))).unwrap_or_default());
    for Tried { name, found, unmet, before } in tried {
        let status = if unmet.is_empty() { CheckStatus::Pass } else { CheckStatus::Fail };
        let came = format!("{}: {} ({})", visible(name), verdict(found), found.tier().as_str());
        text.push_str(&beside(&format!("{} ", mark(status, paint)), &came, COLUMNS, 2));
        unmet.iter().for_each(|why| text.push_str(&beside("    ", &visible(why), COLUMNS, 4)));
        let Some(before) = before else { continue };
        if verdict(before) != verdict(found) {
            text.push_str(&format!("    was {}\n", verdict(before)));
        }
        for change in changes(before, found) {
            let word = |value: &Value| value.as_str().unwrap_or("not asked").to_owned();
            let rule = word(&change["rule"]);
            let rule = if rule.is_empty() { rule } else { format!(" ({rule})") };
            let (path, code) = (word(&change["path"]), word(&change["code"]));
            let line = format!("{path}: {code}{rule}: {} → {}", word(&change["from"]), word(&change["to"]));
            text.push_str(&beside("    ", &visible(&line), COLUMNS, 4));
        }
    }
    let failed = tried.iter().filter(|tried| !tried.unmet.is_empty()).count();
    let last = match failed {
        0 => paint.good("as expected"),
        _ => paint.bad(&format!("{failed} of {} cases are not as expected", tried.len())),
    };
    text + &last + "\n"
}

fn object(policy: &AppraisalPolicy, against: Option<&AppraisalPolicy>, tried: &[Tried]) -> Object {
    let case = |tried: &Tried| {
        let Tried { name, found, unmet, before } = tried;
        json!({
            "name": name,
            "verdict": verdict(found),
            "tier": found.tier(),
            "reasons": codes(found, FindingStatus::Fail),
            "as_expected": unmet.is_empty(),
            "before": before.as_ref().map(|before| json!({ "verdict": verdict(before), "tier": before.tier() })),
            "changes": before.as_ref().map(|before| changes(before, found)),
        })
    };
    let claims = json!({
        "policy": PolicyName::of(policy),
        "against": against.map(PolicyName::of),
        "cases": tried.iter().map(case).collect::<Vec<_>>(),
    });
    let mut reasons = Vec::new();
    for Tried { name, unmet, .. } in tried {
        let reason =
            |why: &String| Reason { code: "policy-case-differs".to_owned(), message: format!("{name}: {why}") };
        reasons.extend(unmet.iter().map(reason));
    }
    match reasons.is_empty() {
        true => Object::accepted(claims),
        false => Object::refused(Culprit::Rejected, reasons, claims),
    }
}
