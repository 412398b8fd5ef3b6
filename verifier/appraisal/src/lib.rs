//! **Duty.** From the bytes of one bundle to a tree of checks and, if nothing failed, a report.
//! **Knows** how evidence, ledgers, time tokens and proofs belong together, and the policy they are weighed by.
//! **Does not know** files, clocks or the network: anchors and the instant are arguments, so that *offline* is a
//! compiled fact. **Spec.** PROTOCOL §3, §6–7; COMPUTE §7–10; docs/CHECKS.md lists every check with its breaker.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "tests break loudly on purpose"
    )
)]

mod appraise;
mod assemble;
mod audit;
mod check;
mod coverage;
mod cross;
mod ingest;
mod levels;
mod nodes;
mod policy;
mod policy_file;
mod proof;
mod report;
mod text;
mod time;
mod totals;
mod verdict;
mod verify_bundle;

pub use self::time::{BeaconError, CLOCK_SKEW_MILLIS, TimestampError, TimestampToken, beacon_time};
pub use appraise::{
    Appraisal, Asked, DeviceAppraisal, DeviceBinding, DeviceFinding, EvidencePiece, FindingStatus,
    Grounds as EvidenceGrounds, MAX_EVIDENCE, PolicyName, Roster, Tier, TrustVector, appraise_devices, appraise_set,
};
pub use assemble::{AssembleError, AssembleParts, ChainOrder, assemble};
pub use check::{Check, CheckStatus, Outcome};
pub use policy::{UnmetRule, unmet_rules};
pub use policy_file::{MAX_POLICY_BYTES, PolicyFileError, parse_policy};
pub use proof::{ProofFile, STATEMENT_SET, StatementSubject, check_proof_file};
pub use report::RULES;
pub use verify_bundle::{AppraisalTime, VerifyOptions, verify_bundle};
