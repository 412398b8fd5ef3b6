//! **Duty.** What a verification starts from: the built-in vendor roots, and anchors that the person names by folder.
//! **Knows** files. **Does not know** what a certificate is. **Spec.** PROTOCOL §6: the grade comes from the anchor.

use std::path::Path;

use weighbridge_attest::{built_in_anchors, parse_anchor_file};
use weighbridge_attest_types::TrustAnchors;

use crate::error::CliError;
use crate::files;

/// An anchor file holds one certificate or key; 64 KiB is the cap of any field (`MAX_FIELD_BYTES`).
const MAX_ANCHOR_BYTES: u64 = 64 * 1024;
const SUFFIX: &str = ".anchor.json";

/// The built-in anchors, and those of the folder if one is named. A folder without anchors is an error: whoever names
/// one expects it to count.
///
/// # Errors
/// [`CliError`].
pub(crate) fn load(folder: Option<&Path>) -> Result<TrustAnchors, CliError> {
    let mut anchors = built_in_anchors();
    let Some(folder) = folder else {
        return Ok(anchors);
    };
    let mut found = false;
    for path in files::files_at(folder)? {
        if path == folder {
            return Err(CliError::NotAFolder { path });
        }
        if path.to_string_lossy().ends_with(SUFFIX) {
            let bytes = files::read_capped(&path, MAX_ANCHOR_BYTES)?;
            parse_anchor_file(&bytes, &mut anchors).map_err(|source| CliError::Anchor { path, source })?;
            found = true;
        }
    }
    if found { Ok(anchors) } else { Err(CliError::NoAnchors { path: folder.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use weighbridge_attest_types::{Culprit, Digest32, Grade};

    fn authority(name: &str, grade: &str) -> String {
        let (format, key) = ("weighbridge/trust-anchor/v1", "07".repeat(32));
        format!(r#"{{"format":"{format}","name":"{name}","grade":"{grade}","kind":"time-authority","key":"{key}"}}"#)
    }

    #[test]
    fn without_a_folder_only_built_in_roots_count() {
        assert_eq!(load(None).unwrap(), built_in_anchors());
    }

    #[test]
    fn anchors_of_the_folder_are_added_and_other_files_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("clock.anchor.json"), authority("development clock", "simulated")).unwrap();
        fs::write(folder.path().join("README"), "not an anchor").unwrap();
        let anchors = load(Some(folder.path())).unwrap();
        assert_eq!(anchors.intel, built_in_anchors().intel);
        let [clock] = anchors.time.as_slice() else { panic!("{:?}", anchors.time) };
        assert_eq!((clock.key, clock.grade), (Digest32([7; 32]), Grade::Simulated));
    }

    #[test]
    fn a_file_cannot_lend_a_better_grade() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("clock.anchor.json"), authority("x", "attested")).unwrap();
        let refused = load(Some(folder.path())).unwrap_err();
        assert!(matches!(refused, CliError::Anchor { .. }));
        assert_eq!((refused.culprit(), refused.code()), (Culprit::Usage, "trust-anchor-refused"));
        assert!(
            refused.chain().contains("clock.anchor.json is not an acceptable trust anchor: "),
            "{}",
            refused.chain()
        );
    }

    #[test]
    fn an_empty_missing_or_mistaken_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(load(Some(folder.path())), Err(CliError::NoAnchors { .. })));
        assert!(matches!(load(Some(&folder.path().join("none"))), Err(CliError::Read { .. })));
        let file = folder.path().join("a.anchor.json");
        fs::write(&file, authority("x", "simulated")).unwrap();
        assert!(matches!(load(Some(&file)), Err(CliError::NotAFolder { .. })));
    }
}
