//! **Duty.** The one way to a trace's tensor bytes: a length and reads at places. **Knows** bytes in memory.
//! **Does not know** files: whoever has one implements [`TensorSource`]. **Spec.** decision 0040.

use thiserror::Error;

/// Bytes of a safetensors file that can be read at any place.
pub trait TensorSource {
    /// Length in bytes.
    fn length(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`SourceError`] when the source cannot give that many.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError>;
}

/// Bytes that were there before and cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{length} bytes at {offset} of the tensors cannot be read: {why}")]
pub struct SourceError {
    /// First byte asked for.
    pub offset: u64,
    /// Bytes asked for.
    pub length: u64,
    /// The reason.
    pub why: String,
}

impl TensorSource for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(into.len())?));
        let Some(bytes) = range.and_then(|range| self.get(range)) else {
            return Err(SourceError { offset, length: into.len() as u64, why: "the bytes end before".to_owned() });
        };
        into.copy_from_slice(bytes);
        Ok(())
    }
}

impl TensorSource for Vec<u8> {
    fn length(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        TensorSource::read(&self.as_slice(), offset, into)
    }
}
