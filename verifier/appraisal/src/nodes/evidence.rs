//! **Duty.** A node's evidence sets: genuine, about this node's key and heads, from exactly the roster's devices.
//! **Knows** bindings and claims. **Does not know** whether claims are liked (`policy`).
//! **Spec.** PROTOCOL §3 (Binding), EVIDENCE §0.

use std::collections::BTreeSet;

use weighbridge_attest::{BoundSet, Endorsements, verify_set_with};
use weighbridge_attest_types::{
    Binding, BindingStage, Digest32, NodeKey, PlatformClaims, RosterRow, TdxTcb, TrustAnchors, UnixMillis,
};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{EvidencePart, HeadQuotePart, NodeParts};
use crate::nodes::NodeChain;
use crate::text;

/// One evidence set that reached `Bound`.
#[derive(Debug)]
pub(crate) struct BoundEvidence<'a> {
    path: &'a str,
    set: BoundSet,
}

impl BoundEvidence<'_> {
    pub(crate) const fn path(&self) -> &str {
        self.path
    }

    pub(crate) const fn set(&self) -> &BoundSet {
        &self.set
    }

    /// Claims of the CPU platform, then of the accelerators.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &PlatformClaims> {
        std::iter::once(self.set.cpu()).chain(self.set.devices())
    }
}

/// A chain that is sound and whose whole evidence is genuine and about it.
#[derive(Debug)]
pub(crate) struct CheckedChain<'a> {
    chain: &'a NodeChain<'a>,
    evidence: Vec<BoundEvidence<'a>>,
}

impl<'a> CheckedChain<'a> {
    pub(crate) const fn chain(&self) -> &'a NodeChain<'a> {
        self.chain
    }

    /// The key quote, then the head quotes.
    pub(crate) fn evidence(&self) -> &[BoundEvidence<'a>] {
        &self.evidence
    }

    /// Indices of the heads whose evidence holds.
    pub(crate) fn quoted(&self) -> Vec<u64> {
        self.chain.parts().head_quotes.iter().map(|quote| quote.index).collect()
    }
}

/// What evidence is verified with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub(crate) endorsements: &'a Endorsements,
    pub(crate) anchors: &'a TrustAnchors,
    pub(crate) now: UnixMillis,
}

/// Checks all evidence of one chain at one instant. `None` unless its chain is sound and every check holds; what could
/// be verified without a chain is verified all the same.
pub(crate) fn check_evidence<'a>(
    row: &RosterRow,
    parts: &'a NodeParts,
    chain: Option<&'a NodeChain<'a>>,
    genesis: Digest32,
    trust: Trust<'_>,
    checks: &mut Checks,
) -> Option<CheckedChain<'a>> {
    let is_first = parts.place == 0;
    // The roster names the first key only. Whose a later one is shows in the chain that it signs.
    let node_key = if is_first { row.node_key } else { parts.ledger.start.node_key };
    let about = Subject { row, node_key, is_first, chain, genesis };
    let mut sets = vec![check_key_quote(about, &parts.key_quote, trust, checks)];
    for quote in &parts.head_quotes {
        sets.push(check_head_quote(about, quote, trust, checks));
    }
    let evidence: Option<Vec<_>> = sets.into_iter().collect();
    let chain = chain.filter(|chain| chain.is_sound())?;
    Some(CheckedChain { chain, evidence: evidence? })
}

/// A key quote introduces a node key before that key signs anything. The roster cites that of the first key.
fn check_key_quote<'a>(
    about: Subject<'_>,
    quote: &'a EvidencePart,
    trust: Trust<'_>,
    checks: &mut Checks,
) -> Option<BoundEvidence<'a>> {
    let binding = &quote.set.binding;
    let mut found = vec![
        ("evidence-stage", is_of_stage(binding, BindingStage::Key)),
        ("evidence-node-key", is_about_key(binding, about.node_key)),
        ("evidence-devices", comes_from(quote, about.row)),
    ];
    if about.is_first {
        found.push(("key-quote-roster", is_the_rosters(quote, about.row)));
    }
    finish(quote, about.row, found, trust, checks)
}

/// What evidence must be about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    row: &'a RosterRow,
    node_key: NodeKey,
    is_first: bool,
    chain: Option<&'a NodeChain<'a>>,
    genesis: Digest32,
}

fn check_head_quote<'a>(
    about: Subject<'_>,
    quote: &'a HeadQuotePart,
    trust: Trust<'_>,
    checks: &mut Checks,
) -> Option<BoundEvidence<'a>> {
    let binding = &quote.evidence.set.binding;
    let found = vec![
        ("evidence-stage", is_of_stage(binding, BindingStage::Head)),
        ("evidence-genesis", is_about_run(binding, about.genesis)),
        ("evidence-node-key", is_about_key(binding, about.node_key)),
        ("evidence-index", is_about_index(binding, quote.index)),
        ("evidence-head", is_about_head(binding, about.chain)),
        ("evidence-devices", comes_from(&quote.evidence, about.row)),
    ];
    finish(&quote.evidence, about.row, found, trust, checks)
}

