//! **Duty.** `weighbridge`, the command for people: reads files, asks the libraries, prints what they found. The
//! assembly of bundles and the report's page are library functions too. **Knows** files, terminals and the clock.
//! **Does not know** the network, drivers or the node service. **Spec.** PROTOCOL §8, HOUSE §2 (floor 5).

mod assemble;
mod audit_failure;
mod audit_policy;
mod cli;
mod clock;
mod ear;
mod error;
mod events;
mod evidence;
mod explain;
mod figures;
mod files;
mod html;
mod instant;
mod meter;
mod oms;
mod prose;
mod statement;
mod strict;
mod trust_roots;
mod visible;

pub use assemble::{AssembleJob, Statement, StatementAbout};
pub use audit_failure::AuditFailure;
pub use audit_policy::{AuditPolicyError, MAX_AUDIT_POLICY_BYTES, audit_policy_json, read_audit_policy};
pub use cli::{command_line, main, render_text};
pub use error::CliError;
pub use evidence::EvidenceFileError;
pub use explain::{EXPLANATIONS, Explanation};
pub use html::{HtmlError, render as render_html};
pub use meter::ProveLimits;
pub use oms::OmsError;
pub use statement::StatementError;

/// Reads a model signature in memory: the bundle's form and signature under a public key in PEM. That files are the
/// signed ones is checked by `weighbridge commit`.
///
/// # Errors
/// [`OmsError`].
pub fn read_model_signature(bundle: &[u8], key_pem: &[u8]) -> Result<(), OmsError> {
    oms::SignedFiles::verify(bundle, &oms::PublicKey::parse(key_pem)?).map(drop)
}

/// Reads a signed statement in memory: envelope, signature under a public key in PEM, and the statement's own form.
///
/// # Errors
/// [`StatementError`].
pub fn read_statement(envelope: &[u8], key_pem: &[u8]) -> Result<(), StatementError> {
    statement::read(envelope, key_pem)
}
