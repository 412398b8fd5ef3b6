//! **Duty.** `weighbridge inspect`: what is in a bundle or a node export. Nothing is verified, and it says so.

use std::path::{Path, PathBuf};

use clap::Args;
use weighbridge_attest_types::{Bundle, BundleError, Canonical, MAX_BUNDLE_BYTES, MemberDigest, RunManifest, sha256};

use crate::cli::console::Console;
use crate::cli::outcome::declared_name;
use crate::error::CliError;
use crate::figures::grouped;
use crate::files;

const NOTICE: &str = "Nothing was verified: no signature, no ledger, no proof. Use weighbridge verify.";
const MANIFEST: &str = "run-manifest";
const REPORT: &str = "report.json";
/// Where the texts begin.
const HANG: usize = 13;

/// Lists what a bundle or a node export holds, without verifying anything
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge inspect run.weighbridge")]
pub(super) struct InspectArgs {
    /// A bundle or a node export; `-` reads standard input
    bundle: PathBuf,
}

impl InspectArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let bytes = files::read_capped(&self.bundle, MAX_BUNDLE_BYTES)?;
        let (kind, container) = parse(&self.bundle, &bytes)?;
        let manifest = manifest(&self.bundle, &container)?;
        console.print(&text(kind, &bytes, &container, &manifest))?;
        Ok(0)
    }
}

/// The magic bytes say which of the two it is; other bytes are reported as no bundle.
fn parse(path: &Path, bytes: &[u8]) -> Result<(&'static str, Bundle), CliError> {
    let refused = |source| CliError::Container { path: path.to_owned(), source };
    match Bundle::parse_export(bytes) {
        Ok(export) => Ok(("node export", export)),
        Err(BundleError::Magic(_)) => Ok(("bundle", Bundle::parse_bundle(bytes).map_err(refused)?)),
        Err(other) => Err(refused(other)),
    }
}

fn manifest(path: &Path, container: &Bundle) -> Result<RunManifest, CliError> {
    let bytes = container.get(MANIFEST);
    let bytes = bytes.ok_or_else(|| CliError::NoMember { path: path.to_owned(), member: MANIFEST })?;
    RunManifest::from_bytes(bytes).map_err(|source| CliError::Part { path: path.to_owned(), part: MANIFEST, source })
}

fn text(kind: &str, bytes: &[u8], container: &Bundle, manifest: &RunManifest) -> String {
    let RunManifest { provider, model_id, phase, roster, interval_millis, profiles, .. } = manifest;
    let accelerators: usize = roster.iter().map(|row| row.devices.len()).sum();
    let size = |bytes: u64| grouped(u128::from(bytes));
    let mut text = format!("{NOTICE}\n\n");
    text.push_str(&format!("{kind:<12} {} bytes, SHA-256 {}\n", size(bytes.len() as u64), sha256(bytes)));
    text.push_str(&format!("run          {}\n", manifest.genesis()));
    for (name, words) in [("model", model_id), ("provider", provider), ("phase", phase)] {
        text.push_str(&declared_name(name, words, HANG));
    }
    text.push_str(&format!("roster       {} nodes, {accelerators} accelerators\n", roster.len()));
    let chains = container.iter().filter(|(name, _)| name.starts_with("node/") && name.ends_with("/ledger"));
    let (first, later): (Vec<_>, Vec<_>) = chains.partition(|(name, _)| !name.contains("/after/"));
    if !later.is_empty() {
        let (all, later) = (first.len() + later.len(), later.len());
        text.push_str(&format!("chains       {all}, of which {later} say to continue another after a reboot\n"));
    }
    text.push_str(&format!("interval     {interval_millis} ms\n"));
    for profile in profiles {
        text.push_str(&declared_name("profile", profile, HANG));
    }
    if container.get(REPORT).is_some() {
        text.push_str(&format!("all but the report  {}\n", container.digest_without(REPORT)));
    }
    text.push_str("\nmembers      SHA-256, bytes, name\n");
    for (name, MemberDigest { size: length, sha256 }) in container.table() {
        text.push_str(&format!("  {sha256}  {:>11}  {name}\n", size(length)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_attest_types::{Culprit, Member};

    #[test]
    fn bytes_of_neither_kind_are_no_bundle() {
        let refused = parse(Path::new("x"), b"neither of both").unwrap_err();
        assert_eq!(refused.culprit(), Culprit::Malformed);
        let expected = "x does not parse: this is not a Weighbridge bundle (magic bytes differ)";
        assert_eq!(refused.chain(), expected);
    }

    #[test]
    fn a_container_without_a_manifest_says_what_is_missing() {
        let mut export = Bundle::new_export();
        export.insert(Member { name: "ledger".to_owned(), bytes: vec![1] }).unwrap();
        let (kind, container) = parse(Path::new("x"), &export.to_bytes()).unwrap();
        assert_eq!(kind, "node export");
        assert_eq!(manifest(Path::new("x"), &container).unwrap_err().to_string(), "x has no member `run-manifest`");
    }
}
