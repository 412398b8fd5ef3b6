//! **Duty.** Checkpoints on disk: weights and optimizer state as safetensors, complete or absent. **Knows** files and
//! names. **Does not know** digests: the daemon hashes the files itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use thiserror::Error;

use candle_core::{Device, Tensor};

use crate::model::{Momentum, Perceptron};

/// A checkpoint that could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum CheckpointError {
    /// The file system.
    #[error("cannot write the checkpoint at {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The serialiser.
    #[error("cannot serialise the checkpoint at {}", path.display())]
    Serialise {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: SafeTensorError,
    },
}

/// Folder of the checkpoint after a step.
pub(crate) fn checkpoint_folder(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("checkpoint-{step:06}"))
}

/// Goes on from a checkpoint: weights and velocities as they were written.
///
/// # Errors
/// candle's, on a file that is missing or lacks a tensor.
pub(crate) fn read_checkpoint(
    place: &Path,
    model: &Perceptron,
    optimizer: &mut Momentum,
) -> Result<(), candle_core::Error> {
    let load = |file: &str| -> Result<BTreeMap<String, Tensor>, candle_core::Error> {
        Ok(candle_core::safetensors::load(place.join(file), &Device::Cpu)?.into_iter().collect())
    };
    let take = |tensors: &BTreeMap<String, Tensor>, name: &str| {
        tensors.get(name).cloned().ok_or_else(|| candle_core::Error::Msg(format!("the checkpoint has no {name}")))
    };
    let weights = load("model.safetensors")?;
    for (name, variable) in model.names().iter().zip(model.variables()) {
        variable.set(&take(&weights, name)?)?;
    }
    let velocities = load("optimizer.safetensors")?;
    let names = model.names().into_iter().map(|name| format!("velocity.{name}"));
    optimizer.restore(names.map(|name| take(&velocities, &name)).collect::<Result<_, _>>()?)
}

/// Writes `checkpoint-NNNNNN/{model,optimizer}.safetensors` below `folder`. The files are synced in a folder of another
/// name first: the rename is the commit point.
///
/// # Errors
/// [`CheckpointError`].
pub(crate) fn write_checkpoint(
    folder: &Path,
    step: u64,
    model: &Perceptron,
    optimizer: &Momentum,
) -> Result<Vec<PathBuf>, CheckpointError> {
    let place = checkpoint_folder(folder, step);
    let draft = folder.join(format!("checkpoint-{step:06}.partial"));
    let io = |source| CheckpointError::Io { path: place.clone(), source };
    let serialise = |source| CheckpointError::Serialise { path: place.clone(), source };
    fs::create_dir_all(&draft).map_err(io)?;
    let weights = model.names().into_iter().zip(model.variables().into_iter().map(|variable| variable.as_tensor()));
    let velocities = model.names().into_iter().map(|name| format!("velocity.{name}")).zip(optimizer.state());
    safetensors::serialize_to_file(weights, None, &draft.join("model.safetensors")).map_err(serialise)?;
    safetensors::serialize_to_file(velocities, None, &draft.join("optimizer.safetensors")).map_err(serialise)?;
    let names = ["model.safetensors", "optimizer.safetensors"];
    for name in names {
        File::open(draft.join(name)).and_then(|file| file.sync_all()).map_err(io)?;
    }
    fs::rename(&draft, &place).map_err(io)?;
    Ok(names.map(|name| place.join(name)).to_vec())
}
