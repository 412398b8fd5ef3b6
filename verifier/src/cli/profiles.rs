//! **Duty.** Threshold profiles of the reader's own, from files. **Knows** that no such file may pass for a law that ships
//! with the program. **Does not know** how a run is weighed against them. **Spec.** COMPUTE §3.

use std::path::{Path, PathBuf};

use weighbridge_attest_types::{MAX_PROFILE_BYTES, ThresholdProfile, built_in_profiles};

use crate::error::CliError;
use crate::files;

/// Reads files, or the `*.json` files of folders.
pub(super) fn load(paths: &[PathBuf]) -> Result<Vec<ThresholdProfile>, CliError> {
    let mut own: Vec<ThresholdProfile> = Vec::new();
    for path in paths {
        let mut found = files::files_at(path)?;
        let by_name = found.iter().any(|file| file == path);
        found.retain(|file| by_name || is_json(file));
        if found.is_empty() {
            return Err(CliError::NoProfiles { path: path.clone() });
        }
        for path in found {
            let profile = read(&path)?;
            if let Some((why, id)) = clash(&profile, &own) {
                return Err(CliError::ProfileClash { path, why, id });
            }
            own.push(profile);
        }
    }
    Ok(own)
}

/// Whether an argument names a file and not an id.
pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "json")
}

fn read(path: &Path) -> Result<ThresholdProfile, CliError> {
    let bytes = files::read_capped(path, MAX_PROFILE_BYTES as u64)?;
    // What is no UTF-8 is no JSON either, and the parser says so.
    let text = String::from_utf8_lossy(&bytes);
    ThresholdProfile::parse(&text).map_err(|source| CliError::Profile { path: path.to_owned(), source })
}

/// One id means one threshold, and one instrument says one thing at a time.
fn clash(profile: &ThresholdProfile, own: &[ThresholdProfile]) -> Option<(&'static str, String)> {
    let known = built_in_profiles();
    if let Some(taken) = known.iter().chain(own).find(|other| other.id == profile.id) {
        return Some(("the id is taken by", taken.id.clone()));
    }
    let other = own.iter().find(|other| other.overlaps(profile))?;
    Some(("the same instrument, at the same time as", other.id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const OWN: &str = include_str!("../../../attest/types/profiles/us-ny-raise.json");

    fn refusal(files: &[(&str, String)]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let loaded = load(&[folder.path().to_owned()]);
        let ids = loaded.map(|profiles| profiles.into_iter().map(|profile| profile.id).collect());
        ids.map_err(|error| error.chain().replace(&folder.path().display().to_string(), "FOLDER"))
    }

    #[test]
    fn a_profile_of_ones_own_is_read_and_may_not_pass_for_another() {
        let own = OWN.replace("us-ny-raise", "mine");
        assert_eq!(refusal(&[("mine.json", own.clone()), ("notes.txt", String::new())]), Ok(vec!["mine".to_owned()]));
        let taken = refusal(&[("a.json", OWN.to_owned())]);
        assert_eq!(taken, Err("threshold profile FOLDER/a.json: the id is taken by `us-ny-raise`".to_owned()));
        let twice = refusal(&[("a.json", own.clone()), ("b.json", own.replace("mine", "mine-too"))]);
        let expected = "threshold profile FOLDER/b.json: the same instrument, at the same time as `mine`";
        assert_eq!(twice, Err(expected.to_owned()));
        assert_eq!(refusal(&[]), Err("FOLDER holds no *.json file".to_owned()));
        let small = own.replace("\"100000000000000000000000000\"", "\"1026\"");
        let said = refusal(&[("a.json", small)]).unwrap_err();
        assert!(said.ends_with("threshold 1026 FLOP is below 10^20; only status `demonstration` may be"), "{said}");
    }
}
