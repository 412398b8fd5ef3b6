//! **Duty.** One node of the roster: its chain, and the evidence that speaks for it.
//! **Knows** how a roster row, a ledger and evidence sets belong together. **Does not know** policy, time tokens or
//! what other nodes say. **Spec.** PROTOCOL §3 (Ledger, Binding), §5 (order of events).
//!
//! A chain goes through two doors: [`check_chain`] needs no instant, [`check_evidence`] does. Behind both stands
//! [`CheckedChain`]. [`CheckedNode::join`] makes a node of the chains of its keys. Neither has another constructor.

mod chain;
mod evidence;
mod succession;

pub(crate) use chain::{NodeChain, check_chain};
pub(crate) use evidence::{BoundEvidence, CheckedChain, SPARE_SETS, Trust, check_evidence};
pub(crate) use succession::CheckedNode;
