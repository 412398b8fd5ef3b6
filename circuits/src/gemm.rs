//! **Duty.** `gemm`: one tile of a bf16 matrix product lies in the rounding envelope of the exact product of its committed
//! strips. **Spec.** CIRCUITS §5; docs/statements/gemm.md.

mod circuit;
mod entries;
mod products;
mod statement;
mod strips;
#[cfg(test)]
mod tests;
mod values;
mod whole;

pub use statement::{GEMM_K, GemmOperand, GemmPublic, GemmWitness};
pub(crate) use statement::{GEMM_LONG, GEMM_SHORT, Gemm};
