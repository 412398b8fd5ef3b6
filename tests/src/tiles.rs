//! **Duty.** Matrix products of real training steps as strips and tiles, and the same products computed again in other
//! orders or changed as a forger would. **Knows** the captured steps. **Does not know** how a tile is judged.
//! **Spec.** README of the traces (`captured-step/v1`); CIRCUITS §5 (trial).

mod captured;
mod change;
mod count;
mod kernels;
mod synthetic;

pub use captured::{CapturedStep, Matrix, MatrixProduct, captured_steps};
pub use change::{CHANGES, Change};
pub use count::{Count, formats, policy_of};
pub use kernels::{KERNELS, Kernel};
pub use synthetic::synthetic;
