//! **Duty.** The hash-chained log of attested intervals, sans-IO: heads, appending, checking. **Knows** Poseidon heads
//! and Ed25519. **Does not know** files, clocks or the network. **Spec.** PROTOCOL §3 (Ledger).

mod head;

pub use head::{head_0, meter_commitment, next_head};
