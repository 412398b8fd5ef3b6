//! **Duty.** From node exports to one bundle, with the report that verification will give.
//! **Knows** member names of exports and bundles. **Does not know** files; proofs are made elsewhere.
//! **Spec.** PROTOCOL §7–8 (`bundle assemble`).

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use weighbridge_attest_types::{
    AppraisalPolicy, Bundle, BundleError, Canonical, ChainStart, CodecError, Culprit, Member, NodeKey, NodeLedger,
    NodeWitness, RunManifest, TrustAnchors, UnixMillis, device_set_digest,
};
use weighbridge_circuits::ThresholdProof;

use crate::check::{Check, Checks, Outcome};
use crate::ingest::{chain_folder, endorsement_name, head_quote_index, name};
use crate::policy::policy_member;
use crate::proof::circuits_member;
use crate::text;
use crate::verify_bundle::recompute;

/// Endorsements of a bundle: what `weighbridge-attest` reads.
const MAX_ENDORSEMENTS: usize = 64;

/// Everything a bundle is made from.
#[derive(Debug)]
pub struct AssembleParts {
    /// One export per node key: each roster row's, and those of its later keys; in any order.
    pub exports: Vec<Bundle>,
    /// Collateral, certificates, CRLs: raw files in any order; repetitions are dropped.
    pub endorsements: Vec<Vec<u8>>,
    /// A statement about declared totals, if one is to be published.
    pub proof: Option<ThresholdProof>,
    /// Openings of every chain, if the bundle is to show them (level `open`).
    pub readings: Vec<NodeWitness>,
    /// The provider's statement, if there is one, as bytes of JSON.
    pub declarations: Option<Vec<u8>>,
    /// Answers to the draws of the audit, if there are any, as their framed bytes.
    pub answers: Option<Vec<u8>>,
    /// The instant of appraisal.
    pub at: UnixMillis,
    /// Whom the report trusts.
    pub anchors: TrustAnchors,
}

/// Why no bundle was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// Nothing to assemble.
    #[error("no node export was given; give one export per node key")]
    NoExports,
    /// Exports of different runs.
    #[error("export {0} has another run manifest than export 0; assemble exports of one run")]
    OtherRun(usize),
    /// An export of a node that is not in the roster, neither by its key nor by its devices.
    #[error("export {export} is of node key {node_key}: no row of the roster has this key, or its devices")]
    NotInRoster {
        /// Position among the exports.
        export: usize,
        /// Its key.
        node_key: NodeKey,
    },
    /// Two exports of one node key.
    #[error("export {export} is of node key {node_key}, which another export is of as well; give each node key once")]
    Repeated {
        /// Position among the exports.
        export: usize,
        /// Its key.
        node_key: NodeKey,
    },
    /// An export lacks a member.
    #[error("export {export} has no member `{member}`")]
    MissingMember {
        /// Position among the exports.
        export: usize,
        /// Its name.
        member: &'static str,
    },
    /// An export has a member that no export has.
    #[error("export {export} has a member `{member}` that no export of this version has")]
    UnknownMember {
        /// Position among the exports.
        export: usize,
        /// Its name.
        member: String,
    },
    /// A member of an export does not parse.
    #[error("member `{member}` of export {export} does not parse")]
    Member {
        /// Position among the exports.
        export: usize,
        /// Its name.
        member: &'static str,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// More endorsements than a bundle numbers.
    #[error("{0} endorsements; a bundle holds at most {MAX_ENDORSEMENTS}")]
    TooManyEndorsements(usize),
    /// Readings of a key that has no ledger here.
    #[error("readings of node key {0} were given, and no export has its ledger")]
    NoLedger(NodeKey),
    /// The container refused a member.
    #[error("the bundle cannot hold a member")]
    Container(#[source] BundleError),
    /// The bundle would not verify.
    #[error("the bundle would not verify: {}", refusals(.0))]
    Refused(Vec<Check>),
}

impl AssembleError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::NoExports
            | Self::OtherRun(_)
            | Self::NotInRoster { .. }
            | Self::Repeated { .. }
            | Self::NoLedger(_)
            | Self::TooManyEndorsements(_) => Culprit::Usage,
            Self::MissingMember { .. } | Self::UnknownMember { .. } | Self::Member { .. } | Self::Container(_) => {
                Culprit::Malformed
            }
            Self::Refused(checks) => {
                Outcome { checks: checks.clone(), report: None }.culprit().unwrap_or(Culprit::Internal)
            }
        }
    }
}

