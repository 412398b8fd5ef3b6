//! **Duty.** From traces to what a window commits: roots of tensors, records of operations, trees of units, the window's
//! tree; and from a draw to the leaf that it falls on, opened all the way. **Knows** whole traces. **Does not know** when
//! anything was quoted, or how tiles are judged. **Spec.** PROTOCOL §3 (work unit, FLOP tree), §5 (mode `committed`);
//! decision 0064.
//!
//! - Operations are numbered along the trace; each product of a batch and each output of a link takes a number of its own.
//! - A tensor's root is its leaf in the tree of a checkpoint, under its name in the trace.
//! - Of a product: A and B are the operands' roots, C the output's. A bias that the product adds is joined to B.
//! - Of a link: A joins the roots of all its operands in their order, B is absent (zeros), C is one output.
//! - A record names the form of its operation: its kind, its numbers and the views of its operands, so that nothing of a
//!   record is its maker's word (decision 0070).
//! - A unit is one micro-batch. It starts from the SHA-256 of its graph and ends in that of its tensors' file, so that the
//!   order of operations and what no rule covers are committed too.
//! - What no rule covers (`opaque`) has no leaf. It is counted, and it is the job's word.

pub(crate) mod derived;
mod operations;
mod window;

pub use operations::{CommittedOperation, CommittedUnit, TraceCommitError, commit_trace};
pub use window::{DrawnLeaf, TraceWindow};

use weighbridge_attest_types::{Domain, sha256};

use crate::key::Key;

/// Salts of everything that is committed of a run's traces, from one secret.
pub struct Salts([u8; 32]);

impl Salts {
    /// From a secret of the run: 32 random bytes that nobody else has.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Of a unit or an operation.
    #[must_use]
    pub fn of(&self, key: Key, what: &str) -> [u8; 28] {
        self.derive(what, &key.elements())
    }

    /// Of a window's published root.
    #[must_use]
    pub fn window(&self, index: u64) -> [u8; 28] {
        self.derive("window", &[index])
    }

    /// The first 28 bytes of SHA-256(framed `Domain::Salt`, `trace`, the secret, what for, the numbers).
    fn derive(&self, what: &str, numbers: &[u64]) -> [u8; 28] {
        let Self(secret) = self;
        let mut out = Domain::Salt.encoder();
        out.field(b"trace").field(secret).field(what.as_bytes()).count(numbers.len());
        for number in numbers {
            out.put(number);
        }
        let digest = sha256(&out.finish());
        let mut salt = [0u8; 28];
        salt.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
        salt
    }
}

impl std::fmt::Debug for Salts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salts(secret)")
    }
}

#[cfg(test)]
mod tests;
