//! **Duty.** A node as the chains of its keys: each continues the last head of the one before it that evidence quotes.
//! **Knows** checked chains, and that a roster row's devices are the same under every key. **Does not know** how
//! evidence was verified. **Spec.** PROTOCOL §3 (RunManifest: "a later key counts only if …").

use weighbridge_attest_types::{ChipFamily, Device, Grade, PlatformClaims, RosterRow, UnixMillis};
use weighbridge_ledger::{LedgerError, check_succession};

use crate::check::{CheckResult, Checks, Finding};
use crate::ingest::{NodeParts, name};
use crate::nodes::{BoundEvidence, CheckedChain};
use crate::text;

/// A roster row with the chains of its keys, at least one, in order: each stands behind the one it continues.
#[derive(Debug)]
pub(crate) struct CheckedNode<'a> {
    row: &'a RosterRow,
    folder: &'a str,
    chains: Vec<CheckedChain<'a>>,
}

impl<'a> CheckedNode<'a> {
    /// `found` has one slot for each of `parts`, empty where a chain or its evidence does not hold. Every later chain is
    /// held against the one before it, whatever else failed; `None` unless all of them hold.
    pub(crate) fn join(
        row: &'a RosterRow,
        parts: &'a [NodeParts],
        found: Vec<Option<CheckedChain<'a>>>,
        checks: &mut Checks,
    ) -> Option<Self> {
        let folder = parts.first()?.folder.as_str();
        let mut stands = found.len() == parts.len();
        let mut attested = None;
        for ([previous, next], later) in found.array_windows().zip(parts.iter().skip(1)) {
            let path = format!("{}/{}", later.folder, name::LEDGER);
            // A chain of which no interval is quoted must not hide the end of the one before it.
            attested = attested.max(previous.as_ref().and_then(attested_until));
            let result = continues(previous.as_ref(), next.as_ref(), attested);
            stands = result.is_ok() && stands;
            checks.record(&path, "ledger-predecessor", result);
        }
        let chains: Option<Vec<_>> = found.into_iter().collect();
        Some(Self { row, folder, chains: chains.filter(|_| stands)? })
    }

    pub(crate) const fn row(&self) -> &'a RosterRow {
        self.row
    }

    /// Folder of the node in the bundle.
    pub(crate) const fn folder(&self) -> &'a str {
        self.folder
    }

    /// The chains of its keys, in order.
    pub(crate) fn chains(&self) -> &[CheckedChain<'a>] {
        &self.chains
    }

    /// All evidence of all keys.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = &BoundEvidence<'a>> {
        self.chains.iter().flat_map(CheckedChain::evidence)
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &PlatformClaims> {
        self.evidence().flat_map(BoundEvidence::claims)
    }

    /// The weakest anchor decides.
    pub(crate) fn grade(&self) -> Grade {
        self.claims().map(|claims| claims.grade).min().unwrap_or(Grade::Simulated)
    }

    /// The chip family of an accelerator; `None` when no certificate names one, or two name different ones.
    pub(crate) fn chip_family(&self, device: Device) -> Option<&ChipFamily> {
        let mut families =
            self.claims().filter(|claims| claims.device == Some(device)).map(|claims| &claims.chip_family);
        let first = families.next()?.as_ref()?;
        families.all(|family| family.as_ref() == Some(first)).then_some(first)
    }
}

/// "Quoted" means evidence that was verified: a head that only says so of itself is nothing to continue from.
fn continues(
    previous: Option<&CheckedChain<'_>>,
    next: Option<&CheckedChain<'_>>,
    attested: Option<UnixMillis>,
) -> CheckResult {
    let (Some(previous), Some(next)) = (previous, next) else {
        let why = "this chain or the one before it does not hold, so there is no quoted head to continue from";
        return Err(Finding::skipped(why));
    };
    let quoted = previous.quoted();
    let continued = check_succession(next.chain().ledger(), previous.chain().ledger(), &quoted);
    match continued.and_then(|()| begins_after(next, attested)) {
        Ok(()) => {
            let last = quoted.into_iter().max().unwrap_or_default();
            Ok(format!("continues the chain before it from its last quoted head {last}"))
        }
        Err(error) => Err(Finding::fail(error.culprit(), text::chain(&error))),
    }
}

/// End of the last quoted interval, by the node's clock.
fn attested_until(checked: &CheckedChain<'_>) -> Option<UnixMillis> {
    let through = checked.quoted().into_iter().max()?;
    let entries = checked.chain().ledger().entries();
    entries.iter().rfind(|entry| entry.public.index <= through).map(|entry| entry.public.end_wall)
}

fn begins_after(next: &CheckedChain<'_>, attested: Option<UnixMillis>) -> Result<(), LedgerError> {
    match (attested, next.chain().ledger().entries().first()) {
        (Some(previous), Some(first)) if first.public.start_wall < previous => {
            let (index, found) = (first.public.index, first.public.start_wall);
            Err(LedgerError::WallBack { index, previous, found })
        }
        _ => Ok(()),
    }
}
