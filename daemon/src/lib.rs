//! **Duty.** `weighbridged`, the node service: accounts for every second and every declared FLOP of a node, signs each
//! interval, has its head quoted. **Knows** time, files, the platform through its trait. **Does not know** whether its
//! evidence is good, nor how to prove: a node neither judges nor proves. **Spec.** PROTOCOL §3, TRAINING §5.
//!
//! Programs embed it with [`serve`] and a [`weighbridge_attest_collect::Collector`]; the binary brings the real platform
//! and has no other.

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

pub mod action;
pub mod cli;
pub mod client;
pub mod config;
pub mod effects;
pub mod error;
pub mod export;
pub mod intervals;
pub mod keys;
pub mod meter;
pub mod node;
pub mod run;
mod shell;
pub mod store;

pub use client::{Client, ClientError};
pub use config::Config;
pub use error::NodeError;
pub use shell::{
    Clock, ClockError, PathError, ServeError, SocketError, SystemClock, serve, serve_reloading, serve_with_clock,
};
