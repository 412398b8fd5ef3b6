//! **Duty.** The OMS digest of what was named, and the signature over it. **Knows** which files those are.
//! **Does not know** the form of a signature. **Spec.** TRAINING §10; decision 0013.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weighbridge_attest_types::{Digest32, FileDigest};
use weighbridge_commitments::{Effort, file_digests};

use crate::error::CliError;
use crate::figures::grouped;
use crate::files::read_capped;
use crate::oms::{
    Listed, MAX_KEY_BYTES, MAX_SIGNATURE_BYTES, ModelFile, OmsError, PublicKey, SignedFiles, list_folder, model_digest,
};
use crate::visible::visible;

/// What the tool leaves out of every folder.
const GIT: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// What was named.
pub(super) struct Model {
    /// Every file that counts, in the tool's order; or why no digest can be about them.
    listed: Result<Vec<Listed>, CliError>,
    over: &'static str,
    signed: Option<Signed>,
}

struct Signed {
    path: PathBuf,
    files: SignedFiles,
    key: String,
    /// Names relative to the folder that are not held to the signature: the signer's, and the signature's own.
    ignored: Vec<String>,
}

/// What came of it.
pub(super) enum OmsAnswer {
    /// No signature could be about such a folder, and nobody asked for one.
    NotComputed { path: PathBuf, source: OmsError },
    /// The digest, and the signature if there is one.
    Digest { digest: Digest32, over: &'static str, files: usize, signed: Option<Value> },
}

impl Model {
    /// Lists the files; checks the signature before anything else is read.
    pub(super) fn of(
        named: &[PathBuf],
        weights: &[PathBuf],
        signature: Option<(&Path, &Path)>,
        ignore: &[String],
    ) -> Result<Self, CliError> {
        let mut signed = signature.map(|(signature, key)| Signed::verify(signature, key)).transpose()?;
        if let ([folder], Some(signed)) = (named, &mut signed)
            && folder.is_dir()
        {
            signed.leave_itself_out(folder)?;
        }
        let (listed, over) = match named {
            [folder] if folder.is_dir() => (list(folder, signed.as_ref(), ignore), "all files of the folder"),
            [_] => (Ok(alone(weights, Some("."))), "the file named"),
            _ if signed.is_some() => return Err(CliError::OneModel),
            _ => (Ok(alone(weights, None)), "the files named"),
        };
        let listed = if signed.is_some() { Ok(listed?) } else { listed };
        Ok(Self { listed, over, signed })
    }

    /// Whether the signature is about exactly these files, the weights among them.
    pub(super) fn hold_names(&self, weights: &[PathBuf]) -> Result<(), CliError> {
        let (Some(Signed { path, files, .. }), Ok(listed)) = (&self.signed, &self.listed) else { return Ok(()) };
        let refused = |source| CliError::Oms { path: path.clone(), source };
        let paths: BTreeSet<&Path> = listed.iter().map(|file| file.path.as_path()).collect();
        if let Some(weight) = weights.iter().find(|weight| !paths.contains(weight.as_path())) {
            return Err(refused(OmsError::Uncovered(weight.display().to_string())));
        }
        files.hold_names(listed.iter().map(|file| file.name.as_str())).map_err(refused)
    }

