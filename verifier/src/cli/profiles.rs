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
    // Nothing stands in for a byte that is no text: two files would be one profile with one digest.
    let text = std::str::from_utf8(&bytes).map_err(|source| CliError::ProfileText { path: path.to_owned(), source })?;
    ThresholdProfile::parse(text).map_err(|source| CliError::Profile { path: path.to_owned(), source })
}

/// One id means one threshold, and one instrument says one thing at a time.
fn clash(profile: &ThresholdProfile, own: &[ThresholdProfile]) -> Option<(&'static str, String)> {
    let known = built_in_profiles();
    if let Some(taken) = known.iter().chain(own).find(|other| other.id == profile.id) {
        return Some(("the id is taken by", taken.id.clone()));
    }
    let other = known.iter().find(|law| poses_as(profile, law));
    let other = other.or_else(|| own.iter().find(|other| other.overlaps(profile)))?;
    Some(("the same instrument, at the same time as", other.id.clone()))
}

/// Whether a file names the place of a law that ships with the program, while that law is valid. Another way of counting,
/// other capitals or blanks make no other law of it.
fn poses_as(profile: &ThresholdProfile, law: &ThresholdProfile) -> bool {
    let letters = |name: &str| -> String {
        name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let alike = |left: &str, right: &str| letters(left) == letters(right);
    if !alike(&profile.instrument, &law.instrument) || !alike(&profile.citation.clause, &law.citation.clause) {
        return false;
    }
    let mut twin = law.clone();
    (twin.valid_from, twin.valid_to) = (profile.valid_from.clone(), profile.valid_to.clone());
    law.overlaps(&twin)
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
        let own = OWN.replace("us-ny-raise", "mine").replace("RAISE Act", "House rule");
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

    #[test]
    fn a_file_may_not_pass_for_a_law_of_this_program_by_another_spelling() {
        let copy = OWN
            .replace("us-ny-raise", "mine")
            .replace("\"100000000000000000000000000\"", "\"9000000000000000000000000000\"");
        let expected =
            Err("threshold profile FOLDER/a.json: the same instrument, at the same time as `us-ny-raise`".to_owned());
        for own in [
            copy.clone(),
            copy.replace("RAISE Act", "Raise  ACT "),
            copy.replace("\"cumulative\"", "\"training\""),
            copy.replace("\"valid_from\": \"2027", "\"valid_from\": \"2099"),
        ] {
            assert_eq!(refusal(&[("a.json", own)]), expected);
        }
        // A law that was no more, or is not yet, may be told.
        let before =
            copy.replace("\"valid_to\": null", "\"valid_to\": \"2026-12-31\"").replace("2027-01-01", "2026-01-01");
        assert_eq!(refusal(&[("a.json", before)]), Ok(vec!["mine".to_owned()]));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = OWN.replace("us-ny-raise", "mine").replace("RAISE Act", "House ?").into_bytes();
        let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
        bytes[at] = 0xff;
        fs::write(folder.path().join("a.json"), bytes).unwrap();
        let refused = load(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(refused.code(), "profile-refused");
        assert!(refused.chain().contains("is no UTF-8"), "{}", refused.chain());
    }
}
