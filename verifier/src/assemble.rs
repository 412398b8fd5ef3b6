//! **Duty.** From node exports and private witnesses to one bundle file: readings are held against the ledgers before
//! anything is proven. **Knows** files and who belongs to whom. **Does not know** evidence (appraisal) or circuits.
//! **Spec.** PROTOCOL §2 (witnesses stay with the operator), §4 statement 2, §7.

mod export;
mod statement;
mod witness;

use std::path::{Path, PathBuf};

use weighbridge_appraisal::{AssembleParts, assemble};
use weighbridge_attest_types::{
    Bundle, Declarations, MAX_DECLARATIONS_BYTES, MAX_MEMBER_BYTES, NodeWitness, ThresholdReport, UnixMillis,
};
use weighbridge_circuits::{ChainWitness, DeclaredRelation, ThresholdProof, prove_threshold};

use crate::assemble::export::NodeExport;
use crate::error::CliError;
use crate::{files, trust_roots};

pub use crate::assemble::statement::Statement;
pub(crate) use crate::assemble::statement::known_id;

/// What a bundle is made from.
#[derive(Debug, Clone, Copy)]
pub struct AssembleJob<'a> {
    /// One export file per node key: after a reboot a node has several.
    pub exports: &'a [PathBuf],
    /// Witness files, or folders that hold `*.witness` files.
    pub witnesses: &'a [PathBuf],
    /// Endorsement files or folders of files.
    pub endorsements: &'a [PathBuf],
    /// Folder of additional trust anchors.
    pub trust_roots: Option<&'a Path>,
    /// Instant of appraisal.
    pub at: UnixMillis,
    /// What to prove about the declared total.
    pub statement: &'a Statement,
    /// The provider's statement, if there is one.
    pub declarations: Option<&'a Path>,
    /// Whether the bundle shows the readings (level `open`).
    pub open: bool,
    /// The bundle file.
    pub out: &'a Path,
}

/// Assembles one bundle file and returns its report; with no relation, the default one is proven
/// ([`Statement::SmallestThreshold`]).
///
/// # Errors
/// [`CliError`]; the output file is written only when everything held.
#[expect(clippy::too_many_arguments, reason = "the list of a bundle's parts; callers with a choice use AssembleJob")]
pub fn assemble_bundle(
    exports: &[PathBuf],
    witnesses: &[PathBuf],
    endorsements: &[PathBuf],
    trust_roots: &Path,
    at: UnixMillis,
    relation: Option<DeclaredRelation>,
    out: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<ThresholdReport, CliError> {
    let statement = relation.map_or(Statement::SmallestThreshold, Statement::Relation);
    let trust_roots = Some(trust_roots);
    let declarations = None;
    let open = false;
    AssembleJob { exports, witnesses, endorsements, trust_roots, at, statement: &statement, declarations, open, out }
        .run(progress)
}

impl AssembleJob<'_> {
    /// Does the work; `progress` hears the name of each stage.
    ///
    /// # Errors
    /// [`CliError`]; the output file is written only when everything held.
    pub fn run(&self, progress: &mut dyn FnMut(&str)) -> Result<ThresholdReport, CliError> {
        progress("reading exports");
        files::check_folder_of(self.out)?;
        let anchors = trust_roots::load(self.trust_roots)?;
        let exports = export::read_run(self.exports)?;
        let endorsements = read_endorsements(self.endorsements)?;
        let declarations = self.declarations.map(read_declarations).transpose()?;
        let needs_openings = self.open || *self.statement != Statement::Omitted;
        let chains = match needs_openings {
            true => {
                progress("holding readings against ledgers");
                witness::open_chains(&exports, self.witnesses)?
            }
            false => Vec::new(),
        };
        let proof = self.prove(&exports, &chains, progress)?;
        let readings = if self.open { openings(&exports, chains) } else { Vec::new() };

        progress("appraising");
        let exports = exports.into_iter().map(NodeExport::into_container).collect();
        let parts = AssembleParts { exports, endorsements, proof, readings, declarations, at: self.at, anchors };
        let bundle = assemble(parts).map_err(CliError::Assemble)?;
        let report = read_report(&bundle)?;
        progress("writing");
        files::write_atomically(self.out, &bundle.to_bytes())?;
        Ok(report)
    }

    fn prove(
        &self,
        exports: &[NodeExport],
        chains: &[ChainWitness],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<ThresholdProof>, CliError> {
        let genesis = exports.first().map(NodeExport::genesis).unwrap_or_default();
        if *self.statement == Statement::Omitted {
            return Ok(None);
        }
        let relation = self.statement.relation(genesis, chains)?;
        prove_threshold(genesis, chains, relation, progress).map(Some).map_err(CliError::Prove)
    }
}

/// What an `open` bundle shows: the same openings that a prover uses.
fn openings(exports: &[NodeExport], chains: Vec<ChainWitness>) -> Vec<NodeWitness> {
    let opening =
        |(export, chain): (&NodeExport, ChainWitness)| NodeWitness { node_key: export.node_key(), rows: chain.rows };
    exports.iter().zip(chains).map(opening).collect()
}

/// Read before anything is proven: a statement that does not parse is the person's to mend.
fn read_declarations(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = files::read_capped(path, MAX_DECLARATIONS_BYTES as u64)?;
    let refused = |source| CliError::Declarations { path: path.to_owned(), source };
    Declarations::parse(&bytes).map_err(refused).map(|_| bytes)
}

/// Every file once, in the order in which it was named.
fn read_endorsements(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, CliError> {
    let mut endorsements: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        for file in files::files_at(path)? {
            let bytes = files::read_capped(&file, MAX_MEMBER_BYTES)?;
            if !endorsements.contains(&bytes) {
                endorsements.push(bytes);
            }
        }
    }
    Ok(endorsements)
}

fn read_report(bundle: &Bundle) -> Result<ThresholdReport, CliError> {
    let bytes = bundle.get("report.json").unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|source| CliError::Json("the report", source))
}