/// Records what was found and verifies the set itself, whatever was found: the two are independent.
fn finish<'a>(
    quote: &'a EvidencePart,
    row: &RosterRow,
    found: Vec<(&'static str, CheckResult)>,
    trust: Trust<'_>,
    checks: &mut Checks,
) -> Option<BoundEvidence<'a>> {
    let verified = verify_set_with(&quote.set, trust.endorsements, trust.anchors, trust.now);
    let result = match &verified {
        Ok(set) => Ok(format!(
            "genuine and bound; endorsements are valid until {}{}",
            text::instant(set.valid_until()),
            standing(set.cpu())
        )),
        Err(error) => Err(Finding::fail(error.culprit(), text::chain(error))),
    };
    let mut holds = checks.record(&quote.path, "evidence-genuine", result);
    holds = checks.record(&quote.path, "evidence-cpu", comes_from_cpu(verified.as_ref().ok(), row)) && holds;
    for (code, result) in found {
        holds = checks.record(&quote.path, code, result) && holds;
    }
    verified.ok().filter(|_| holds).map(|set| BoundEvidence { path: &quote.path, set })
}

/// By which of Intel's evaluations a TDX platform was judged, and how it stands (EVIDENCE §2.3).
fn standing(cpu: &PlatformClaims) -> String {
    let Some(TdxTcb { status, evaluation_number, relaunch_advised, .. }) = cpu.tdx.as_ref().map(|tdx| &tdx.tcb) else {
        return String::new();
    };
    let relaunch = if *relaunch_advised { ", relaunch advised" } else { "" };
    format!("; TCB {status:?} by evaluation {evaluation_number}{relaunch}")
}

fn is_of_stage(binding: &Binding, stage: BindingStage) -> CheckResult {
    let (wanted, other) = match stage {
        BindingStage::Key => ("introduces a node key", "it is bound to a run or a head, as a key quote may not be"),
        BindingStage::Head => ("is about a ledger head", "it introduces a node key instead of quoting a head"),
    };
    match binding.stage == stage && binding.is_consistent() {
        true => Ok(wanted.to_owned()),
        false => Err(Finding::untrusted(other)),
    }
}

fn is_about_run(binding: &Binding, genesis: Digest32) -> CheckResult {
    match binding.genesis == genesis {
        true => Ok("is about this run".to_owned()),
        false => Err(Finding::untrusted(format!("is about run {}, not {genesis}", binding.genesis))),
    }
}

fn is_about_key(binding: &Binding, node_key: NodeKey) -> CheckResult {
    let wanted = node_key.digest();
    match binding.node_key_digest == wanted {
        true => Ok("is about the key of this chain".to_owned()),
        false => Err(Finding::untrusted(format!("is about node key {}, not {wanted}", binding.node_key_digest))),
    }
}

fn is_about_index(binding: &Binding, index: u64) -> CheckResult {
    match binding.index == index {
        true => Ok(format!("is about index {index}")),
        false => Err(Finding::untrusted(format!("is about index {}, filed under {index}", binding.index))),
    }
}

fn is_about_head(binding: &Binding, chain: Option<&NodeChain<'_>>) -> CheckResult {
    let Some(chain) = chain else {
        return Err(Finding::skipped("the ledger does not hold together, so no head of it can be compared"));
    };
    match chain.ledger().head(binding.index) {
        Some(head) if head == binding.head => Ok(format!("quotes head {} of this chain", binding.index)),
        Some(_) => Err(Finding::untrusted(format!("quotes another head {} than this chain has", binding.index))),
        None => Err(Finding::untrusted(format!(
            "quotes head {}; the chain ends at {}",
            binding.index,
            chain.ledger().last_index()
        ))),
    }
}

fn is_the_rosters(quote: &EvidencePart, row: &RosterRow) -> CheckResult {
    match quote.digest == row.key_quote {
        true => Ok("is the key quote that the roster cites".to_owned()),
        false => Err(Finding::untrusted(format!("has digest {}; the roster cites {}", quote.digest, row.key_quote))),
    }
}

/// The CPU platform is the row's, by its certificate.
fn comes_from_cpu(set: Option<&BoundSet>, row: &RosterRow) -> CheckResult {
    let Some(set) = set else {
        return Err(Finding::skipped("only genuine evidence tells which CPU platform it comes from"));
    };
    match set.cpu().device {
        Some(device) if device == row.cpu => Ok(format!("comes from CPU platform {}", text::short(device))),
        Some(device) => {
            let (found, wanted) = (text::short(device), text::short(row.cpu));
            Err(Finding::untrusted(format!("comes from CPU platform {found}; the roster row has {wanted}")))
        }
        None => Err(Finding::unknown("the vendor masks this CPU platform: completeness rests on the accelerators")),
    }
}

/// The accelerators that answered are exactly the row's; the CPU's kind is the row's. That the devices are what their
/// certificates say is part of `evidence-genuine`.
fn comes_from(quote: &EvidencePart, row: &RosterRow) -> CheckResult {
    let wanted: BTreeSet<_> = row.devices.iter().map(|device| (device.device, &device.kind)).collect();
    let found: BTreeSet<_> = quote.set.devices.iter().map(|device| (device.device, &device.kind)).collect();
    let missing = wanted.difference(&found).map(|(device, kind)| format!("{kind} {} is missing", text::short(*device)));
    let added =
        found.difference(&wanted).map(|(device, kind)| format!("{kind} {} is not in the roster", text::short(*device)));
    let mut wrong: Vec<String> = missing.chain(added).collect();
    if quote.set.cpu.kind != row.cpu_kind {
        wrong.push(format!("the CPU evidence is `{}`, the roster row says `{}`", quote.set.cpu.kind, row.cpu_kind));
    }
    match wrong.is_empty() {
        true => Ok(format!("names exactly the roster's accelerators: {}", row.devices.len())),
        false => Err(Finding::untrusted(text::list(wrong))),
    }
}
