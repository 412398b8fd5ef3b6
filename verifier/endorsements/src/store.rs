//! **Duty.** One folder of endorsements. **Knows** names and caps. **Does not know** what a file says (`status`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::{FOLDER_DEPTH, FOLDER_FILES, read_capped, walk, write_atomically};
use crate::key::Key;

/// Longest file. Source: EVIDENCE §0 rule 5, a revocation list; in PEM it is a third longer.
pub const MAX_FILE_BYTES: u64 = 2 << 20;
/// Longest part of a name.
const MAX_PART: usize = 128;

/// A folder of endorsements.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Names a folder; nothing is read or made yet.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What lies under a key.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::TooLarge`].
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(&key.name())
    }

    /// Puts a statement under its key, in place of an older one.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn put(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(&key.name(), bytes)
    }

    /// Every file with its name below the folder, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let found = walk(&self.root).map_err(|source| StoreError::Read { path: self.root.clone(), source })?;
        let too_many = || StoreError::TooMany { path: self.root.clone(), most: FOLDER_FILES, depth: FOLDER_DEPTH };
        let mut files = Vec::new();
        for path in found.ok_or_else(too_many)? {
            let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((name, read(&path)?));
        }
        Ok(files)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name)?;
        match read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let failed = |source| StoreError::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        write_atomically(&path, bytes).map_err(failed)
    }

    /// No name leads out of the folder.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        if is_name(name) { Ok(self.root.join(name)) } else { Err(StoreError::Name(name.to_owned())) }
    }
}

/// Parts of a-z, 0-9, dots and hyphens; none begins with a dot, and no more of them than folders are entered.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let is_part =
        |part: &str| (1..=MAX_PART).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(allowed);
    name.split('/').all(is_part) && name.split('/').count() <= FOLDER_DEPTH
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let bytes = read_capped(path, MAX_FILE_BYTES);
    let bytes = bytes.map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    bytes.ok_or_else(|| StoreError::TooLarge { path: path.to_owned(), cap: MAX_FILE_BYTES })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(&folder.path().join("new/store"));
        let key = Key::rim("NV_X_1").unwrap();
        assert!(store.get(&key).unwrap().is_none() && store.files().is_err());
        store.put(&key, b"old").unwrap();
        store.put(&key, b"new").unwrap();
        assert_eq!(store.get(&key).unwrap().as_deref(), Some(b"new".as_slice()));
        assert_eq!(store.files().unwrap(), [(key.name(), b"new".to_vec())]);
    }

    #[test]
    fn no_name_leads_out() {
        let store = Store::at(Path::new("/tmp"));
        for name in
            ["", "/etc/x", "../x", "a/../x", "a//x", ".a", "a/.b", "A", "a b", "a/b/c/d/e/f/g", &"a".repeat(129)]
        {
            assert!(matches!(store.path(name), Err(StoreError::Name(_))), "{name}");
        }
        assert!(is_name("amd/milan/vcek/07/4-0-24-219.der"));
    }
}
