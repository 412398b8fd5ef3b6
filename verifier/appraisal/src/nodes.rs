//! **Duty.** One node of the roster: its chain, and the evidence that speaks for it.
//! **Knows** how a roster row, a ledger and evidence sets belong together. **Does not know** policy, time tokens or
//! what other nodes say. **Spec.** PROTOCOL §3 (Ledger, Binding), §5 (order of events).
//!
//! A node goes through two doors: [`check_chain`] needs no instant, [`check_evidence`] does. Behind both stands
//! [`CheckedNode`], which has no other constructor.

mod chain;
mod evidence;

pub(crate) use chain::{NodeChain, check_chain};
pub(crate) use evidence::{BoundEvidence, CheckedNode, Trust, check_evidence};