    /// The digest over all files; `known` are digests of `weights` that are there already.
    pub(super) fn digest(
        &self,
        weights: &[PathBuf],
        known: &[FileDigest],
        effort: Effort,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<OmsAnswer, CliError> {
        let listed = match &self.listed {
            Ok(listed) => listed,
            Err(CliError::Oms { path, source: OmsError::Folder(why) }) => {
                return Err(CliError::Oms { path: path.clone(), source: OmsError::Folder(why.clone()) });
            }
            Err(error) => {
                let source = OmsError::Folder(error.chain());
                return Err(CliError::Oms { path: PathBuf::from("."), source });
            }
        };
        let known: BTreeMap<&str, Digest32> = known.iter().map(|file| (file.name.as_str(), file.sha256)).collect();
        // Weights are known by their file name: a commitment has each name once.
        let of_weights: BTreeMap<&Path, Digest32> = weights
            .iter()
            .filter_map(|path| Some((path.as_path(), *known.get(path.file_name()?.to_str()?)?)))
            .collect();
        let others: Vec<&Path> =
            listed.iter().map(|file| file.path.as_path()).filter(|path| !of_weights.contains_key(path)).collect();
        let digests = if others.is_empty() {
            Vec::new()
        } else {
            file_digests(&others, effort, progress).map_err(CliError::Commit)?
        };
        let of_others: BTreeMap<&Path, Digest32> =
            others.into_iter().zip(digests.into_iter().map(|digest| digest.sha256)).collect();
        let digest_of = |path: &Path| of_weights.get(path).or_else(|| of_others.get(path)).copied().unwrap_or_default();
        let files: Vec<ModelFile> =
            listed.iter().map(|file| ModelFile { name: file.name.clone(), sha256: digest_of(&file.path) }).collect();
        let signed = self.signed.as_ref().map(|signed| signed.hold(&files)).transpose()?;
        Ok(OmsAnswer::Digest { digest: model_digest(&files), over: self.over, files: files.len(), signed })
    }
}

fn list(folder: &Path, signed: Option<&Signed>, ignore: &[String]) -> Result<Vec<Listed>, CliError> {
    let Some(Signed { files, ignored, .. }) = signed else {
        let ignored: Vec<String> =
            GIT.into_iter().chain(ignore.iter().map(|name| name.trim_end_matches('/'))).map(str::to_owned).collect();
        return list_folder(folder, &ignored, true);
    };
    list_folder(folder, ignored, files.rules().allow_symlinks)
}

/// Files that stand alone: under the given name, or under their own.
fn alone(files: &[PathBuf], name: Option<&str>) -> Vec<Listed> {
    let own = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let listed = |path: &PathBuf| Listed { name: name.map_or_else(|| own(path), str::to_owned), path: path.clone() };
    files.iter().map(listed).collect()
}

impl Signed {
    fn verify(signature: &Path, key: &Path) -> Result<Self, CliError> {
        let refused = |path: &Path, source| CliError::Oms { path: path.to_owned(), source };
        if signature == Path::new("-") {
            return Err(CliError::NamelessSignature);
        }
        let parsed = PublicKey::parse(&read_capped(key, MAX_KEY_BYTES)?).map_err(|source| refused(key, source))?;
        let bundle = read_capped(signature, MAX_SIGNATURE_BYTES)?;
        let files = SignedFiles::verify(&bundle, &parsed).map_err(|source| refused(signature, source))?;
        let ignored = files.rules().ignored.clone();
        Ok(Self { path: signature.to_owned(), files, key: parsed.hint().to_owned(), ignored })
    }

    /// The signature itself may lie in the folder; nothing else is left out that was not left out by the signer. It is
    /// left out under the name that the person typed: were a link followed, the file behind it would go unseen.
    fn leave_itself_out(&mut self, folder: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::Read { path: self.path.clone(), source };
        let whole = |path: &Path| fs::canonicalize(path).map_err(failed);
        let Some(name) = self.path.file_name() else { return Ok(()) };
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let entry = whole(parent.unwrap_or(Path::new(".")))?.join(name);
        let folder = whole(folder)?;
        let Ok(inside) = entry.strip_prefix(&folder) else { return Ok(()) };
        if fs::symlink_metadata(&entry).map_err(failed)?.is_symlink() {
            return Err(CliError::Oms { path: self.path.clone(), source: OmsError::Link });
        }
        // A name that is not UTF-8 is refused where the folder is listed.
        if let Some(inside) = inside.to_str().map(str::to_owned)
            && !self.ignored.contains(&inside)
        {
            self.ignored.push(inside);
        }
        Ok(())
    }

    fn hold(&self, found: &[ModelFile]) -> Result<Value, CliError> {
        self.files.hold(found).map_err(|source| CliError::Oms { path: self.path.clone(), source })?;
        Ok(json!({
            "subject": self.files.subject(),
            "digest": self.files.digest(),
            "files": self.files.count(),
            "key": self.key,
            "ignored": self.ignored,
        }))
    }
}

impl OmsAnswer {
    pub(super) const fn digest(&self) -> Option<Digest32> {
        match self {
            Self::Digest { digest, .. } => Some(*digest),
            Self::NotComputed { .. } => None,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::NotComputed { path, source } => {
                format!("OMS digest      not computed: {}: {source}\n", visible(&path.display().to_string()))
            }
            Self::Digest { digest, over, files, signed } => {
                let mut text = format!("OMS digest      {digest}  over {over} ({})\n", grouped(*files as u128));
                if let Some(signed) = signed {
                    let key = signed["key"].as_str().unwrap_or_default();
                    text.push_str(&format!("OMS signature   holds under key {key}\n"));
                    let ignored = signed["ignored"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    let ignored: Vec<String> = ignored.map(visible).collect();
                    if !ignored.is_empty() {
                        text.push_str(&format!("  not signed    {}\n", ignored.join(", ")));
                    }
                }
                text
            }
        }
    }

    pub(super) fn claims(&self) -> Value {
        match self {
            Self::NotComputed { path, source } => {
                json!({"digest": null, "not_computed": format!("{}: {source}", path.display())})
            }
            Self::Digest { digest, over, files, signed } => {
                json!({"digest": digest, "over": over, "files": files, "signature": signed})
            }
        }
    }
}
