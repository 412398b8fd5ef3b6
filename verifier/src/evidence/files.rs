//! **Duty.** From paths to evidence and endorsements. **Knows** files and folders. **Does not know** which endorsement a
//! piece of evidence needs: all are handed over, and schemes know their own.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weighbridge_appraisal::{EvidencePiece, MAX_EVIDENCE};
use weighbridge_attest::{Endorsements, pem_certificates, takes_chain};
use weighbridge_attest_types::{Canonical as _, Digest32, EvidenceKind, EvidenceSet, sha256};
use weighbridge_endorsements::{FOLDER_DEPTH, FOLDER_FILES};

use super::{Content, EvidenceFileError, content};
use crate::error::CliError;
use crate::files::read_capped;

/// Longest file of evidence as it lies on disk. The longest quote is 16 KiB (EVIDENCE §0 rule 5); a list of 64 GPUs with
/// chains in base64, or a set of as many devices, has 1.5 MiB.
const MAX_EVIDENCE_BYTES: u64 = 2 << 20;
/// Longest endorsement file: a revocation list of 1 MiB (EVIDENCE §0 rule 5), in PEM.
const MAX_ENDORSEMENT_BYTES: u64 = 2 << 20;
const CRL_PEM: (&str, &str) = ("-----BEGIN X509 CRL-----", "-----END X509 CRL-----");

/// What was handed over as evidence.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) pieces: Vec<EvidencePiece>,
    /// Certificate chains that came along, DER, leaf first.
    pub(crate) chains: Vec<Vec<Vec<u8>>>,
}

/// Endorsement files with their names.
#[derive(Debug)]
pub(crate) struct EndorsementFiles {
    pub(crate) recognised: Endorsements,
    /// All files with SHA-256 of what schemes read, in the order of the recogniser's places.
    pub(crate) digests: Vec<(PathBuf, Digest32)>,
    /// Chains of certificates that no scheme knows as endorsements: perhaps a device's.
    pub(crate) chains: Vec<Vec<Vec<u8>>>,
    /// Files that are nothing of it.
    pub(crate) unknown: Vec<PathBuf>,
    /// Each was named, and none found in a folder.
    all_named: bool,
}

impl EndorsementFiles {
    /// Files that were named and are nothing of it. What lies in a folder beside endorsements may be anything.
    pub(crate) fn unread(&self) -> Vec<String> {
        let named = self.unknown.iter().filter(|_| self.all_named);
        named.map(|path| path.display().to_string()).collect()
    }

    /// Says how many pieces of evidence they are for. Files that were named for one piece alone are meant for it, and what
    /// is about another is refused; a folder serves a fleet.
    pub(crate) fn are_for(&mut self, pieces: usize) {
        if self.all_named && pieces == 1 {
            self.recognised = std::mem::take(&mut self.recognised).addressed();
        }
    }
}

/// Reads evidence of one kind: reports, chains beside them, and lists of both, in any order.
pub(crate) fn read_evidence(kind: &EvidenceKind, paths: &[PathBuf]) -> Result<Evidence, CliError> {
    let mut evidence = Evidence { pieces: Vec::new(), chains: Vec::new() };
    for path in paths {
        let refused = |source| CliError::Evidence { path: path.clone(), source };
        let piece = |body| EvidencePiece { source: path.display().to_string(), body };
        match content(read_capped(path, MAX_EVIDENCE_BYTES)?).map_err(refused)? {
            Content::Piece(body) => evidence.pieces.push(piece(body)),
            Content::Chain(_) if !takes_chain(kind) => {
                return Err(refused(EvidenceFileError::ChainForKind { kind: kind.to_string() }));
            }
            Content::Chain(ders) => evidence.chains.push(ders),
            Content::Listed(listed) => {
                for (body, ders) in listed {
                    // Each report finds the chain at its own place first.
                    evidence.chains.resize(evidence.chains.len().max(evidence.pieces.len()), Vec::new());
                    evidence.pieces.push(piece(body));
                    evidence.chains.push(ders);
                }
            }
        }
        let found = evidence.pieces.len();
        if found > MAX_EVIDENCE || evidence.chains.len() > MAX_EVIDENCE {
            return Err(refused(EvidenceFileError::Count { found, most: MAX_EVIDENCE }));
        }
    }
    match (evidence.pieces.is_empty(), paths.last()) {
        (true, Some(path)) => Err(CliError::Evidence { path: path.clone(), source: EvidenceFileError::OnlyChains }),
        _ => Ok(evidence),
    }
}

