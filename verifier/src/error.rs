//! **Duty.** What can go wrong between a person and the libraries, each with who has to act and what to do.
//! **Knows** files and arguments. **Does not know** checks of a bundle: those are an outcome, not an error.
//! **Spec.** HOUSE §5, PROTOCOL §8.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use weighbridge_appraisal::{AssembleError, PolicyFileError};
use weighbridge_attest::AnchorFileError;
use weighbridge_attest_types::{
    BundleError, CodecError, Culprit, DeclarationsError, Flops, NodeKey, ProfileError, built_in_profiles,
};
use weighbridge_audit::trace::TraceError;
use weighbridge_audit::trial::TrialError;
use weighbridge_circuits::{Component, ProveError};
use weighbridge_commitments::CommitError;
use weighbridge_endorsements::StoreError;
use weighbridge_ledger::LedgerError;

use crate::audit_failure::AuditFailure;
use crate::evidence::EvidenceFileError;
use crate::html::HtmlError;
use crate::oms::OmsError;
use crate::statement::StatementError;

/// Why a command did not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CliError {
    /// A file or folder that the person named.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Over the cap before anything was parsed.
    #[error("{} has more than {cap} bytes, the most that such a file may have", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The cap.
        cap: u64,
    },
    /// An output file.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Standard output.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// A clock before 1970.
    #[error("this machine’s clock stands before 1970")]
    Clock,
    /// An id that no built-in profile has.
    #[error("there is no threshold profile `{id}`")]
    UnknownProfile {
        /// What was typed.
        id: String,
    },
    /// Two bounds the wrong way round.
    #[error("--declared in={low}..{high}: the first threshold must be smaller than the second")]
    Bounds {
        /// First profile.
        low: String,
        /// Second profile.
        high: String,
    },
    /// A bound that would tell more than a threshold does.
    #[error("{bound} FLOP is the threshold of no built-in profile")]
    FreeBound {
        /// The bound.
        bound: Flops,
    },
    /// A threshold profile of the reader's own.
    #[error("threshold profile {}", path.display())]
    Profile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ProfileError,
    },
    /// A threshold profile that is no text.
    #[error("threshold profile {} is no UTF-8", path.display())]
    ProfileText {
        /// Which file.
        path: PathBuf,
        /// Where.
        #[source]
        source: std::str::Utf8Error,
    },
    /// Two profiles of one id, or of one instrument at one time.
    #[error("threshold profile {}: {why} `{id}`", path.display())]
    ProfileClash {
        /// Which file.
        path: PathBuf,
        /// How they clash.
        why: &'static str,
        /// With which.
        id: String,
    },
    /// A folder without profiles.
    #[error("{} holds no *.json file", path.display())]
    NoProfiles {
        /// Which.
        path: PathBuf,
    },
    /// The provider's statement.
    #[error("the declarations in {}", path.display())]
    Declarations {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DeclarationsError,
    },
    /// Two statements about one quantity.
    #[error("--level two-figures chooses what is proven; it cannot be combined with --declared")]
    LevelAndStatement,
    /// No cell of the grid holds.
    #[error("no cell of the two-figure grid holds the declared total")]
    NoCell,
    /// `--trust-roots` names something else.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// Which.
        path: PathBuf,
    },
    /// `--trust-roots` names a folder without anchors.
    #[error("{} holds no file whose name ends in .anchor.json", path.display())]
    NoAnchors {
        /// Which.
        path: PathBuf,
    },
    /// An anchor file.
    #[error("{} is not an acceptable trust anchor", path.display())]
    Anchor {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: AnchorFileError,
    },
    /// A bundle or export that does not parse.
    #[error("{} does not parse", path.display())]
    Container {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BundleError,
    },
    /// An export without a necessary part.
    #[error("{} has no member `{member}`", path.display())]
    NoMember {
        /// The export.
        path: PathBuf,
        /// The member.
        member: &'static str,
    },
    /// A member or private file that does not parse.
    #[error("{}: {part} does not parse", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// What in it.
        part: &'static str,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// A ledger that does not hold together.
    #[error("{}: the ledger does not hold together", path.display())]
    Ledger {
        /// The export.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<LedgerError>,
    },
    /// Exports of two runs.
    #[error("{} and {} belong to different runs", first.display(), other.display())]
    OtherRun {
        /// One export.
        first: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// One node twice.
    #[error("{} and {} belong to the same node key", first.display(), other.display())]
    SameNode {
        /// One file.
        first: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A node outside its own roster.
    #[error("{}: node {node_key} is not in the roster of its run, neither by key nor by devices", path.display())]
    NotInRoster {
        /// The export.
        path: PathBuf,
        /// The key.
        node_key: NodeKey,
    },
    /// An export without its private half.
    #[error("no witness was given for node {node_key} (export {})", export.display())]
    NoWitness {
        /// The export.
        export: PathBuf,
        /// The key.
        node_key: NodeKey,
    },
    /// A witness folder without a witness.
    #[error("{} holds no witness", path.display())]
    NoWitnessFile {
        /// The folder.
        path: PathBuf,
    },
    /// A row of the roster without an export.
    #[error("the run has {rows} nodes, but no export of node {node_key} was given")]
    NoExport {
        /// Nodes of the run.
        rows: usize,
        /// The key.
        node_key: NodeKey,
    },
    /// A witness without an export.
    #[error("{} is the witness of node {node_key}, whose export was not given", path.display())]
    StrayWitness {
        /// The witness.
        path: PathBuf,
        /// The key.
        node_key: NodeKey,
    },
    /// Openings and intervals differ in number.
    #[error("{} opens {rows} intervals, but the ledger has {intervals}", path.display())]
    WitnessLength {
        /// The witness.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Intervals of the ledger.
        intervals: usize,
    },
    /// An opening that does not fit its commitment.
    #[error("{}: interval {interval}: this reading is not the one that the ledger committed to", path.display())]
    WitnessDiffers {
        /// The witness.
        path: PathBuf,
        /// The interval.
        interval: u64,
    },
    /// A component that was never read.
    #[error("{}: interval {interval} has no {} reading, and absent is not zero", path.display(), component.as_str())]
    Absent {
        /// The export.
        path: PathBuf,
        /// The interval.
        interval: u64,
        /// What is absent.
        component: Component,
    },
    /// No export at all.
    #[error("no node export was given")]
    NoExports,
    /// More relations than a proof holds, or one that needs another form.
    #[error("{0}")]
    Relations(&'static str),
    /// A memory cap that no piece of the work fits under.
    #[error("proving this run takes {} MiB even one piece at a time, and the cap is {} MiB", needed >> 20, cap >> 20)]
    Memory {
        /// The cap, in bytes.
        cap: u64,
        /// What is needed.
        needed: u64,
    },
    /// The kernel does not say what is free.
    #[error("/proc/meminfo does not say how much memory is free")]
    NoMemoryFigure,
    /// A disk without room for the finished pieces.
    #[error("{}: the finished pieces take {} MiB, and {} MiB are free", path.display(), needed >> 20, free >> 20)]
    Disk {
        /// The folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// A piece that was finished and is not there any more.
    #[error("a finished piece of the proof has disappeared")]
    PieceLost,
    /// A proof by another version.
    #[error("{} was made for the circuits of another version", path.display())]
    OtherCircuits {
        /// The file.
        path: PathBuf,
    },
    /// The default statement does not exist.
    #[error("the declared total is not within any built-in threshold")]
    NoDefaultStatement(#[source] ProveError),
    /// The prover refused or failed.
    #[error(transparent)]
    Prove(ProveError),
    /// Appraisal refused the parts.
    #[error("the bundle was not assembled")]
    Assemble(#[source] AssembleError),
    /// A checkpoint.
    #[error(transparent)]
    Commit(CommitError),
    /// A graph or tensors that are no trace.
    #[error("{} is no trace", path.display())]
    Trace {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TraceError,
    },
    /// A trace from which nothing can be drawn.
    #[error("no rehearsal of {}", path.display())]
    Trial {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: TrialError,
    },
    /// An audit policy, or a window that was not drawn from.
    #[error(transparent)]
    Audit(Box<AuditFailure>),
    /// A model's files, their signature or its key.
    #[error("{}", path.display())]
    Oms {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: OmsError,
    },
    /// A signature over several paths.
    #[error("a signature is about one model; name one folder or one file beside --oms-signature")]
    OneModel,
    /// A signature without a name: whether it lies in the model cannot be told.
    #[error("--oms-signature cannot be read from standard input; name its file")]
    NamelessSignature,
    /// The page.
    #[error(transparent)]
    Html(HtmlError),
    /// A signed statement or a key for one.
    #[error("{}", path.display())]
    Statement {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: StatementError,
    },
    /// A file of evidence or endorsements.
    #[error("{}", path.display())]
    Evidence {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: EvidenceFileError,
    },
    /// An appraisal policy of the reader's own.
    #[error("appraisal policy {}", path.display())]
    Policy {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PolicyFileError,
    },
    /// A file of cases for a policy.
    #[error("{}: {why}", path.display())]
    Cases {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A folder or an archive of endorsements.
    #[error("the endorsements")]
    Store(#[source] StoreError),
    /// A run manifest beside evidence that names no run.
    #[error("--manifest speaks of the nodes of a run; only --kind evidence-set says which node it is")]
    ManifestWithoutSet,
    /// Neither a code nor a file.
    #[error("`{what}` is neither a file nor a code that weighbridge prints")]
    NothingToExplain {
        /// What was typed.
        what: String,
    },
    /// A file that no command here writes.
    #[error("{} is neither a bundle, nor a report, nor a JSON answer of verify or appraise", path.display())]
    NotExplainable {
        /// Which.
        path: PathBuf,
    },
    /// A bundle that nobody can sign for.
    #[error("{} was not accepted, so no statement was signed", path.display())]
    NotAccepted {
        /// The bundle.
        path: PathBuf,
        /// The class of its first failure.
        culprit: Culprit,
    },
    /// A value of ours that does not serialise.
    #[error("{0} could not be written as JSON or read back")]
    Json(&'static str, #[source] serde_json::Error),
}

impl CliError {
    /// Who has to act; the exit code follows.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => of_file(source),
            Self::UnknownProfile { .. }
            | Self::Profile { .. }
            | Self::ProfileText { .. }
            | Self::ProfileClash { .. }
            | Self::NoProfiles { .. }
            | Self::Declarations { .. }
            | Self::LevelAndStatement
            | Self::NoCell
            | Self::Bounds { .. }
            | Self::FreeBound { .. }
            | Self::NotAFolder { .. }
            | Self::NoAnchors { .. }
            | Self::OtherRun { .. }
            | Self::SameNode { .. }
            | Self::NoWitness { .. }
            | Self::NoWitnessFile { .. }
            | Self::NoExport { .. }
            | Self::NoExports
            | Self::Relations(_)
            | Self::Memory { .. }
            | Self::StrayWitness { .. } => Culprit::Usage,
            // An anchor file is configuration: whoever named the folder decides what is in it.
            Self::Anchor { .. } => Culprit::Usage,
            Self::Container { source: BundleError::Version(_), .. } => Culprit::Unsupported,
            Self::TooLarge { .. } | Self::Container { .. } | Self::NoMember { .. } | Self::Part { .. } => {
                Culprit::Malformed
            }
            Self::NotInRoster { .. } => Culprit::Untrusted,
            Self::WitnessLength { .. } | Self::WitnessDiffers { .. } | Self::Absent { .. } => Culprit::Rejected,
            Self::OtherCircuits { .. } => Culprit::Unsupported,
            Self::Ledger { source, .. } => source.culprit(),
            Self::NoDefaultStatement(source) | Self::Prove(source) => source.culprit(),
            Self::Assemble(source) => source.culprit(),
            Self::Commit(source) => source.culprit(),
            Self::Trace { source, .. } => source.culprit(),
            Self::Trial { source, .. } => source.culprit(),
            Self::Audit(failure) => failure.culprit(),
            Self::Oms { source, .. } => source.culprit(),
            Self::OneModel | Self::NamelessSignature => Culprit::Usage,
            Self::Html(source) => source.culprit(),
            Self::Statement { source, .. } => source.culprit(),
            Self::Evidence { source, .. } => source.culprit(),
            Self::Policy { source, .. } => source.culprit(),
            Self::Store(source) => source.culprit(),
            Self::NothingToExplain { .. } | Self::ManifestWithoutSet | Self::Cases { .. } => Culprit::Usage,
            Self::NotExplainable { .. } => Culprit::Malformed,
            Self::NotAccepted { culprit, .. } => *culprit,
            Self::Output(_) | Self::Clock | Self::NoMemoryFigure | Self::Disk { .. } | Self::PieceLost => {
                Culprit::Unavailable
            }
            Self::Json(..) => Culprit::Internal,
        }
    }

    /// Stable code for `--format json`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "file-unreadable",
            Self::TooLarge { .. } => "file-too-large",
            Self::Write { .. } | Self::Output(_) => "output-unwritable",
            Self::Clock => "clock-before-1970",
            Self::UnknownProfile { .. } => "profile-unknown",
            Self::Profile { .. } | Self::ProfileText { .. } | Self::ProfileClash { .. } | Self::NoProfiles { .. } => {
                "profile-refused"
            }
            Self::Declarations { .. } => "declarations-refused",
            Self::LevelAndStatement | Self::NoCell => "level-not-possible",
            Self::Bounds { .. } | Self::FreeBound { .. } => "bounds-not-allowed",
            Self::NotAFolder { .. } | Self::NoAnchors { .. } => "trust-roots-empty",
            Self::Anchor { .. } => "trust-anchor-refused",
            Self::Container { .. } => "container-malformed",
            Self::NoMember { .. } | Self::Part { .. } => "member-malformed",
            Self::Ledger { .. } => "ledger-broken",
            Self::OtherRun { .. } => "exports-of-different-runs",
            Self::SameNode { .. } => "node-given-twice",
            Self::NotInRoster { .. } => "node-not-in-roster",
            Self::NoWitness { .. } | Self::NoWitnessFile { .. } => "witness-missing",
            Self::NoExport { .. } => "export-missing",
            Self::StrayWitness { .. } => "witness-without-export",
            Self::WitnessLength { .. } | Self::WitnessDiffers { .. } => "witness-differs",
            Self::Absent { .. } => "reading-absent",
            Self::NoExports => "export-missing",
            Self::Relations(_) => "statement-not-possible",
            Self::Memory { .. } | Self::NoMemoryFigure => "memory-too-small",
            Self::Disk { .. } => "proof-disk-full",
            Self::PieceLost => "piece-lost",
            Self::OtherCircuits { .. } => "proof-of-another-version",
            Self::NoDefaultStatement(_) => "no-default-statement",
            Self::Prove(_) => "not-proven",
            Self::Assemble(_) => "not-assembled",
            Self::Commit(_) => "checkpoint-refused",
            Self::Trace { .. } => "trace-refused",
            Self::Trial { .. } => "trial-not-held",
            Self::Audit(failure) => (**failure).code(),
            Self::Oms { source, .. } => source.code(),
            Self::OneModel | Self::NamelessSignature | Self::ManifestWithoutSet => "command-line",
            Self::Html(_) => "page-not-written",
            Self::Statement { source, .. } => source.code(),
            Self::Evidence { source, .. } => source.code(),
            Self::Policy { .. } => "policy-refused",
            Self::Cases { .. } => "policy-cases-refused",
            Self::Store(source) => source.code(),
            Self::NothingToExplain { .. } | Self::NotExplainable { .. } => "nothing-to-explain",
            Self::NotAccepted { .. } => "not-accepted",
            Self::Json(..) => "json-not-written",
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let fixed = match self {
            Self::UnknownProfile { .. } | Self::FreeBound { .. } => {
                return Some(format!("use one of: {}", profile_ids()));
            }
            Self::Oms { source, .. } => return model_remedy(source).map(str::to_owned),
            Self::Audit(failure) => return failure.remedy().map(str::to_owned),
            Self::Statement { source, .. } => source.remedy(),
            Self::Evidence { source, .. } => source.remedy(),
            Self::Store(source) => source.remedy(),
            Self::Policy { .. } => "begin with `weighbridge policy show`, and check with `weighbridge policy check`",
            Self::Cases { .. } => "mend the file by docs/schemas/policy-cases-v1.schema.json",
            Self::ManifestWithoutSet => "name the devices with --device instead",
            Self::Trace { .. } => "capture the step again, or look up the format: docs/trace-format.md",
            Self::Trial { source: TrialError::NoProduct, .. } => "capture a step that has a matrix product",
            Self::Trial { .. } => "check that nothing changes the files meanwhile",
            other => return other.own_remedy().map(str::to_owned),
        };
        Some(fixed.to_owned())
    }

    /// The same, where the error is no other room's.
    fn own_remedy(&self) -> Option<&'static str> {
        let fixed = match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
                "this is a folder; name a file in it"
            }
            Self::Read { .. } => "check the path, and that this account may read it",
            Self::TooLarge { .. } => "check that this is the file you meant",
            Self::Write { source, .. } => write_remedy(source),
            Self::Clock => "set the clock, or say the instant with --at",
            Self::ProfileText { .. } => "write the file as UTF-8, without a single other byte",
            Self::Profile { .. } => "docs/schemas/profile-v1.schema.json says what a profile holds",
            Self::ProfileClash { .. } => "give your profile an id, and a name or dates, of its own",
            Self::NoProfiles { .. } => "name the file, or the folder that holds it",
            Self::Declarations { .. } => "docs/schemas/declarations-v1.schema.json says what a statement holds",
            Self::LevelAndStatement => "leave --declared out",
            Self::NoCell => "assemble at another level",
            Self::Bounds { .. } => "swap the two profiles",
            Self::NotAFolder { .. } => "name the folder that holds the *.anchor.json files",
            Self::NoAnchors { .. } => "name a folder with anchor files, or leave --trust-roots out",
            Self::Anchor { .. } => "mend the file or take it out of the folder",
            Self::Container { source: BundleError::Magic(_), .. } => "check that this is the file you meant",
            Self::Container { .. } => "ask the sender for a fresh copy and compare its SHA-256",
            Self::NoMember { .. } | Self::Part { .. } => "make the file again on the node that it came from",
            Self::Ledger { .. } => "export the node again; if that does not help, its ledger was damaged",
            Self::OtherRun { .. } => "give the exports of one run only",
            Self::SameNode { .. } => "give each node key once",
            Self::NotInRoster { .. } => {
                "check that the export is of this run; a node outside the roster is not part of it"
            }
            Self::NoWitnessFile { .. } => "name the folder into which the node wrote its *.witness file",
            Self::NoExport { .. } => {
                "give one export per node of the run, and one for each later key (weighbridged export --node-key)"
            }
            Self::NoWitness { .. } => "add its folder with --witness, or assemble without a proof: --declared none",
            Self::StrayWitness { .. } => "add the export of that node, or leave its witness out",
            Self::WitnessLength { .. } | Self::WitnessDiffers { .. } => {
                "use the witness that was exported together with this ledger; nothing was proven"
            }
            Self::Absent { .. } => "state another component, or nothing: --declared none",
            Self::NoExports => "give one export per node of the run",
            Self::Relations(_) => "leave one of them out",
            Self::Memory { .. } => "give more with --memory, or prove on a larger machine; nothing was proven",
            Self::NoMemoryFigure => "say how much may be used: --memory 4GiB",
            Self::Disk { .. } => "free some room, or name a folder on another disk with --resume; nothing was proven",
            Self::PieceLost => "leave the folder of --resume alone, and give the same command again",
            Self::OtherCircuits { .. } => "prove again with this version, or use the version that made the proof",
            Self::NoDefaultStatement(_) => "name a statement, such as --declared gt=PROFILE, or --declared none",
            Self::Prove(source) if source.culprit() == Culprit::Rejected => {
                "choose a statement that is true of the declared total, or --declared none"
            }
            Self::NothingToExplain { .. } => "check the path, or list all codes: weighbridge explain codes",
            Self::NotExplainable { .. } => "give a bundle, its report.json, or what verify or appraise printed as JSON",
            Self::NotAccepted { .. } => "look at every failed check: weighbridge explain BUNDLE",
            _ => return None,
        };
        Some(fixed)
    }

    /// The message and its remedy in one line, where there is no room for two.
    #[must_use]
    pub fn advice(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{self}; {remedy}"),
            None => self.to_string(),
        }
    }

    /// The message with everything behind it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// A wrong path is the person's to mend; a failing disk is the world's.
fn of_file(error: &io::Error) -> Culprit {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem,
    };
    match error.kind() {
        NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidFilename | InvalidInput | AlreadyExists
        | ReadOnlyFilesystem => Culprit::Usage,
        _ => Culprit::Unavailable,
    }
}

fn write_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AlreadyExists => "choose another name: an existing key is never overwritten",
        io::ErrorKind::StorageFull => "free some room and give the same command again: what was finished is kept",
        _ => "check that the folder exists, is writable and has room",
    }
}

/// The ids that people can type.
pub(crate) fn profile_ids() -> String {
    built_in_profiles().into_iter().map(|profile| profile.id).collect::<Vec<_>>().join(", ")
}

/// What to do about a model's signature that does not hold.
const fn model_remedy(error: &OmsError) -> Option<&'static str> {
    match error {
        OmsError::Key => Some("name the signer's public key, not the private one"),
        OmsError::OtherKey { .. } | OmsError::Signature => {
            Some("get the signer's key from the signer; if it is the right one, the signature is not theirs")
        }
        OmsError::Differ(_) | OmsError::Uncovered(_) => {
            Some("get the files again, or ask the signer which files belong to the model")
        }
        _ => None,
    }
}
