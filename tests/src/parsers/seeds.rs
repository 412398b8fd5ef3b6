//! **Duty.** The starting corpus of each fuzz target: honest samples, captured evidence, and some damaged bytes, so that
//! the fuzzer begins behind the first check. **Does not know** fuzzers.

use std::path::Path;
use std::{fs, io};

use crate::parsers::{Mutator, PARSERS, captures};

/// Damaged samples per row, beside the whole ones.
const DAMAGED: usize = 40;

/// Writes `FOLDER/NAME/…` for every row.
///
/// # Errors
/// Whatever the file system says.
pub fn write_seeds(folder: &Path) -> io::Result<()> {
    for parser in PARSERS {
        let folder = folder.join(parser.name);
        fs::create_dir_all(&folder)?;
        let samples: Vec<Vec<u8>> = (parser.samples)().into_iter().chain(captures(parser.name)).collect();
        let mut mutator = Mutator::new(1, parser.form, samples.clone());
        let damaged = (0..DAMAGED).map(|_| mutator.damaged());
        for (number, bytes) in samples.iter().cloned().chain(damaged).enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), bytes)?;
        }
        println!("{}: {} samples", parser.name, samples.len());
    }
    Ok(())
}
