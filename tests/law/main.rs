//! **Duty.** The architecture as an ordinary test: what HOUSE says in words is held here by reading the tree.
//! **Knows** the files of this workspace and `cargo metadata`. **Does not know** what any of the code computes.
//! **Spec.** ARCHITECTURE.md; every breach names the file, the line and the remedy.

mod docs;
mod floors;
mod lints;
mod sizes;
mod source;
mod tables;
mod tree;
mod units;
mod words;
