//! **Duty.** A node's private export: readings and salts. Never enters a bundle. **Spec.** PROTOCOL §3, §7.

use std::fmt;

use crate::codec::framed;
use crate::{NodeKey, Reading};

/// Intervals of one chain. 2²⁰ intervals of 60 s are two years.
const MAX_INTERVALS: usize = 1 << 20;

/// The opening of one interval's meter commitment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WitnessRow {
    /// The reading.
    pub reading: Reading,
    /// 28 bytes of salt.
    pub salt: [u8; 28],
}

/// Readings and salts stay out of logs.
impl fmt::Debug for WitnessRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WitnessRow(private)")
    }
}

/// All openings of one chain, from interval 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWitness {
    /// Whose chain.
    pub node_key: NodeKey,
    /// Rows in chain order.
    pub rows: Vec<WitnessRow>,
}

framed!(WitnessRow { reading, salt });
framed!(NodeWitness { node_key, rows[MAX_INTERVALS] });
