//! **Duty.** Native commitments: Poseidon with domain tags, packing, the numeric spec, and the roots of checkpoints.
//! **Knows** files and safetensors. **Does not know** the circuit builder: a node can commit without a prover.
//! **Spec.** PROTOCOL §3, CIRCUITS §3, TRAINING §3.

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

mod checkpoint;
mod crew;
mod digests;
mod error;
mod fast;
mod files;
mod merkle;
mod opening;
mod path;
mod poseidon;
mod roots;
mod safetensors;
mod spec;
mod tensor;
mod tile;

pub use checkpoint::{
    CheckpointDigests, algebraic_root, commit_checkpoint, commit_opened, fast_root, file_digests, opened_digests,
};
pub use crew::Effort;
pub use error::{CommitError, HeaderError};
pub use files::OpenedFile;
pub use opening::{TensorGrid, TensorTiles, tile_root};
pub use path::{MAX_PATH, MerklePath, MerkleTree, merkle_path, merkle_root};
pub use poseidon::{digest_elements, pack7, poseidon, salt_elements};
pub use safetensors::{HeaderSummary, TensorPlace, check_header, header_length, tensor_places};
pub use spec::commit_spec;
pub use tensor::{TensorShape, tensor_root};
pub use tile::TileHeader;

#[cfg(test)]
mod tests;
