//! **Duty.** Scenarios across rooms, one test binary: what a user, an operator or an attacker does, end to end.
//! **Knows** every crate of the tree. **Does not know** how they do it: it looks at results. **Spec.** PROTOCOL.

mod collect;
mod commands;
mod daemon;
mod golden;
mod hostile_evidence;
mod misfortunes;
mod mutations;
mod real_evidence;
mod simulated_evidence;
mod support;
mod tampered_bundle;