/// Reads one evidence set, as a bundle or a node export holds it, with the digest of its bytes.
pub(crate) fn read_set(paths: &[PathBuf]) -> Result<(EvidenceSet, Digest32), CliError> {
    let refused = |path: &Path, source| CliError::Evidence { path: path.to_owned(), source };
    let [path] = paths else {
        let path = paths.last().cloned().unwrap_or_default();
        return Err(refused(&path, EvidenceFileError::OneSet));
    };
    match content(read_capped(path, MAX_EVIDENCE_BYTES)?).map_err(|source| refused(path, source))? {
        Content::Piece(bytes) => {
            let set = EvidenceSet::from_bytes(&bytes);
            set.map(|set| (set, sha256(&bytes))).map_err(|source| refused(path, EvidenceFileError::Set(source)))
        }
        Content::Chain(_) => Err(refused(path, EvidenceFileError::OnlyChains)),
        Content::Listed(_) => Err(refused(path, EvidenceFileError::Json)),
    }
}

/// Reads endorsements: files, and folders with all folders below.
pub(crate) fn read_endorsements(paths: &[PathBuf]) -> Result<EndorsementFiles, CliError> {
    let (mut names, mut unknown, mut all_named) = (Vec::new(), Vec::new(), true);
    let mut contents: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        let folder = fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        all_named = all_named && !folder;
        for name in if folder { walk(path)? } else { vec![path.clone()] } {
            match read_capped(&name, MAX_ENDORSEMENT_BYTES) {
                Ok(bytes) => {
                    contents.push(crl_of_pem(&bytes).unwrap_or(bytes));
                    names.push(name);
                }
                // In a folder lies what it likes; a file that was named is meant.
                Err(CliError::TooLarge { .. }) if folder => unknown.push(name),
                Err(error) => return Err(error),
            }
        }
    }
    // Given twice is given once.
    let mut places: Vec<usize> = (0..contents.len()).collect();
    places.sort_by(|a, b| contents.get(*a).cmp(&contents.get(*b)).then(a.cmp(b)));
    places.dedup_by(|later, earlier| contents.get(*later) == contents.get(*earlier));
    places.sort_unstable();
    let names: Vec<PathBuf> = places.iter().filter_map(|place| names.get(*place).cloned()).collect();
    let contents: Vec<Vec<u8>> =
        places.iter().filter_map(|place| contents.get_mut(*place).map(std::mem::take)).collect();
    let digests = names.iter().cloned().zip(contents.iter().map(|bytes| sha256(bytes))).collect();
    let recognised = Endorsements::recognise_store(&contents);
    let mut chains = Vec::new();
    for place in recognised.unrecognised() {
        let (Some(bytes), Some(name)) = (contents.get(*place), names.get(*place)) else { continue };
        match pem_certificates(bytes) {
            Ok(ders) if !ders.is_empty() && chains.len() < MAX_EVIDENCE => chains.push(ders),
            _ => unknown.push(name.clone()),
        }
    }
    Ok(EndorsementFiles { recognised, digests, chains, unknown, all_named })
}

/// A revocation list in PEM as its DER: schemes read lists in DER.
fn crl_of_pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let body = text.strip_prefix(CRL_PEM.0)?.strip_suffix(CRL_PEM.1)?;
    let base64: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).ok()
}

/// Every plain file below a folder.
fn walk(root: &Path) -> Result<Vec<PathBuf>, CliError> {
    let found = weighbridge_endorsements::walk(root);
    let found = found.map_err(|source| CliError::Read { path: root.to_owned(), source })?;
    let source = EvidenceFileError::Folder { most: FOLDER_FILES, depth: FOLDER_DEPTH };
    found.ok_or_else(|| CliError::Evidence { path: root.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_entered_and_a_file_given_twice_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("one.json"), " {\"tcb_info\": 3}").unwrap();
        fs::write(folder.path().join("twin.json"), " {\"tcb_info\": 3}").unwrap();
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        fs::write(folder.path().join("junk"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path(), deep.join("loop")).unwrap();
        let read = read_endorsements(&[folder.path().to_owned(), deep.join("one.json")]).unwrap();
        let names: Vec<&PathBuf> = read.digests.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&deep.join("one.json"), &folder.path().join("junk")]);
        assert_eq!(read.unknown, [folder.path().join("junk")]);
        assert_eq!(read.recognised.unreadable().count(), 1);
    }

    #[test]
    fn a_list_in_pem_is_read_as_der() {
        let pem = "-----BEGIN X509 CRL-----\nAQ\nID\n-----END X509 CRL-----\n";
        assert_eq!(crl_of_pem(pem.as_bytes()), Some(vec![1, 2, 3]));
        assert_eq!(crl_of_pem(b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(crl_of_pem(b"\xff"), None);
    }

    #[test]
    fn a_folder_without_an_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(["x"; FOLDER_DEPTH + 2].join("/")).join("y")).unwrap();
        let error = read_endorsements(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(error.code(), "endorsements-folder");
    }
}
