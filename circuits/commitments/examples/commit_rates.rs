//! Measures how fast a checkpoint is committed: `commit_rates FOLDER`, on files that it makes there (about 1.2 GB).
//! Each line is one computation over one file in the page cache, with one thread and with all cores; the last column is
//! the rate for each second of processor time with one thread, which other work on the machine disturbs least.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use weighbridge_commitments::{Effort, algebraic_root, commit_checkpoint, fast_root, file_digests};

type Computation = fn(&[PathBuf], Effort);

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("name a folder"));
    let one = |shape: &str, dtype: &str, bytes| vec![(shape.to_owned(), dtype.to_owned(), bytes)];
    let small: Vec<_> =
        (0..20_000).map(|i| (format!("[{},24]", 10 + i % 7), "BF16".to_owned(), (10 + i % 7) * 48)).collect();
    let large = make(&folder, "large", &one("[32768,16384]", "BF16", 1 << 30));
    let algebraic = [
        ("matrix BF16 [1024,8192]", make(&folder, "bf16", &one("[1024,8192]", "BF16", 16 << 20))),
        ("matrix F32 [512,8192]", make(&folder, "f32", &one("[512,8192]", "F32", 16 << 20))),
        ("matrix U8 [2048,8192]", make(&folder, "u8", &one("[2048,8192]", "U8", 16 << 20))),
        ("wide BF16 [16,524288]", make(&folder, "wide", &one("[16,524288]", "BF16", 16 << 20))),
        ("20,000 small BF16 [10..16,24]", make(&folder, "small", &small)),
        ("vector F32 [262144]", make(&folder, "vector", &one("[262144]", "F32", 1 << 20))),
    ];
    let fast: Computation = |files, effort| {
        fast_root(files, effort, &mut |_, _| ()).unwrap();
    };
    let sha: Computation = |files, effort| drop(file_digests(files, effort, &mut |_, _| ()).unwrap());
    let poseidon: Computation = |files, effort| {
        algebraic_root(files, effort, &mut |_, _| ()).unwrap();
    };
    let all: Computation = |files, effort| drop(commit_checkpoint(files, effort, &mut |_, _| ()).unwrap());
    for (what, file) in &algebraic {
        measure(&format!("algebraic root, {what}"), file, poseidon);
    }
    measure("fast root, 1 GiB BF16", &large, fast);
    measure("SHA-256, 1 GiB in one file", &large, sha);
    measure("everything, matrix BF16 [1024,8192]", &algebraic[0].1, all);
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn measure(what: &str, file: &Path, compute: Computation) {
    let files = [file.to_owned()];
    let bytes = std::fs::metadata(file).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "a rate is printed with three digits")]
    let megabytes = bytes as f64 / 1e6;
    // The best of some runs: what the machine can do when nobody disturbs it.
    let rates = |effort| {
        let (mut wall, mut processor) = (0f64, 0f64);
        for _ in 0..3 {
            let (began, spent) = (Instant::now(), processor_seconds());
            compute(&files, effort);
            wall = wall.max(megabytes / began.elapsed().as_secs_f64());
            processor = processor.max(megabytes / (processor_seconds() - spent));
        }
        (wall, processor)
    };
    let ((one, core), cores) = (rates(Effort::threads(1)), Effort::all_cores());
    let (all, each) = rates(cores);
    println!(
        "{what:48} {one:8.1} MB/s on 1 {all:8.1} MB/s on {} ({:.2}x) {core:8.1}, {each:8.1} MB per core second",
        cores.thread_count(),
        all / one
    );
}

/// Processor time of this process so far, user and system (proc(5): ticks of 10 ms).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn make(folder: &Path, name: &str, tensors: &[(String, String, u64)]) -> PathBuf {
    let path = folder.join(format!("{name}.safetensors"));
    let mut rows = Vec::new();
    let mut offset = 0;
    for (index, (shape, dtype, bytes)) in tensors.iter().enumerate() {
        let end = offset + bytes;
        rows.push(format!(r#""t{index}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{offset},{end}]}}"#));
        offset = end;
    }
    let header = format!("{{{}}}", rows.join(","));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let pattern: Vec<u8> = (0..1_000_003u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut left = offset;
    while left > 0 {
        let part = usize::try_from(left).unwrap().min(pattern.len());
        file.write_all(&pattern[..part]).unwrap();
        left -= part as u64;
    }
    file.flush().unwrap();
    path
}