fn refusals(checks: &[Check]) -> String {
    let outcome = Outcome { checks: checks.to_vec(), report: None };
    text::list(outcome.failures().map(|check| format!("{} {}: {}", check.path, check.code, check.message)))
}

/// Assembles a bundle whose archived report is what [`crate::verify_bundle()`] will recompute.
///
/// # Errors
/// [`AssembleError`]; a bundle that would not verify is not made, and every failed check is listed.
pub fn assemble(parts: AssembleParts) -> Result<Bundle, AssembleError> {
    let AssembleParts { exports, endorsements, proof, readings, declarations, answers, at, anchors } = parts;
    let mut bundle = Bundle::new_bundle();
    insert_nodes(&mut bundle, &exports)?;
    insert_readings(&mut bundle, &readings)?;
    if let Some(bytes) = declarations {
        insert(&mut bundle, name::DECLARATIONS.to_owned(), bytes)?;
    }
    if let Some(bytes) = answers {
        insert(&mut bundle, name::ANSWERS.to_owned(), bytes)?;
    }
    insert_endorsements(&mut bundle, endorsements)?;
    if let Some(ThresholdProof { public, proof }) = proof {
        insert(&mut bundle, name::PROOF.to_owned(), proof)?;
        insert(&mut bundle, name::PROOF_PUBLIC.to_owned(), public.to_bytes())?;
        insert(&mut bundle, name::CIRCUITS.to_owned(), circuits_member())?;
    }
    insert(&mut bundle, name::POLICY.to_owned(), policy_member(&AppraisalPolicy::built_in()))?;
    insert(&mut bundle, name::APPRAISED_AT.to_owned(), at.to_bytes())?;
    let mut checks = Checks::default();
    match recompute(&bundle, &anchors, &mut checks) {
        Some(report) if !checks.any_failed() => {
            insert(&mut bundle, name::REPORT.to_owned(), text::json(&report))?;
            Ok(bundle)
        }
        _ => Err(AssembleError::Refused(checks.into_list())),
    }
}

/// Puts every export into the folder of its roster row, under the one manifest they share.
fn insert_nodes(bundle: &mut Bundle, exports: &[Bundle]) -> Result<(), AssembleError> {
    let manifest_bytes = member(exports.first().ok_or(AssembleError::NoExports)?, 0, name::MANIFEST)?;
    let manifest: RunManifest = parse(manifest_bytes, 0, name::MANIFEST)?;
    let mut chains: BTreeMap<ChainOrder, (usize, &Bundle)> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for (position, export) in exports.iter().enumerate() {
        if member(export, position, name::MANIFEST)? != manifest_bytes {
            return Err(AssembleError::OtherRun(position));
        }
        let ledger: NodeLedger = parse(member(export, position, name::LEDGER)?, position, name::LEDGER)?;
        let node_key = ledger.start.node_key;
        let order =
            ChainOrder::of(&manifest, &ledger).ok_or(AssembleError::NotInRoster { export: position, node_key })?;
        if !keys.insert(node_key) {
            return Err(AssembleError::Repeated { export: position, node_key });
        }
        chains.insert(order, (position, export));
    }
    let mut due = (0, 0);
    for (order, (position, export)) in chains {
        // Places count up behind the roster's key; if its export was forgotten, place 0 stays free and that is named.
        let place = if order.row != due.0 { 0 } else { due.1 };
        let place = if order.is_later && place == 0 { 1 } else { place };
        insert_export(bundle, export, position, &chain_folder(order.row, place))?;
        due = (order.row, place.saturating_add(1));
    }
    insert(bundle, name::MANIFEST.to_owned(), manifest_bytes.to_vec())
}

