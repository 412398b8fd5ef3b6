//! **Duty.** Small constraints that several statements share, one idea a file.

mod hash;
mod range;

pub(crate) use hash::{connect_digest, constant_digest, public_digest, select_digest, set, set_digest, tagged_hash};
pub(crate) use range::{assert_at_most, assert_below_power};
