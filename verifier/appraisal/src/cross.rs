//! **Duty.** What only shows when nodes are laid side by side: a roster that is not whole, forks, one device that
//! answers for two. **Does not know** what any single node proves. **Spec.** PROTOCOL §3 (RunManifest), COMPUTE §9.

use std::collections::BTreeMap;

use weighbridge_attest_types::{Culprit, Device, ManifestError, RunManifest};
use weighbridge_ledger::{CheckedLedger, check_forks};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{Parts, name, node_folder};
use crate::nodes::{CheckedNode, NodeChain};
use crate::text;

/// The manifest makes sense, every row has its node and every node its row.
pub(crate) fn check_roster(parts: &Parts, checks: &mut Checks) {
    checks.record(name::MANIFEST, "manifest", makes_sense(&parts.manifest));
    checks.record(name::MANIFEST, "roster-complete", is_complete(parts));
}

/// No two of the chains that hold together are one, or continue the same head.
pub(crate) fn check_chains<'a>(chains: impl Iterator<Item = &'a Option<NodeChain<'a>>>, checks: &mut Checks) {
    let ledgers: Vec<&CheckedLedger> = chains.flatten().map(NodeChain::ledger).collect();
    let result = match check_forks(&ledgers) {
        Ok(()) => Ok(format!("{} chains, none a fork of another", ledgers.len())),
        Err(error) => Err(Finding::fail(error.culprit(), text::chain(&error))),
    };
    checks.record("bundle", "ledger-forks", result);
}

/// No device answers for two nodes, by the certificates and not by the roster's word.
pub(crate) fn check_devices(nodes: &[CheckedNode<'_>], rows: usize, checks: &mut Checks) {
    let mut owners: BTreeMap<Device, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        let folder = node.folder();
        for device in node.claims().filter_map(|claims| claims.device) {
            let owned_by = owners.entry(device).or_default();
            if !owned_by.contains(&folder) {
                owned_by.push(folder);
            }
        }
    }
    let count = owners.len();
    let shared = owners.into_iter().filter(|(_, folders)| folders.len() > 1);
    let wrong: Vec<_> = shared.map(|(device, folders)| format!("{} in {}", device.0, folders.join(" and "))).collect();
    let result = match (wrong.is_empty(), nodes.len() == rows) {
        (false, _) => Err(Finding::untrusted(format!("a device answers for two nodes: {}", text::list(wrong)))),
        (true, true) => Ok(format!("{count} devices, each in one node")),
        (true, false) => Err(Finding::skipped("only genuine evidence of every node tells whose devices answered")),
    };
    checks.record("bundle", "devices-distinct", result);
}

fn makes_sense(manifest: &RunManifest) -> CheckResult {
    match manifest.check() {
        Ok(()) => Ok(format!("genesis {}", manifest.genesis())),
        Err(error) => {
            let culprit = match error {
                ManifestError::SpecScheme(_) => Culprit::Unsupported,
                _ => Culprit::Malformed,
            };
            Err(Finding::fail(culprit, text::chain(&error)))
        }
    }
}

fn is_complete(parts: &Parts) -> CheckResult {
    let rows = parts.manifest.roster.len() as u64;
    let missing = (0..rows).filter(|number| !parts.nodes.contains_key(number));
    let missing = missing.map(|number| format!("{} is missing", node_folder(number)));
    let added = parts.nodes.keys().filter(|&&number| number >= rows);
    let added = added.map(|number| format!("{} has no roster row", node_folder(*number)));
    let wrong: Vec<_> = missing.chain(added).collect();
    match wrong.is_empty() {
        true => Ok(format!("{rows} roster rows, each with its node")),
        false => Err(Finding::untrusted(text::list(wrong))),
    }
}
