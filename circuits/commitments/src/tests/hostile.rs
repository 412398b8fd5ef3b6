//! Files that nobody should accept: each with the error that names what is wrong.

use super::*;

fn refused(header: &[u8], data: &[u8]) -> HeaderError {
    let folder = TempDir::new().unwrap();
    let path = write_raw(folder.path(), "model.safetensors", header, data);
    match commit(std::slice::from_ref(&path)) {
        Err(CommitError::Header { file, source }) if file == path => source,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(header)),
    }
}

fn tensor(rest: &str) -> String {
    format!(r#"{{"w":{{{rest}}}}}"#)
}

/// A case per line: header, bytes of data, the exact error.
macro_rules! refuses {
    ($($header:expr, $data:expr => $error:pat $(if $guard:expr)?),* $(,)?) => {$(
        let error = refused($header.as_ref(), &[7; $data]);
        assert!(matches!(&error, $error $(if $guard)?), "{}: {error:?}", stringify!($header));
    )*};
}

#[test]
fn counts_and_offsets_that_do_not_fit_are_refused() {
    use HeaderError::{Gap, Overlap, Shape, Size, Trailing, Truncated};
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{second}}}}}"#
        )
    };
    let dims = |shape: &str| tensor(&format!(r#""dtype":"F64","shape":{shape},"data_offsets":[0,0]"#));
    refuses! {
        two("[0,4]", "[4,8]"), 7 => Truncated { missing: 1 },
        two("[0,4]", "[4,8]"), 9 => Trailing { extra: 1 },
        two("[0,4]", "[5,9]"), 9 => Gap { begin: 5, expected: 4, .. },
        two("[1,5]", "[5,9]"), 9 => Gap { begin: 1, expected: 0, .. },
        two("[0,4]", "[3,7]"), 8 => Overlap { begin: 3, expected: 4, .. },
        two("[0,4]", "[0,4]"), 4 => Overlap { begin: 0, expected: 4, .. },
        two("[0,4]", "[4,9]"), 9 => Size { needed: 4, begin: 4, end: 9, .. },
        two("[0,4]", "[8,4]"), 8 => Size { begin: 8, end: 4, .. },
        two("[0,4]", "[18446744073709551615,3]"), 8 => Size { .. },
        two("[0,4]", "[18446744073709551611,18446744073709551615]"), 8 => Gap { .. },
        dims("[18446744073709551615,18446744073709551615]"), 0 => Shape { .. },
        dims("[4294967296,4294967296,0]"), 0 => Shape { .. },
        dims("[72057594037927936,0]"), 0 => Shape { .. },
        dims("[268435456,268435456,0]"), 0 => Shape { .. },
        dims("[2305843009213693952]"), 0 => Shape { .. },
        dims("[]"), 8 => Size { needed: 8, .. },
        "{}", 1 => Trailing { extra: 1 },
    }
}

#[test]
fn headers_of_another_form_are_refused() {
    use HeaderError::{Json, NoBrace};
    let offsets = |text: &str| tensor(&format!(r#""dtype":"U8","shape":[4],"data_offsets":{text}"#));
    let shape = |text: &str| tensor(&format!(r#""dtype":"U8","shape":{text},"data_offsets":[0,4]"#));
    let deep = |head: &str| format!("{head}{}", "[".repeat(100_000));
    refuses! {
        "", 0 => NoBrace,
        "[]", 0 => NoBrace,
        " {}", 0 => NoBrace,
        "{", 0 => Json(_),
        "{}x", 0 => Json(_),
        b"{\"\xff\":{}}", 0 => Json(_),
        deep(r#"{"w":"#), 0 => Json(_),
        deep(r#"{"w":{"x":"#), 0 => Json(_),
        deep(r#"{"__metadata__":{"a":"#), 0 => Json(_),
        r#"{"__metadata__":{"a":1}}"#, 0 => Json(_),
        r#"{"__metadata__":null}"#, 0 => Json(_),
        offsets("[-4,0]"), 4 => Json(_),
        offsets("[0,4.0]"), 4 => Json(_),
        offsets("[0,4e0]"), 4 => Json(_),
        offsets("[0,18446744073709551616]"), 4 => Json(_),
        offsets("[0,4,8]"), 4 => Json(_),
        offsets("[0]"), 4 => Json(_),
        offsets("null"), 4 => Json(_),
        shape("[-4]"), 4 => Json(_),
        shape("4"), 4 => Json(_),
        shape(&format!("[4{}]", ",1".repeat(64))), 4 => Json(_),
        shape(&format!("[4{}]", ",1".repeat(4_000_000))), 4 => Json(_),
        tensor(r#""dtype":"U8","shape":[4],"data_offsets":[0,4],"extra":1"#), 4 => Json(_),
        tensor(r#""dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]"#), 4 => Json(_),
        tensor(r#""dtype":"U8","shape":[4]"#), 4 => Json(_),
        tensor(r#""dtype":8,"shape":[4],"data_offsets":[0,4]"#), 4 => Json(_),
        format!(r#"{{"{}":{{"dtype":"U8","shape":[],"data_offsets":[0,1]}}}}"#, "n".repeat(1_025)), 1 => Json(_),
    }
}

#[test]
fn names_twice_and_foreign_data_types_are_refused() {
    use HeaderError::{DuplicateName, PartByte, Size, UnknownDtype};
    let one = r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let dtype = |name: &str| tensor(&format!(r#""dtype":"{name}","shape":[8],"data_offsets":[0,8]"#));
    refuses! {
        format!(r#"{{"w":{one},"x":{one},"w":{one}}}"#), 4 => DuplicateName { name } if name == "w",
        format!(r#"{{"w":{one},"\u0077":{one}}}"#), 4 => DuplicateName { name } if name == "w",
        r#"{"__metadata__":{},"__metadata__":{}}"#, 0 => DuplicateName { .. },
        dtype("F128"), 8 => UnknownDtype { dtype, .. } if dtype == "F128",
        dtype("bf16"), 8 => UnknownDtype { .. },
        dtype(&"é".repeat(100_000)), 8 => UnknownDtype { dtype, .. } if dtype.chars().count() == 32,
        dtype("F4"), 8 => Size { needed: 4, .. },
        dtype("F6_E2M3"), 8 => Size { needed: 6, .. },
        tensor(r#""dtype":"F4","shape":[3],"data_offsets":[0,2]"#), 2 => PartByte { dtype: "F4", elements: 3, .. },
        tensor(r#""dtype":"F6_E3M2","shape":[3,2],"data_offsets":[0,5]"#), 5 => PartByte { elements: 6, .. },
    }
    let culprit = |header: String| refused(header.as_bytes(), &[0; 8]).culprit();
    assert_eq!(culprit(dtype("F4")), Culprit::Malformed);
    assert_eq!(culprit(dtype("F128")), Culprit::Unsupported);
    assert_eq!(culprit(format!(r#"{{"w":{one},"w":{one}}}"#)), Culprit::Malformed);
}

#[test]
fn announced_lengths_are_checked_before_anything_is_allocated() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    for (length, tail) in [(u64::MAX, 0), (1 << 62, 100), (MAX_HEADER_BYTES + 1, 16)] {
        fs::write(&path, [length.to_le_bytes().to_vec(), vec![b'{'; tail]].concat()).unwrap();
        let error = commit(std::slice::from_ref(&path)).unwrap_err();
        assert_eq!(error.culprit(), Culprit::Unsupported);
        let CommitError::Header { source: HeaderError::TooLarge { found, cap }, .. } = error else { panic!("{error}") };
        assert_eq!((found, cap), (length, 8 * 1024 * 1024));
    }
    fs::write(&path, [MAX_HEADER_BYTES.to_le_bytes().to_vec(), b"{}".to_vec()].concat()).unwrap();
    let error = commit(&[path]).unwrap_err();
    let CommitError::Header { source: HeaderError::Truncated { missing }, .. } = error else { panic!("{error}") };
    assert_eq!(missing, MAX_HEADER_BYTES - 2);
}

#[test]
fn a_file_cut_at_any_byte_is_truncated_by_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let whole = write(folder.path(), "whole", &model()[2..]);
    let bytes = fs::read(&whole).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let cut = folder.path().join("cut");
    for length in (0..bytes.len()).filter(|length| *length as u64 <= header + 64 || length % 97 == 0) {
        fs::write(&cut, &bytes[..length]).unwrap();
        let error = commit(std::slice::from_ref(&cut)).unwrap_err();
        let CommitError::Header { source: HeaderError::Truncated { missing }, .. } = error else {
            panic!("{length}: {error:?}")
        };
        let needed = match length as u64 {
            0..8 => 8,
            8.. if (length as u64) < header => header,
            _ => bytes.len() as u64,
        };
        assert_eq!(missing, needed - length as u64, "cut at {length}");
    }
}

#[test]
fn what_is_no_set_of_files_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = TempDir::new().unwrap();
    let model = write(folder.path(), "model.safetensors", &model()[..2]);
    fs::create_dir(folder.path().join("sub")).unwrap();
    let copy = folder.path().join("sub/model.safetensors");
    fs::copy(&model, &copy).unwrap();
    let other = folder.path().join("other.safetensors");
    fs::copy(&model, &other).unwrap();
    let empty = write(folder.path(), "empty.safetensors", &[]);
    let foreign = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.safetensors"));
    fs::copy(&model, &foreign).unwrap();

    let error = |files: &[&PathBuf]| commit(&files.iter().map(|file| (*file).clone()).collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(error(&[]), CommitError::NoFiles));
    assert!(matches!(error(&vec![&model; 8_193]), CommitError::TooManyFiles { found: 8_193, cap: 8_192 }));
    assert!(matches!(error(&[&model, &copy]), CommitError::DuplicateFile { name } if name == "model.safetensors"));
    assert!(matches!(error(&[&model, &model]), CommitError::DuplicateFile { .. }));
    assert!(matches!(error(&[&foreign]), CommitError::FileName { .. }));
    assert!(matches!(error(&[&folder.path().to_owned()]), CommitError::NotAFile { .. }));
    assert!(matches!(error(&[&PathBuf::from("/dev/null")]), CommitError::NotAFile { .. }));
    assert!(matches!(error(&[&folder.path().join("absent")]), CommitError::Io { .. }));
    assert!(matches!(error(&[&empty]), CommitError::NoTensors));
    let CommitError::DuplicateTensor { tensor, first, second } = error(&[&other, &model]) else { panic!() };
    assert_eq!((tensor.as_str(), first, second), ("layer.10.weight", model, other));
}

#[test]
fn symbolic_links_are_followed_under_their_own_name() {
    let folder = TempDir::new().unwrap();
    let file = write(folder.path(), "model.safetensors", &model());
    let link = folder.path().join("latest.safetensors");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (direct, linked) = (commit(&[file]).unwrap(), commit(&[link]).unwrap());
    assert_eq!(direct.algebraic_root, linked.algebraic_root);
    assert_eq!(linked.files[0].name, "latest.safetensors");
    assert_eq!(linked.files[0].sha256, direct.files[0].sha256);
}

/// Name, data type, shape, first byte, byte after the last.
type Row = (String, String, Vec<u64>, usize, usize);

/// What the format's own crate makes of the same bytes.
fn oracle(bytes: &[u8]) -> Option<Vec<Row>> {
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    let row = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let shape = info.shape.iter().map(|&extent| extent as u64).collect();
        (name, info.dtype.to_string(), shape, info.data_offsets.0, info.data_offsets.1)
    };
    let mut rows: Vec<_> = metadata.tensors().into_iter().map(row).collect();
    rows.sort();
    Some(rows)
}

fn ours(bytes: &[u8]) -> Option<Vec<Row>> {
    let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().unwrap())).ok()?;
    let header = bytes.get(8..length.checked_add(8)?)?;
    let row = |Tensor { name, dtype, shape, offset, bytes, .. }: Tensor| {
        let (name, shape) = (name.to_string(), shape.to_vec());
        let (begin, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset + bytes).unwrap());
        (name, dtype.name.to_owned(), shape, begin, end)
    };
    let tensors = parse_header(header, (bytes.len() - 8 - length) as u64).ok()?;
    let mut rows: Vec<_> = tensors.into_iter().map(row).collect();
    rows.sort();
    Some(rows)
}

#[test]
fn our_table_of_data_types_is_that_of_the_format() {
    use safetensors::Dtype;
    let codes: Vec<u64> = all_dtypes().iter().map(|dtype| dtype.code).collect();
    assert_eq!(codes, (1..=22).collect::<Vec<_>>());
    let theirs = |name: &str| serde_json::from_value::<Dtype>(serde_json::Value::String(name.to_owned())).unwrap();
    for dtype in all_dtypes() {
        assert_eq!(theirs(dtype.name).bitsize() as u64, dtype.bits, "{}", dtype.name);
    }
    // The crate's list stands in its own error message for an unknown type.
    let error = serde_json::from_str::<Dtype>("\"F128\"").unwrap_err().to_string();
    let known: std::collections::BTreeSet<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
    assert_eq!(known, all_dtypes().iter().map(|dtype| dtype.name).collect(), "{error}");
}

#[test]
fn an_empty_tensor_may_stand_between_two_bytes() {
    let header = br#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"none":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"end":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}"#;
    let names = |tensors: Vec<Tensor>| tensors.into_iter().map(|tensor| tensor.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(parse_header(header, 4).unwrap()), ["none", "a", "end"]);
}

#[test]
fn files_written_by_the_formats_own_crate_are_read_alike() {
    let samples = model();
    let view = |sample: &Sample| {
        let dtype = serde_json::from_value(serde_json::Value::String(sample.dtype.to_owned())).unwrap();
        let shape = sample.shape.iter().map(|&extent| usize::try_from(extent).unwrap()).collect();
        let view =
            safetensors::tensor::TensorView::new(dtype, shape, Box::leak(sample.bytes.clone().into_boxed_slice()));
        (sample.name.clone(), view.unwrap())
    };
    let bytes = safetensors::serialize(samples.iter().map(view), None).unwrap();
    assert_eq!(ours(&bytes), oracle(&bytes));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    assert_eq!(commit(&[path]).unwrap().algebraic_root, commit_samples(&samples).algebraic_root);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, &bytes).unwrap();
        prop_assert!(commit(&[path]).is_err());
    }

    #[test]
    fn what_we_accept_the_format_accepts_with_the_same_meaning(
        at in 8usize..420,
        with in proptest::collection::vec(any::<u8>(), 0..4),
        cut in 0usize..3,
        tail in 0usize..3,
    ) {
        let folder = TempDir::new().unwrap();
        let mut bytes = fs::read(write(folder.path(), "whole", &model()[2..7])).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) + with.len() as u64 - cut as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes.splice(at..at + cut, with);
        bytes.truncate(bytes.len() - tail);
        if let Some(rows) = ours(&bytes) {
            prop_assert_eq!(Some(rows), oracle(&bytes));
        }
    }
}

#[test]
fn thousands_of_mutated_headers_are_refused_or_cover_their_data_exactly() {
    let folder = TempDir::new().unwrap();
    let file = fs::read(write(folder.path(), "whole", &model())).unwrap();
    let length = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let (header, data) = (&file[8..8 + length], (file.len() - 8 - length) as u64);
    // A fixed generator: a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let words: [&[u8]; 10] =
        [b"0", b"9", b"[", b"]", b"{", b"}", b",", b"\"", b"18446744073709551615", b"\"dtype\":\"F4\","];
    let mut accepted = 0;
    for _ in 0..6_000 {
        let mut other = header.to_vec();
        for _ in 0..=next(3) {
            let at = next(other.len());
            match next(5) {
                0 => other[at] ^= 1 << next(8),
                1 => drop(other.splice(at..at, words[next(words.len())].iter().copied())),
                2 => drop(other.drain(at..(at + 1 + next(12)).min(other.len()))),
                3 => {
                    let from = next(other.len());
                    let part = other[from..(from + 40).min(other.len())].to_vec();
                    drop(other.splice(at..at, part));
                }
                _ => other.truncate(at.max(1)),
            }
            if other.is_empty() {
                break;
            }
        }
        let data = if next(4) == 0 { data + next(3) as u64 } else { data };
        let Ok(tensors) = parse_header(&other, data) else {
            assert!(crate::check_header(&other, data).is_err());
            continue;
        };
        accepted += 1;
        let mut at = 0;
        for Tensor { name, dtype, shape, stored, offset, bytes } in &tensors {
            assert_eq!(*offset, at, "{name}");
            assert_eq!(bytes * 8, shape.iter().product::<u64>() * dtype.bits, "{name}");
            assert_eq!(*bytes, stored.rows * stored.cols * stored.element_bytes, "{name}");
            at += bytes;
        }
        let summary = crate::HeaderSummary { tensors: tensors.len() as u64, bytes: data };
        assert_eq!((at, crate::check_header(&other, data).unwrap()), (data, summary));
    }
    assert!(accepted > 100, "only {accepted} mutations were accepted: the test says little");
}
