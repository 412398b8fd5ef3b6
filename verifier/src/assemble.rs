//! **Duty.** From node exports and private witnesses to one bundle file: readings are held against the ledgers before
//! anything is proven. **Knows** files and who belongs to whom. **Does not know** evidence (appraisal) or circuits.
//! **Spec.** PROTOCOL §2 (witnesses stay with the operator), §4 statement 2, §7.

mod export;
mod statement;
mod witness;

use std::path::{Path, PathBuf};

use weighbridge_appraisal::{AssembleParts, ProofFile, assemble};
use weighbridge_attest_types::{
    Bundle, Declarations, MAX_DECLARATIONS_BYTES, MAX_MEMBER_BYTES, NodeWitness, ThresholdReport, UnixMillis,
};
use weighbridge_audit::MAX_ANSWERS_BYTES;
use weighbridge_circuits::{ChainWitness, Component, ThresholdProof, ThresholdPublic, Weighed};

use crate::error::CliError;
use crate::meter::ProveLimits;
use crate::{files, trust_roots};

pub(crate) use crate::assemble::export::RunExports;
pub use crate::assemble::statement::{Statement, StatementAbout};
pub(crate) use crate::assemble::statement::{known_id, relations};

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
    /// What to prove about the totals; nothing, if none of them says anything.
    pub statements: &'a [StatementAbout],
    /// Under which limits it is proven.
    pub limits: &'a ProveLimits,
    /// A proof that is there already, instead of statements.
    pub proof: Option<&'a Path>,
    /// The provider's statement, if there is one.
    pub declarations: Option<&'a Path>,
    /// Answers to the draws of the run's audit, if there are any.
    pub answers: Option<&'a Path>,
    /// Whether the bundle shows the readings (level `open`).
    pub open: bool,
    /// The bundle file.
    pub out: &'a Path,
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
        let run = RunExports::read(self.exports)?;
        let endorsements = read_endorsements(self.endorsements)?;
        let declarations = self.declarations.map(read_declarations).transpose()?;
        let answers = self.answers.map(read_answers).transpose()?;
        let (chains, proof) = self.openings_and_proof(&run, progress)?;
        let readings = if self.open { openings(&run, chains) } else { Vec::new() };

        progress("appraising");
        let exports = run.into_containers();
        let parts =
            AssembleParts { exports, endorsements, proof, readings, declarations, answers, at: self.at, anchors };
        let bundle = assemble(parts).map_err(CliError::Assemble)?;
        let report = read_report(&bundle)?;
        progress("writing");
        files::write_atomically(self.out, &bundle.to_bytes())?;
        Ok(report)
    }

    /// Openings are needed for a new proof, and where the bundle shows them.
    fn openings_and_proof(
        &self,
        run: &RunExports,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Vec<ChainWitness>, Option<ThresholdProof>), CliError> {
        let is_proven_now = self.proof.is_none() && self.statements.iter().any(|about| !about.is_omitted());
        let chains = match self.open || is_proven_now {
            true => {
                progress("holding readings against ledgers");
                let stated: &[StatementAbout] = if is_proven_now { self.statements } else { &[] };
                open_run(run, self.witnesses, stated)?
            }
            false => Vec::new(),
        };
        let proof = match self.proof {
            Some(path) => Some(read_proof(path)?.into_proof()),
            None if is_proven_now => Some(prove(run, &chains, self.statements, self.limits, progress)?),
            None => None,
        };
        Ok((chains, proof))
    }
}

/// The openings of a run's chains, in order, each held against its ledger, with readings of everything that is stated.
pub(crate) fn open_run(
    run: &RunExports,
    witnesses: &[PathBuf],
    statements: &[StatementAbout],
) -> Result<Vec<ChainWitness>, CliError> {
    let stated =
        |component: &Component| statements.iter().any(|about| about.component == *component && !about.is_omitted());
    let components: Vec<Component> = Component::ALL.into_iter().filter(stated).collect();
    witness::open_chains(run, witnesses, &components)
}

/// The statement that is asked for, if it is true of these chains.
pub(crate) fn state(
    run: &RunExports,
    weighed: &Weighed<'_>,
    statements: &[StatementAbout],
) -> Result<ThresholdPublic, CliError> {
    let relations = relations(statements, weighed)?;
    weighed.statement(&relations, run.subject().context()).map_err(CliError::Prove)
}

fn prove(
    run: &RunExports,
    chains: &[ChainWitness],
    statements: &[StatementAbout],
    limits: &ProveLimits,
    progress: &mut dyn FnMut(&str),
) -> Result<ThresholdProof, CliError> {
    progress("adding readings up");
    let weighed = Weighed::of(run.manifest().genesis(), chains).map_err(CliError::Prove)?;
    let statement = state(run, &weighed, statements)?;
    limits.prepare(&weighed, &statement)?.prove(&mut |event| progress(&event.text()))
}

/// A proof that `meter prove` wrote.
pub(crate) fn read_proof(path: &Path) -> Result<ProofFile, CliError> {
    let bytes = files::read_capped(path, ProofFile::MAX_BYTES)?;
    let part = "the proof";
    let file = ProofFile::parse(&bytes).map_err(|source| CliError::Part { path: path.to_owned(), part, source })?;
    match file.is_of_this_version() {
        true => Ok(file),
        false => Err(CliError::OtherCircuits { path: path.to_owned() }),
    }
}

/// What an `open` bundle shows: the same openings that a prover uses.
fn openings(run: &RunExports, chains: Vec<ChainWitness>) -> Vec<NodeWitness> {
    let keys = run.exports().iter().map(|export| export.node_key());
    keys.zip(chains).map(|(node_key, chain)| NodeWitness { node_key, rows: chain.rows }).collect()
}

/// Read before anything is proven: a statement that does not parse is the person's to mend.
fn read_declarations(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = files::read_capped(path, MAX_DECLARATIONS_BYTES as u64)?;
    let refused = |source| CliError::Declarations { path: path.to_owned(), source };
    Declarations::parse(&bytes).map_err(refused).map(|_| bytes)
}

/// As it is: whether it parses and holds is said with the other checks.
fn read_answers(path: &Path) -> Result<Vec<u8>, CliError> {
    files::read_capped(path, MAX_ANSWERS_BYTES as u64)
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
