//! **Duty.** THE table of parsers: each takes bytes from outside, and what it accepts must encode to what was read. The
//! fuzz targets (tests/fuzz/targets) and the deterministic mutations (tests/parsers) walk the same rows.
//! **Knows** every public door for bytes. **Does not know** who mutates. **Spec.** HOUSE §7 rules 2 and 9.
//!
//! To add one: an attempt, a sample, a row here; then `tests/fuzz/targets/NAME.rs` and its `[[bin]]`. The law compares.

mod attempts;
mod captures;
mod cpu_samples;
mod mutation;
mod samples;
mod seeds;
mod traces;

use weighbridge_attest_types::{
    EvidenceSet, IntervalPublic, LedgerEntry, NodeLedger, NodeWitness, RunManifest, SignedNonce, SignedReceipt,
};
use weighbridge_audit::{AuditPolicy, NumericPolicy, Tolerance};
use weighbridge_circuits::ThresholdPublic;

use crate::parsers::attempts as of;

pub use captures::captures;
pub use mutation::{Form, Mutator, change_one_member};
pub use seeds::write_seeds;

/// What came of some bytes. An attempt panics when it finds a fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Refused with an error.
    Refused,
    /// Accepted, and encoding gave back what was read.
    Accepted,
}

/// One door for bytes from outside.
#[derive(Debug)]
pub struct Parser {
    /// Name of the row and of its fuzz target.
    pub name: &'static str,
    /// How its bytes are written.
    pub form: Form,
    /// Parses; what is accepted is encoded, parsed again and compared.
    pub attempt: fn(&[u8]) -> Seen,
    /// Honest bytes, each accepted.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// No change of a sample is accepted: its bytes are signed, hashed or proven.
    pub sealed: bool,
    /// Mutations that every test run makes: fewer where an attempt costs signatures or a proof.
    pub rounds: usize,
}

const CHEAP: usize = 3_000;
/// Each attempt checks signatures.
const SIGNED: usize = 1_000;
/// Each attempt checks whole evidence sets or a proof.
const COSTLY: usize = 250;

const fn row(name: &'static str, form: Form, attempt: fn(&[u8]) -> Seen, samples: fn() -> Vec<Vec<u8>>) -> Parser {
    Parser { name, form, attempt, samples, sealed: false, rounds: CHEAP }
}

impl Parser {
    const fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    const fn sealed(self) -> Self {
        Self { sealed: true, ..self }
    }
}

/// All of them.
pub static PARSERS: &[Parser] = &[
    row("bundle", Form::Binary, of::bundle, samples::bundle),
    row("export", Form::Binary, of::export, samples::export),
    row("run-manifest", Form::Binary, of::canonical::<RunManifest>, samples::run_manifest),
    row("ledger", Form::Binary, of::canonical::<NodeLedger>, samples::ledger),
    row("entry", Form::Binary, of::canonical::<LedgerEntry>, samples::entry),
    row("interval", Form::Binary, of::canonical::<IntervalPublic>, samples::interval),
    row("witness", Form::Binary, of::canonical::<NodeWitness>, samples::witness),
    row("nonce", Form::Binary, of::canonical::<SignedNonce>, samples::nonce),
    row("receipt", Form::Binary, of::canonical::<SignedReceipt>, samples::receipt),
    row("beacon", Form::Binary, of::beacon, samples::beacon),
    row("timestamp", Form::Binary, of::timestamp, samples::timestamp),
    row("declarations", Form::Json, of::declarations, samples::declarations),
    row("model-signature", Form::Json, of::model_signature, samples::model_signature).rounds(SIGNED),
    row("statement", Form::Json, of::statement, samples::statement).rounds(SIGNED),
    row("evidence-set", Form::Binary, of::canonical::<EvidenceSet>, samples::evidence_set),
    row("evidence", Form::Binary, of::evidence, samples::evidence_set).rounds(COSTLY).sealed(),
    row("tdx-quote", Form::Binary, of::tdx_quote, samples::tdx_quote).rounds(SIGNED),
    row("tdx-collateral", Form::Json, of::tdx_collateral, samples::tdx_collateral).rounds(SIGNED),
    row("event-log", Form::Binary, of::event_log, cpu_samples::event_log),
    row("snp-report", Form::Binary, of::snp_report, cpu_samples::snp_report),
    row("amd-endorsement", Form::Binary, of::amd_endorsement, cpu_samples::amd_endorsement),
    row("azure-hcl", Form::Binary, of::azure_hcl, cpu_samples::azure_hcl),
    row("gpu-report", Form::Binary, of::gpu_report, samples::gpu_report).rounds(SIGNED),
    row("gpu-chain", Form::Binary, of::gpu_chain, samples::gpu_chain).rounds(SIGNED).sealed(),
    row("switch-report", Form::Binary, of::switch_report, samples::switch_report).rounds(SIGNED),
    row("rim", Form::Text, of::rim, samples::rim).rounds(SIGNED),
    row("ocsp", Form::Binary, of::ocsp, samples::ocsp).rounds(SIGNED),
    row("revocation-list", Form::Binary, of::revocation_list, samples::revocation_list).rounds(SIGNED),
    row("certificate", Form::Binary, of::certificate, samples::certificate),
    row("pem", Form::Text, of::pem, samples::pem),
    row("anchor", Form::Json, of::anchor, samples::anchor),
    row("policy", Form::Json, of::policy, samples::policy),
    row("profile", Form::Json, of::profile, samples::profile),
    row("report", Form::Json, of::report, samples::report),
    row("safetensors", Form::Binary, of::safetensors, samples::safetensors).rounds(SIGNED),
    row("trace-graph", Form::Json, traces::graph, traces::graphs),
    row("trace-tensors", Form::Binary, traces::file, traces::files),
    row("captured-step", Form::Json, traces::captured, traces::captured_graphs),
    row("config", Form::Text, of::config, samples::config),
    row("daemon-request", Form::Json, of::daemon_request, samples::daemon_request),
    row("daemon-answer", Form::Json, of::daemon_answer, samples::daemon_answer),
    row("threshold-public", Form::Binary, of::canonical::<ThresholdPublic>, samples::threshold_public),
    row("threshold-proof", Form::Binary, of::threshold_proof, samples::threshold_proof).rounds(COSTLY).sealed(),
    row("proof-file", Form::Binary, of::proof_file, samples::proof_file).rounds(SIGNED),
    row("numeric-policy", Form::Binary, of::canonical::<NumericPolicy>, samples::numeric_policy),
    row("audit-policy", Form::Binary, of::canonical::<AuditPolicy>, samples::audit_policy),
    row("audit-policy-file", Form::Json, of::audit_policy_file, samples::audit_policy_file),
    row("tolerance", Form::Binary, of::canonical::<Tolerance>, samples::tolerance),
    row("operation-form", Form::Json, of::operation_form, samples::operation_form),
    row("answers", Form::Binary, of::answers, samples::answers).rounds(COSTLY),
    row("tile", Form::Binary, of::tile, samples::tile).rounds(SIGNED),
    row("verify-bundle", Form::Container, of::verify_bundle, samples::small_bundle).rounds(COSTLY).sealed(),
];

/// The row of a name.
///
/// # Panics
/// When there is none: a fuzz target without a row.
#[must_use]
pub fn parser(name: &str) -> &'static Parser {
    PARSERS
        .iter()
        .find(|parser| parser.name == name)
        .unwrap_or_else(|| panic!("no row `{name}` in tests/src/parsers.rs"))
}
