//! **Duty.** `weighbridge policy`: what an appraisal policy asks, whether a file is one, and what it would say about evidence
//! that lies here. **Does not know** which rules there are. **Spec.** PROTOCOL §6; docs/policy.md.

mod cases;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weighbridge_appraisal::PolicyName;
use weighbridge_attest_types::AppraisalPolicy;

use crate::cli::Format;
use crate::cli::appraise::policy_at;
use crate::cli::console::Console;
use crate::cli::object::{Object, pretty};
use crate::error::CliError;
use crate::prose::{beside, wrapped};
use crate::visible::visible;

const COLUMNS: usize = 100;
const HANG: usize = 34;
/// Fields of a policy that are no rules.
const NAMES: [&str; 2] = ["id", "version"];

/// Shows, checks and tries appraisal policies
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    Show(ShowArgs),
    Check(PolicyCheckArgs),
    Test(cases::TestArgs),
}

/// Prints a policy as JSON, in the one spelling that is read and hashed: the built-in one, or that of a file
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge policy show > mine.json")]
pub(super) struct ShowArgs {
    /// A policy file
    policy: Option<PathBuf>,
}

/// Reads a policy and says what it requires and what it waives
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge policy check mine.json")]
pub(super) struct PolicyCheckArgs {
    /// A policy file
    policy: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl PolicyCommand {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        match self {
            Self::Show(arguments) => arguments.run(console),
            Self::Check(arguments) => arguments.run(console),
            Self::Test(arguments) => arguments.run(console),
        }
    }

    /// The format; a policy that is shown is JSON and no answer.
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Show(_) => Format::Text,
            Self::Check(arguments) => arguments.format,
            Self::Test(arguments) => arguments.format,
        }
    }
}

impl ShowArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        console.print(&pretty(&policy_or_built_in(self.policy.as_deref())?, "the policy")?)?;
        Ok(0)
    }
}

impl PolicyCheckArgs {
    fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let policy = policy_at(&self.policy)?;
        let name = PolicyName::of(&policy);
        let rules = rules(&policy);
        match self.format {
            Format::Json => Object::accepted(json!({ "policy": name, "rules": rules })).print(console)?,
            Format::Text => console.print(&text(&name, &rules))?,
        }
        Ok(0)
    }
}

fn policy_or_built_in(path: Option<&Path>) -> Result<AppraisalPolicy, CliError> {
    path.map_or_else(|| Ok(AppraisalPolicy::built_in()), policy_at)
}

fn text(name: &PolicyName, rules: &[Value]) -> String {
    let mut text = format!("{} v{}\nsha256:{}\n", visible(&name.id), name.version, name.sha256);
    let waived = |rule: &&Value| rule["waived"] == true;
    for (title, wanted) in [("required", false), ("waived", true)] {
        let found: Vec<&Value> = rules.iter().filter(|rule| waived(rule) == wanted).collect();
        text.push_str(&format!("\n{title}\n"));
        if found.is_empty() {
            text.push_str("  nothing\n");
        }
        for rule in found {
            let (place, wish) = (rule["rule"].as_str().unwrap_or_default(), said(&rule["requirement"]));
            text.push_str(&beside(&format!("  {place:<HANG$} "), &visible(&wish), COLUMNS, HANG + 3));
        }
    }
    text + &wrapped("What a policy waives is printed as not checked, with its reason, and lowers the tier.", COLUMNS, 0)
}

/// A requirement as a person says it.
fn said(requirement: &Value) -> String {
    let Some((word, value)) = requirement.as_object().and_then(|fields| fields.iter().next()) else {
        return requirement.to_string();
    };
    match (word.as_str(), value) {
        ("waived", value) => value["reason"].as_str().unwrap_or_default().to_owned(),
        ("one-of", Value::Array(values)) => {
            format!("one of {}", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        (word, value) => format!("{} {value}", word.replace('-', " ")),
    }
}

/// Every requirement with its place, wherever it stands: an object of one of four words.
fn rules(policy: &AppraisalPolicy) -> Vec<Value> {
    let mut found = Vec::new();
    if let Value::Object(fields) = json!(policy) {
        for (name, value) in fields.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())) {
            gather(&format!("/{name}"), value, &mut found);
        }
    }
    found
}

fn gather(place: &str, value: &Value, found: &mut Vec<Value>) {
    let Value::Object(fields) = value else { return };
    let words = ["equals", "at-least", "one-of", "waived"];
    match fields.iter().next() {
        Some((word, _)) if fields.len() == 1 && words.contains(&word.as_str()) => {
            found.push(json!({ "rule": place, "waived": word == "waived", "requirement": value }));
        }
        _ => fields.iter().for_each(|(name, value)| gather(&format!("{place}/{name}"), value, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_built_in_policy_is_found_with_its_place() {
        let rules = rules(&AppraisalPolicy::built_in());
        let of = |place: &str| rules.iter().find(|rule| rule["rule"] == place).unwrap_or_else(|| panic!("{place}"));
        assert_eq!(
            (&of("/debug")["waived"], said(&of("/debug")["requirement"])),
            (&json!(false), "equals false".to_owned())
        );
        assert_eq!(said(&of("/tdx/tcb_status")["requirement"]), "one of \"UpToDate\"");
        assert_eq!(of("/sev_snp/milan/reported")["waived"], true);
        let text = serde_json::to_string(&AppraisalPolicy::built_in()).unwrap();
        let words = ["\"equals\":", "\"at-least\":", "\"one-of\":", "\"waived\":"];
        assert_eq!(rules.len(), words.iter().map(|word| text.matches(word).count()).sum::<usize>());
    }
}
