//! **Duty.** Real captured evidence as further starting points for mutation, where it lies beside the tree. Nothing of
//! it is written into the tree but to the ignored corpus of the fuzz targets.

use std::fs;

use crate::vectors::Case;

/// Captured bytes for one row; empty where there are none, or where the shared folder is absent.
///
/// # Panics
/// When a vector that its `case.json` names cannot be read.
#[must_use]
pub fn captures(name: &str) -> Vec<Vec<u8>> {
    match name {
        "tdx-quote" => files("tdx", |file| file.ends_with(".bin") || file.ends_with(".dat")),
        "tdx-collateral" => files("tdx", |file| file.starts_with("collateral") && file.ends_with(".json")),
        "gpu-report" => files("nvidia-gpu", |file| file.ends_with(".bin")),
        "switch-report" => files("nvidia-nvswitch", |file| file.ends_with(".bin")),
        "rim" => files("nvidia-gpu", |file| file.ends_with(".swidtag") || file.ends_with(".xml")),
        "pem" => files("nvidia-gpu", |file| file.ends_with(".pem")),
        _ => Vec::new(),
    }
}

/// Files of every case of a kind, each content once, ascending.
fn files(kind: &str, wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for case in Case::all(kind) {
        let entries = fs::read_dir(&case.folder).expect("the folder of a case");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted));
        found.extend(paths.iter().map(|path| fs::read(path).expect("a readable vector")));
    }
    found.sort();
    found.dedup();
    found
}
