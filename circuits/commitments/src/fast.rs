//! **Duty.** `fast_root` alone, as fast as the machine reads: BLAKE3 is a tree, so a crew hashes pieces of the stream
//! and the lead joins them. **Knows** the stream of `roots.rs`. **Does not know** Poseidon. **Spec.** PROTOCOL §3;
//! the BLAKE3 paper §2.1 (left-balanced tree of 1 KiB chunks).

use std::fs::File;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use weighbridge_attest_types::{Digest32, Domain};

use crate::CommitError;
use crate::checkpoint::Located;
use crate::crew::with_crew;
use crate::files::first_bytes;
use crate::roots::fast_header;

/// One piece of the stream: a power of two of BLAKE3's chunks, so that every piece is a subtree.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Bytes read at once: they are hashed from the processor's cache.
const CHUNK_BYTES: usize = 128 * 1024;

/// Where everything stands in the stream.
struct Stream<'a> {
    located: &'a [Located<'a>],
    prefix: Vec<u8>,
    /// Where each tensor's header begins; one more for the end.
    starts: Vec<u64>,
}

/// What a thread takes along from piece to piece.
struct Kit<'a> {
    buffer: Vec<u8>,
    open: Option<(&'a str, File)>,
}

/// The tree above the pieces: complete subtrees, the tallest first, and the newest piece, which may be the last.
#[derive(Default)]
struct Joined {
    complete: Vec<(u32, ChainingValue)>,
    newest: Option<ChainingValue>,
}

/// `fast_root` of tensors in the order of their names.
///
/// # Errors
/// [`CommitError`] of a file.
pub(crate) fn fast_root(
    located: &[Located<'_>],
    threads: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Digest32, CommitError> {
    let stream = Stream::of(located);
    let total = stream.length();
    let work = |(from, kit)| stream.piece(from, kit);
    with_crew(threads, &work, |crew| {
        let (mut joined, mut kits, mut done) = (Joined::default(), Vec::new(), 0u64);
        let mut from = 0u64;
        while from < total {
            let kit = kits.pop().unwrap_or_else(|| Kit { buffer: vec![0; CHUNK_BYTES], open: None });
            let mut ready = crew.submit((from, kit));
            from = from.saturating_add(PIECE_BYTES);
            if from >= total {
                ready.extend(crew.finish());
            }
            for piece in ready {
                let (hasher, kit) = piece?;
                if total <= PIECE_BYTES {
                    progress(total, total);
                    return Ok(Digest32(hasher.finalize().into()));
                }
                joined.push(hasher.finalize_non_root());
                kits.push(kit);
                done = done.saturating_add(PIECE_BYTES).min(total);
                progress(done, total);
            }
        }
        Ok(joined.root())
    })
}

impl<'a> Stream<'a> {
    fn of(located: &'a [Located<'a>]) -> Self {
        let prefix = Domain::FastRoot.encoder().finish();
        let mut at = prefix.len() as u64;
        let mut starts = vec![at];
        for Located { tensor, .. } in located {
            at = at.saturating_add(fast_header(tensor).len() as u64).saturating_add(tensor.bytes);
            starts.push(at);
        }
        Self { located, prefix, starts }
    }

    fn length(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Hashes one piece: parts of headers and of tensors, as they come.
    fn piece(&self, from: u64, mut kit: Kit<'a>) -> Result<(blake3::Hasher, Kit<'a>), CommitError> {
        let to = from.saturating_add(PIECE_BYTES).min(self.length());
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(from);
        hasher.update(part(&self.prefix, 0, from, to));
        let first = self.starts.partition_point(|start| *start <= from).saturating_sub(1);
        for (start, located) in self.starts.iter().zip(self.located).skip(first).take_while(|(start, _)| **start < to) {
            let header = fast_header(located.tensor);
            hasher.update(part(&header, *start, from, to));
            let data = start.saturating_add(header.len() as u64);
            let (mut at, end) = (from.max(data), to.min(data.saturating_add(located.tensor.bytes)));
            if at < end {
                kit.turn_to(located)?;
            }
            let Kit { buffer, open: Some((_, file)) } = &mut kit else { continue };
            let bytes = located.shard.tensor_bytes(file, located.tensor);
            while let left @ 1.. = end.saturating_sub(at) {
                let chunk = first_bytes(buffer, left);
                bytes.read(at.saturating_sub(data), chunk)?;
                hasher.update(chunk);
                at = at.saturating_add(chunk.len() as u64);
            }
        }
        Ok((hasher, kit))
    }
}

/// What of `bytes`, which begin at `start` of the stream, lies between two places of the stream.
fn part(bytes: &[u8], start: u64, from: u64, to: u64) -> &[u8] {
    let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(place(from)..place(to)).unwrap_or_default()
}

impl<'a> Kit<'a> {
    fn turn_to(&mut self, located: &Located<'a>) -> Result<(), CommitError> {
        let source = &located.shard.source;
        if self.open.as_ref().is_none_or(|(name, _)| *name != source.name()) {
            self.open = Some((source.name(), source.open()?));
        }
        Ok(())
    }
}

impl Joined {
    /// Adds the next piece. The newest is joined only when another follows: the last join of all is the root.
    fn push(&mut self, piece: ChainingValue) {
        let Some(mut value) = self.newest.replace(piece) else { return };
        let mut level = 0u32;
        while let Some((_, left)) = self.complete.pop_if(|(top, _)| *top == level) {
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
            level = level.saturating_add(1);
        }
        self.complete.push((level, value));
    }

    fn root(mut self) -> Digest32 {
        let mut value = self.newest.unwrap_or_default();
        while let Some((_, left)) = self.complete.pop() {
            if self.complete.is_empty() {
                return Digest32(merge_subtrees_root(&left, &value, Mode::Hash).into());
            }
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
        }
        Digest32(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..20 * 1024u32 + 5).map(|i| (i % 251).try_into().unwrap()).collect();
        for length in (2..20).map(|pieces| pieces * 1024).chain([1_025, 2_049, 20_000, bytes.len()]) {
            let mut joined = Joined::default();
            for (index, piece) in bytes[..length].chunks(1_024).enumerate() {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset(1_024 * index as u64);
                joined.push(hasher.update(piece).finalize_non_root());
            }
            assert_eq!(joined.root(), Digest32(blake3::hash(&bytes[..length]).into()), "{length} bytes");
        }
    }
}
