//! **Duty.** The hash-chained log of attested intervals, sans-IO: heads, appending, checking, forks. **Knows** Poseidon
//! heads and Ed25519. **Does not know** files, clocks or the network: a chain can be checked anywhere.
//! **Spec.** PROTOCOL §3 (Ledger).

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

mod chain;
mod checked;
mod error;
mod head;
mod lineage;
mod salt;
mod signer;
mod tip;

pub use chain::{Chain, Sealed};
pub use checked::CheckedLedger;
pub use error::LedgerError;
pub use head::{head_0, meter_commitment, next_head};
pub use lineage::{check_forks, check_succession};
pub use salt::reading_salt;

#[cfg(test)]
mod tests;
