//! Writes the fuzz targets' starting corpus into the folder named on the command line.

use std::path::PathBuf;

fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("tests/fuzz/corpus"), PathBuf::from);
    weighbridge_tests::parsers::write_seeds(&folder).expect("the corpus folder can be written");
}
