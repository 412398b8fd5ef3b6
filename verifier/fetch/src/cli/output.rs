//! **Duty.** Results as lines and as one object. **Spec.** PROTOCOL §8: `{"verdict", "reasons", "claims"}`.

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use weighbridge_attest_types::{Culprit, format_instant};

use super::worst;
use crate::error::FetchError;
use crate::job::{Fetched, Outcome};

type Results = [Result<Fetched, Arc<FetchError>>];

/// A bar over all jobs; drawn on a terminal only.
pub(super) fn bar(jobs: usize, draws: bool) -> ProgressBar {
    if !draws {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} of {len}  {wide_msg}");
    let bar = ProgressBar::new(jobs as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// One line per statement; failures go to standard error.
pub(super) fn text(results: &Results, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut lines = String::new();
    for fetched in results.iter().flatten() {
        let until = fetched.until.map_or_else(String::new, |until| format!("  valid until {}", format_instant(until)));
        let outcome = match fetched.outcome {
            Outcome::Kept => "kept",
            Outcome::Fetched => "fetched",
        };
        lines.push_str(&format!("{outcome:<8} {}{until}\n", fetched.name));
    }
    tell_failures(results, err);
    finish(out, &lines, worst(results))
}

/// The one object.
pub(super) fn json(results: &Results, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    tell_failures(results, err);
    let culprit = worst(results);
    let reason = |error: &Arc<FetchError>| json!({ "code": error.code(), "message": error.chain() });
    let reasons: Vec<Value> = results.iter().filter_map(|result| result.as_ref().err()).map(reason).collect();
    let item = |fetched: &Fetched| {
        let mut item = json!(fetched);
        item["valid_until"] = json!(fetched.until.map(format_instant));
        item
    };
    let items: Vec<Value> = results.iter().flatten().map(item).collect();
    let verdict = culprit.map_or("accepted", Culprit::verdict);
    let object = json!({ "verdict": verdict, "reasons": reasons, "claims": { "items": items } });
    finish(out, &format!("{object:#}\n"), culprit)
}

/// A command line that does not parse.
pub(super) fn usage(error: &clap::Error, arguments: &[OsString], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let text = error.render().to_string();
    let _ = err.write_all(text.as_bytes());
    let pairs = arguments.windows(2).any(|pair| pair == ["--format", "json"]);
    if pairs || arguments.iter().any(|argument| argument == "--format=json") {
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let reasons = json!([{ "code": "command-line", "message": message }]);
        let object = json!({ "verdict": Culprit::Usage.verdict(), "reasons": reasons, "claims": {} });
        return finish(out, &format!("{object:#}\n"), Some(Culprit::Usage));
    }
    Culprit::Usage.exit_code()
}

/// Prints an answer.
pub(super) fn said(out: &mut dyn Write, text: &str) -> u8 {
    finish(out, text, None)
}

fn tell_failures(results: &Results, err: &mut dyn Write) {
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        let lines = format!("error: {}\n  {}\n", plain(&error.chain()), error.remedy());
        // What goes wrong while saying what went wrong cannot be said.
        let _ = err.write_all(lines.as_bytes());
    }
}

/// What a server says must not repaint a terminal.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// An answer that nobody got is no success.
fn finish(out: &mut dyn Write, text: &str, culprit: Option<Culprit>) -> u8 {
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match (printed, culprit) {
        (Err(_), None) => Culprit::Unavailable.exit_code(),
        (_, culprit) => culprit.map_or(0, Culprit::exit_code),
    }
}
