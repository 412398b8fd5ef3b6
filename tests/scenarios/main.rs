//! **Duty.** Scenarios across rooms, one test binary: what a user, an operator or an attacker does, end to end.
//! **Knows** every crate of the tree. **Does not know** how they do it: it looks at results. **Spec.** PROTOCOL.

mod appraise;
mod audit;
mod audit_replay;
mod audit_tiles;
mod collect;
mod commands;
mod daemon;
mod endorsements;
mod evidence_mutations;
mod fetch;
mod golden;
mod golden_audit;
mod help;
mod hostile_evidence;
mod meter;
mod misfortunes;
mod mutations;
mod nvidia;
mod oms;
mod policies;
mod readme;
mod real_azure;
mod real_evidence;
mod real_logs;
mod real_nvidia;
mod real_snp;
mod report;
mod simulated_evidence;
mod statement;
mod support;
mod tampered_bundle;
mod tdx_depth;
mod time_tokens;
