//! **Duty.** Evidence in, verified claims out: is it genuine, under which anchor, and about what? **Knows** TEE formats,
//! signatures, certificates and vendors' collateral. **Does not know** policy, files, networks or clocks: the same bytes,
//! the same `now` and the same anchors give the same verdict. **Spec.** EVIDENCE §0–2, PROTOCOL §3 and §6.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that panics is a test that fails"
    )
)]

mod anchors;
mod budget;
mod crl;
mod description;
mod endorsements;
mod error;
mod event_log;
mod known_chains;
mod memo;
mod nvidia;
mod pem;
mod reader;
mod scheme;
mod schemes;
mod set;
mod shape;
mod verified;
mod x509;

pub use anchors::{AnchorFileError, built_in_anchors, parse_anchor_file};
pub use description::VendorStatement;
pub use endorsements::Endorsements;
pub use error::{EvidenceError, Failure, Failures};
pub use nvidia::{NvidiaTopology, SwitchSide, compare_nvidia_topology, nvidia_topology};
pub use pem::pem_certificates;
pub use scheme::RawEvidence;
pub use schemes::{canonical_slice, kinds, takes_chain, verify, verify_with};
pub use set::{SetMember, SetMembers, verify_members, verify_set, verify_set_with};
pub use verified::{Bound, BoundSet, Verified};