/// Where a chain stands in a bundle: by roster row, the roster's key first, then later keys in the order in which their
/// first intervals began by the node's clock. Whether each continues the one before it is verified afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainOrder {
    /// Roster row, from 0.
    pub row: u64,
    /// Whether the key came after that of the roster.
    pub is_later: bool,
    starts: UnixMillis,
    node_key: NodeKey,
}

impl ChainOrder {
    /// The place of a chain: by its key, or for a later key by its devices; `None` when the roster has neither.
    #[must_use]
    pub fn of(manifest: &RunManifest, ledger: &NodeLedger) -> Option<Self> {
        let ChainStart { node_key, device_set, .. } = ledger.start;
        let rows = || (0u64..).zip(&manifest.roster);
        let of_key = rows().find(|(_, row)| row.node_key == node_key);
        let of_devices = || rows().find(|(_, row)| device_set_digest(&row.device_set()) == device_set);
        let (row, _) = of_key.or_else(of_devices)?;
        // A chain without an interval has only just begun.
        let starts = ledger.entries.first().map_or(UnixMillis(u64::MAX), |entry| entry.public.start_wall);
        Some(Self { row, is_later: of_key.is_none(), starts, node_key })
    }
}

fn insert_export(bundle: &mut Bundle, export: &Bundle, position: usize, folder: &str) -> Result<(), AssembleError> {
    for (member, bytes) in export.iter() {
        match member {
            name::MANIFEST => {}
            name::LEDGER | name::KEY_EVIDENCE | name::NONCE | name::RECEIPT | name::BEACON | name::TIMESTAMP => {
                insert(bundle, format!("{folder}/{member}"), bytes.to_vec())?;
            }
            _ if head_quote_index(member).is_some() => insert(bundle, format!("{folder}/{member}"), bytes.to_vec())?,
            _ => return Err(AssembleError::UnknownMember { export: position, member: member.to_owned() }),
        }
    }
    Ok(())
}

/// Puts every opening beside the ledger of its key.
fn insert_readings(bundle: &mut Bundle, readings: &[NodeWitness]) -> Result<(), AssembleError> {
    let ledger = |(member, bytes): (&str, &[u8])| {
        let folder = member.strip_suffix(name::LEDGER)?;
        Some((NodeLedger::from_bytes(bytes).ok()?.start.node_key, folder.to_owned()))
    };
    let folders: BTreeMap<NodeKey, String> = match readings.is_empty() {
        true => BTreeMap::new(),
        false => bundle.iter().filter_map(ledger).collect(),
    };
    for witness in readings {
        let folder = folders.get(&witness.node_key).ok_or(AssembleError::NoLedger(witness.node_key))?;
        insert(bundle, format!("{folder}{}", name::READINGS), witness.to_bytes())?;
    }
    Ok(())
}

/// Sorted, each once: the bundle does not depend on the order in which files were named.
fn insert_endorsements(bundle: &mut Bundle, mut endorsements: Vec<Vec<u8>>) -> Result<(), AssembleError> {
    endorsements.sort_unstable();
    endorsements.dedup();
    if endorsements.len() > MAX_ENDORSEMENTS {
        return Err(AssembleError::TooManyEndorsements(endorsements.len()));
    }
    for (number, bytes) in endorsements.into_iter().enumerate() {
        insert(bundle, endorsement_name(number), bytes)?;
    }
    Ok(())
}

fn insert(bundle: &mut Bundle, name: String, bytes: Vec<u8>) -> Result<(), AssembleError> {
    bundle.insert(Member { name, bytes }).map_err(AssembleError::Container)
}

fn member<'a>(export: &'a Bundle, position: usize, member: &'static str) -> Result<&'a [u8], AssembleError> {
    export.get(member).ok_or(AssembleError::MissingMember { export: position, member })
}

fn parse<T: Canonical>(bytes: &[u8], position: usize, member: &'static str) -> Result<T, AssembleError> {
    T::from_bytes(bytes).map_err(|source| AssembleError::Member { export: position, member, source })
}
