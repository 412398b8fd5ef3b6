//! Checkpoints as a whole: resharding, every kind of change, hostile headers, files that move under the reader.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;
use weighbridge_attest_types::{Culprit, Digest32, Domain, PoseidonDigest, sha256};

use crate::checkpoint::{Cut, algebraic_with, commit_with};
use crate::roots::Buffers;
use crate::safetensors::{MAX_HEADER_BYTES, Tensor, all_dtypes, parse_header};
use crate::{
    CheckpointDigests, CommitError, Effort, HeaderError, TensorShape, algebraic_root, commit_checkpoint,
    digest_elements, fast_root, file_digests, merkle_root, pack7, poseidon, tensor_root,
};

mod hostile;

/// A named change of a model.
type Breaker = (&'static str, fn(&mut Vec<Sample>));
/// A named thing that happens to a file while it is read.
type Disturbance = (&'static str, fn(&Path));

#[derive(Clone)]
struct Sample {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

fn sample(name: &str, dtype: &'static str, shape: &[u64]) -> Sample {
    let bits = all_dtypes().iter().find(|known| known.name == dtype).unwrap().bits;
    let length = shape.iter().product::<u64>() * bits / 8;
    // Bytes without a period of 16, so that a tile taken from a wrong place has other bytes.
    let bytes = (0..length).map(|i| u8::try_from((i * i + 7 * i + name.len() as u64) % 251).unwrap()).collect();
    Sample { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes }
}

/// Scalars, vectors, edges, three dimensions, nothing, and names whose bytewise order differs from the file's.
fn model() -> Vec<Sample> {
    vec![
        sample("layer.10.weight", "BF16", &[37, 45]),
        sample("layer.2.weight", "F32", &[20, 100]),
        sample("Z", "U8", &[]),
        sample("bias", "F64", &[130]),
        sample("conv", "I16", &[3, 7, 18]),
        sample("empty", "F32", &[0, 5]),
        sample("rows-without-columns", "F32", &[5, 0]),
        sample("é", "F8_E4M3", &[16, 16]),
    ]
}

fn write(folder: &Path, name: &str, samples: &[Sample]) -> PathBuf {
    let mut offset = 0;
    let mut rows = Vec::new();
    for Sample { name, dtype, shape, bytes } in samples {
        let end = offset + bytes.len();
        let name = serde_json::to_string(name).unwrap();
        rows.push(format!(r#"{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{offset},{end}]}}"#));
        offset = end;
    }
    let header = format!("{{{}}}  ", rows.join(","));
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.bytes.clone()).collect();
    write_raw(folder, name, header.as_bytes(), &data)
}

fn write_raw(folder: &Path, name: &str, header: &[u8], data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header, data].concat()).unwrap();
    path
}

fn commit(files: &[PathBuf]) -> Result<CheckpointDigests, CommitError> {
    commit_checkpoint(files, Effort::threads(2), &mut |_, _| ())
}

fn commit_samples(samples: &[Sample]) -> CheckpointDigests {
    let folder = TempDir::new().unwrap();
    commit(&[write(folder.path(), "model.safetensors", samples)]).unwrap()
}

/// The definition in its plainest form: whole tensors, recursive trees.
fn by_definition(samples: &[Sample]) -> (Digest32, PoseidonDigest) {
    let mut samples = samples.to_vec();
    samples.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let mut preimage = 24u32.to_le_bytes().to_vec();
    preimage.extend(b"weighbridge/fast-root/v1");
    let mut leaves = Vec::new();
    for Sample { name, dtype, shape, bytes } in &samples {
        for text in [name.as_str(), dtype] {
            preimage.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            preimage.extend(text.as_bytes());
        }
        preimage.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
        shape.iter().for_each(|extent| preimage.extend(extent.to_le_bytes()));
        preimage.extend((bytes.len() as u64).to_le_bytes());
        preimage.extend(bytes);

        let code = all_dtypes().iter().find(|known| known.name == *dtype).unwrap().code;
        let mut elements = vec![1];
        elements.extend(digest_elements(sha256(name.as_bytes())));
        elements.extend([code, shape.len() as u64]);
        elements.extend(shape);
        let tiles = tree(Domain::TileNode, 0, &tiles_by_definition(name, code, shape, bytes));
        elements.extend(tiles.unwrap_or_default().elements());
        leaves.push(poseidon(Domain::TensorLeaf, &elements));
    }
    (Digest32(blake3::hash(&preimage).into()), tree(Domain::TensorNode, 0, &leaves).unwrap())
}

fn tiles_by_definition(name: &str, code: u64, shape: &[u64], bytes: &[u8]) -> Vec<PoseidonDigest> {
    let mut cols = shape.last().copied().unwrap_or(1);
    let mut rows: u64 = shape.iter().rev().skip(1).product();
    if code >= 20 {
        // Bytes, in rows where a row comes to whole bytes.
        rows = if cols * [4, 6, 6][usize::try_from(code - 20).unwrap()] % 8 == 0 { rows } else { 1 };
        cols = bytes.len() as u64 / rows.max(1);
    }
    let size = bytes.len() as u64 / (rows * cols).max(1);
    let mut leaves = Vec::new();
    for (r, c) in (0..rows.div_ceil(16)).flat_map(|r| (0..cols.div_ceil(16)).map(move |c| (r, c))) {
        let mut tile = Vec::new();
        for (row, col, byte) in
            (0..16).flat_map(|row| (0..16).flat_map(move |col| (0..size).map(move |byte| (row, col, byte))))
        {
            let (row, col) = (r * 16 + row, c * 16 + col);
            let place = usize::try_from((row * cols + col) * size + byte).unwrap();
            tile.push(if row < rows && col < cols { bytes[place] } else { 0 });
        }
        let mut elements = vec![1];
        elements.extend(digest_elements(sha256(name.as_bytes())));
        elements.extend([r, c, (rows - r * 16).min(16), (cols - c * 16).min(16), code, rows, cols]);
        elements.extend(pack7(&tile));
        leaves.push(poseidon(Domain::TileLeaf, &elements));
    }
    leaves
}

fn tree(domain: Domain, level: u64, nodes: &[PoseidonDigest]) -> Option<PoseidonDigest> {
    if nodes.len() <= 1 {
        return nodes.first().copied();
    }
    let join = |pair: &[PoseidonDigest]| match pair {
        [left, right] => {
            let elements: Vec<u64> = [level + 1].into_iter().chain(left.elements()).chain(right.elements()).collect();
            poseidon(domain, &elements)
        }
        alone => alone[0],
    };
    tree(domain, level + 1, &nodes.chunks(2).map(join).collect::<Vec<_>>())
}

#[test]
fn both_roots_are_their_definition_whatever_the_buffer_and_the_threads() {
    let folder = TempDir::new().unwrap();
    let mut samples = model();
    samples.extend([
        sample("many-tiles", "U8", &[200, 300]),
        sample("vector", "F32", &[5_003]),
        sample("wide", "BF16", &[18, 3_000]),
        sample("tall", "F64", &[900, 1]),
        sample("fp4", "F4", &[33, 34]),
        sample("fp4-odd-rows", "F4", &[4, 3]),
        sample("fp6", "F6_E2M3", &[20, 3, 4]),
        sample("fp6-vector", "F6_E3M2", &[1_000]),
        sample("fp4-empty", "F4", &[0, 3]),
    ]);
    samples.extend((0..300).map(|i| sample(&format!("small.{i}"), "F16", &[i % 5, 3])));
    let files = [write(folder.path(), "model.safetensors", &samples)];
    let expected = by_definition(&samples);
    for (job_bytes, band_bytes, threads) in
        [(0, 0, 1), (0, 0, 3), (0, 60_000, 2), (6_400, 0, 2), (70_000, 60_000, 1), (1 << 20, 8 << 20, 3)]
    {
        let cut = Cut { threads, buffers: Buffers::new(job_bytes, band_bytes), slice_bytes: Some(1_000) };
        let digests = commit_with(&files, cut, &mut |_, _| ()).unwrap();
        let found = (digests.fast_root, digests.algebraic_root);
        assert_eq!(found, expected, "{job_bytes}, {band_bytes}, {threads} threads");
        let alone = algebraic_with(&files, cut, &mut |_, _| ()).unwrap();
        assert_eq!(alone, expected.1, "{job_bytes}, {band_bytes}, {threads} threads");
    }
}

#[test]
fn both_roots_are_pinned() {
    let digests = commit_samples(&model());
    assert_eq!(digests.fast_root.to_string(), "a5f3f9fb0d16a1565455479bffda452933b0fe9a7d0b79b7435f4260dab3d8aa");
    assert_eq!(digests.algebraic_root.to_string(), "56801a605a71915b074a027c04acae967c068951fedddd0a07e6041d5b46f62f");
    assert_eq!((digests.tensors, digests.bytes), (8, 3330 + 8000 + 1 + 1040 + 756 + 256));
}

#[test]
fn one_file_three_shards_and_any_order_give_the_same_roots() {
    let folder = TempDir::new().unwrap();
    let mut samples = model();
    let one = commit_samples(&samples);
    samples.reverse();
    assert_eq!(commit_samples(&samples).algebraic_root, one.algebraic_root);
    assert_eq!(commit_samples(&samples).fast_root, one.fast_root);

    let shards: Vec<PathBuf> = [&samples[5..], &samples[..2], &samples[2..5]]
        .iter()
        .zip(["c.safetensors", "a.safetensors", "b.safetensors"])
        .map(|(part, name)| write(folder.path(), name, part))
        .collect();
    let three = commit(&shards).unwrap();
    assert_eq!((three.fast_root, three.algebraic_root), (one.fast_root, one.algebraic_root));
    assert_eq!((three.tensors, three.bytes), (one.tensors, one.bytes));

    let mut turned = shards.clone();
    turned.rotate_left(1);
    assert_eq!(commit(&turned).unwrap(), three);
    for (digest, name) in three.files.iter().zip(["a.safetensors", "b.safetensors", "c.safetensors"]) {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        assert_eq!((digest.name.as_str(), digest.bytes), (name, bytes.len() as u64));
        assert_eq!(digest.sha256, sha256(&bytes));
    }
}

#[test]
fn metadata_of_the_file_changes_its_digest_and_no_root() {
    let folder = TempDir::new().unwrap();
    let header = r#"{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let plain = commit(&[write_raw(folder.path(), "m", header.as_bytes(), &[1, 2])]).unwrap();
    let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let with = commit(&[write_raw(folder.path(), "m", header.as_bytes(), &[1, 2])]).unwrap();
    assert_eq!((plain.fast_root, plain.algebraic_root), (with.fast_root, with.algebraic_root));
    assert_ne!(plain.files, with.files);
}

#[test]
fn every_change_of_a_tensor_changes_both_roots() {
    let base = vec![sample("b", "F32", &[2, 3]), sample("a", "F32", &[17, 18])];
    let before = commit_samples(&base);
    let mut changed: Vec<(String, Vec<Sample>)> = Vec::new();
    for byte in 0..base[0].bytes.len() {
        let mut other = base.clone();
        other[0].bytes[byte] ^= 0x80;
        changed.push((format!("byte {byte}"), other));
    }
    let breakers: [Breaker; 8] = [
        ("shape transposed", |model| model[0].shape = vec![3, 2]),
        ("shape with a leading one", |model| model[0].shape = vec![1, 2, 3]),
        ("shape flattened", |model| model[0].shape = vec![6]),
        ("name", |model| model[0].name = "c".to_owned()),
        ("data type of the same size", |model| model[0].dtype = "I32"),
        ("last byte of an edge tile", |model| *model[1].bytes.last_mut().unwrap() ^= 1),
        ("tensor removed", |model| model.truncate(1)),
        ("names exchanged", |model| {
            model[0].name = "a".to_owned();
            model[1].name = "b".to_owned();
        }),
    ];
    for (what, breaker) in breakers {
        let mut other = base.clone();
        breaker(&mut other);
        changed.push((what.to_owned(), other));
    }
    for (what, other) in changed {
        let after = commit_samples(&other);
        assert_ne!(after.fast_root, before.fast_root, "{what}");
        assert_ne!(after.algebraic_root, before.algebraic_root, "{what}");
    }
}

#[test]
fn progress_ends_at_the_announced_total() {
    let folder = TempDir::new().unwrap();
    let files = [write(folder.path(), "model.safetensors", &model())];
    let mut seen = Vec::new();
    commit_checkpoint(&files, Effort::threads(3), &mut |done, total| seen.push((done, total))).unwrap();
    assert!(seen.is_sorted());
    let (done, total) = *seen.last().unwrap();
    assert_eq!(done, total);
}

/// Runs a commitment and lets `act` loose on the file when `when` bytes have been read.
fn commit_while(
    samples: &[Sample],
    when: u64,
    act: fn(&Path),
) -> (Result<CheckpointDigests, CommitError>, u64, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = write(folder.path(), "model.safetensors", samples);
    let (mut acted, mut reached) = (false, 0);
    let cut = Cut { threads: 1, buffers: Buffers::new(0, 0), slice_bytes: Some(1) };
    let outcome = commit_with(std::slice::from_ref(&file), cut, &mut |done, _| {
        reached = done;
        if done >= when && !acted {
            acted = true;
            act(&file);
        }
    });
    assert!(acted, "the file was never touched");
    (outcome, reached, file)
}

fn flip_last_byte(file: &Path) {
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    let mut bytes = fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
    // A writer can set the modification time back; it cannot set the change time.
    fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let actions: [Disturbance; 4] = [
        ("other bytes, same times", flip_last_byte),
        ("shorter", |file| fs::File::options().write(true).open(file).unwrap().set_len(1_000).unwrap()),
        ("replaced", |file| {
            let twin = file.with_extension("twin");
            fs::copy(file, &twin).unwrap();
            fs::rename(twin, file).unwrap();
        }),
        ("longer", |file| fs::File::options().write(true).open(file).unwrap().set_len(100_000).unwrap()),
    ];
    let samples = [sample("wide", "F32", &[40, 100])];
    let bytes = samples[0].bytes.len() as u64;
    for (what, action) in actions {
        // In the first reading, between the two, in the second, and after the last byte.
        for when in [1, bytes, bytes + 400, 2 * bytes] {
            let (outcome, _, file) = commit_while(&samples, when, action);
            let error = outcome.unwrap_err();
            assert!(matches!(&error, CommitError::Changed { file: named } if *named == file), "{what}: {error}");
            assert_eq!(error.culprit(), Culprit::Unavailable);
        }
    }
}

/// Commits two tensors and flips a byte of the first once `when` bytes have been read; the change must be seen from the
/// bytes themselves, before the second tensor is read again and long before the file's times are looked at.
fn first_tensor_flipped_at(samples: &[Sample; 2], when: u64, flip: fn(&Path)) {
    let (outcome, reached, _) = commit_while(samples, when, flip);
    assert!(matches!(outcome.unwrap_err(), CommitError::Changed { .. }));
    let bytes = samples.iter().map(|sample| sample.bytes.len() as u64).sum::<u64>();
    assert!(reached <= 2 * bytes, "the change was only seen at the end");
}

fn flip_from_the_end(file: &Path, distance: usize) {
    let mut content = fs::read(file).unwrap();
    let at = content.len() - distance;
    content[at] ^= 1;
    fs::write(file, content).unwrap();
}

#[test]
fn tiles_of_a_wide_band_come_from_the_bytes_that_entered_the_fast_root() {
    // The first tensor is one band of 16 rows, read twice; the change falls between the two readings.
    let samples = [sample("wide", "F32", &[16, 100]), sample("x", "F32", &[16, 100])];
    first_tensor_flipped_at(&samples, 3 * 6_400 + 110, |file| flip_from_the_end(file, 2 * 6_400 - 10));
}

#[test]
fn roots_come_from_the_bytes_that_entered_the_files_digest() {
    // The first tensor is read in bands; its last row changes after its first band has been read for the roots.
    let samples = [sample("narrow", "U8", &[200, 100]), sample("x", "U8", &[200, 100])];
    first_tensor_flipped_at(&samples, 2 * 20_000 + 200, |file| flip_from_the_end(file, 20_000 + 10));
}

#[test]
fn one_two_and_four_shards_give_the_same_roots_by_every_way() {
    let folder = TempDir::new().unwrap();
    let mut samples = model();
    samples.extend((0..40).map(|i| sample(&format!("block.{i}"), "F32", &[i % 7, 33])));
    let expected = by_definition(&samples);
    for shards in [1, 2, 4] {
        let parts = (0..shards).map(|shard| samples.iter().skip(shard).step_by(shards).cloned().collect::<Vec<_>>());
        let files: Vec<PathBuf> =
            parts.enumerate().map(|(i, part)| write(folder.path(), &format!("{shards}-{i}"), &part)).collect();
        for threads in [1, 2, 5] {
            let effort = Effort::threads(threads);
            let digests = commit_checkpoint(&files, effort, &mut |_, _| ()).unwrap();
            assert_eq!((digests.fast_root, digests.algebraic_root), expected, "{shards} shards, {threads} threads");
            assert_eq!(fast_root(&files, effort, &mut |_, _| ()).unwrap(), expected.0);
            assert_eq!(algebraic_root(&files, effort, &mut |_, _| ()).unwrap(), expected.1);
            assert_eq!(file_digests(&files, effort, &mut |_, _| ()).unwrap(), digests.files);
        }
    }
}

#[test]
fn fast_root_alone_crosses_pieces_tensors_and_files() {
    // Three pieces of 1 MiB, cut at places that fall into headers and tensors of two files.
    let folder = TempDir::new().unwrap();
    let samples: Vec<Sample> =
        (0..9).map(|i| sample(&format!("t{}", (i * 5) % 9), "U8", &[1, 300_000 + i * 1_000])).collect();
    let files = [write(folder.path(), "a", &samples[..4]), write(folder.path(), "b", &samples[4..])];
    let mut seen = Vec::new();
    let root = fast_root(&files, Effort::threads(3), &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(root, by_definition(&samples).0);
    assert!(seen.is_sorted() && seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");
}

#[test]
fn tied_weights_under_two_names_are_two_tensors() {
    let mut samples = vec![sample("lm_head", "F32", &[20, 20]), sample("embedding", "F32", &[20, 20])];
    samples[1].bytes = samples[0].bytes.clone();
    let tied = commit_samples(&samples);
    assert_eq!((tied.tensors, tied.bytes), (2, 3_200));
    assert_eq!((tied.fast_root, tied.algebraic_root), by_definition(&samples));
    let one = commit_samples(&samples[..1]);
    assert!(one.fast_root != tied.fast_root && one.algebraic_root != tied.algebraic_root);
}

#[test]
fn empty_tensors_and_scalars_of_every_type_are_committed() {
    let shapes: [&[u64]; 5] = [&[], &[0], &[0, 3], &[4, 0, 4], &[8]];
    let mut samples = Vec::new();
    for dtype in all_dtypes() {
        // A scalar of less than a byte is no whole byte: the format has none.
        let shapes = shapes.iter().filter(|shape| dtype.bits >= 8 || !shape.is_empty());
        samples.extend(shapes.enumerate().map(|(i, shape)| sample(&format!("{}.{i}", dtype.name), dtype.name, shape)));
    }
    let digests = commit_samples(&samples);
    assert_eq!((digests.fast_root, digests.algebraic_root), by_definition(&samples));
    assert_eq!(digests.tensors, 19 * 5 + 3 * 4);
}

#[test]
fn every_computation_sees_a_file_that_changes() {
    type Compute = fn(&[PathBuf], &mut dyn FnMut(u64, u64)) -> Option<CommitError>;
    let computations: [(&str, Compute); 3] = [
        ("fast", |files, progress| fast_root(files, Effort::threads(1), progress).err()),
        ("algebraic", |files, progress| algebraic_root(files, Effort::threads(1), progress).err()),
        ("files", |files, progress| file_digests(files, Effort::threads(1), progress).err()),
    ];
    let actions: [Disturbance; 4] = [
        ("rewritten", flip_last_byte),
        ("shorter", |file| fs::File::options().write(true).open(file).unwrap().set_len(1_000).unwrap()),
        ("longer", |file| fs::File::options().write(true).open(file).unwrap().set_len(9_000_000).unwrap()),
        ("replaced", |file| {
            let twin = file.with_extension("twin");
            fs::copy(file, &twin).unwrap();
            fs::rename(twin, file).unwrap();
        }),
    ];
    for (what, compute) in computations {
        for (how, action) in actions {
            let folder = TempDir::new().unwrap();
            let files = [write(folder.path(), "model", &[sample("vector", "U8", &[5_000_000 / 16, 4])])];
            let mut acted = false;
            let error = compute(&files, &mut |_, _| {
                if !std::mem::replace(&mut acted, true) {
                    action(&files[0]);
                }
            });
            let error = error.unwrap_or_else(|| panic!("{what}: {how} was not seen"));
            assert!(matches!(&error, CommitError::Changed { file } if *file == files[0]), "{what}, {how}: {error}");
        }
    }
}

#[test]
fn a_tensor_alone_has_the_root_that_it_has_in_a_checkpoint() {
    let mut samples = model();
    samples.sort_by(|one, next| one.name.as_bytes().cmp(next.name.as_bytes()));
    let root = |sample: &Sample| {
        let Sample { name, dtype, shape, bytes } = sample;
        tensor_root(TensorShape { name, dtype, shape }, |from, into| {
            let from = usize::try_from(from).unwrap();
            into.copy_from_slice(bytes.get(from..from + into.len()).ok_or("the bytes end before")?);
            Ok::<(), &str>(())
        })
        .unwrap()
    };
    let roots: Vec<PoseidonDigest> = samples.iter().map(|sample| root(sample).unwrap()).collect();
    assert_eq!(merkle_root(Domain::TensorNode, roots), Some(commit_samples(&samples).algebraic_root));

    let mut short = samples[0].clone();
    short.bytes.pop();
    assert_eq!(root(&short), Err("the bytes end before"));
    let refused = |dtype, shape: &[u64]| {
        tensor_root(TensorShape { name: "x", dtype, shape }, |_, _| Ok::<(), ()>(())).unwrap_err()
    };
    assert!(matches!(refused("BF17", &[1]), HeaderError::UnknownDtype { .. }));
    assert!(matches!(refused("F32", &[1 << 40, 1 << 40]), HeaderError::Shape { .. }));
}
