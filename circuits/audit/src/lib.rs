//! **Duty.** The meaning of the correctness half, natively: what of a training step is committed, what is drawn from it,
//! and what "this tile was computed right" says about real numbers. **Knows** numbers, tensors' bytes and commitments.
//! **Does not know** circuits, files, clocks or who asks: the circuits repeat these checks, and never the other way
//! round. **Spec.** PROTOCOL §3–5, CIRCUITS §2–6, TRAINING §4, 6, 7.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may stop at its first surprise"
    )
)]

mod approx;
pub mod boundary;
pub mod dataset;
mod key;
pub mod link;
pub mod trace;
pub mod trial;
mod update;

pub use key::{Key, KeyError};
