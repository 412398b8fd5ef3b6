//! **Duty.** Reads the tree and reports breaches. **Knows** where the workspace lies and what is not ours in it.
//! **Does not know** any rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are built, fetched or produced.
const NOT_OURS: [&str; 4] = ["target", ".git", "out", "__pycache__"];

/// One text file of the tree.
pub(crate) struct TextFile {
    /// Path below the root, with slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl TextFile {
    /// Numbered lines, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Numbered lines of code: comments and the tests at the end of the file are left out.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let starts_tests =
            |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
        let last = lines.windows(2).position(starts_tests).unwrap_or(lines.len());
        self.lines().take(last).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Modules that this file declares for tests alone, as paths without ending.
    fn test_modules(&self) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
            let name = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')?;
            let stem = self.path.trim_end_matches(".rs").trim_end_matches("/lib").trim_end_matches("/mod");
            Some(format!("{stem}/{name}"))
        });
        declared.collect()
    }

    /// Whether the file lies below one of these folders, or is one of these files.
    pub(crate) fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }
}

/// The workspace root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests crate lies below the root").to_owned()
}

/// All text files with one of these endings, ascending by path. Files that are not UTF-8 are not text.
pub(crate) fn files(endings: &[&str]) -> Vec<TextFile> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable folder") {
            let path = entry.expect("readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let below = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.extend(fs::read_to_string(&path).ok().map(|text| TextFile { path: below, text }));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Rust files of production crates, without modules that exist for tests alone.
pub(crate) fn production() -> Vec<TextFile> {
    let wings = ["attest/", "circuits/", "daemon/", "verifier/"];
    let all: Vec<TextFile> = files(&[".rs"]).into_iter().filter(|file| file.is_below(&wings)).collect();
    let tests: Vec<String> = all.iter().flat_map(TextFile::test_modules).collect();
    let is_test = |file: &TextFile| {
        tests.iter().any(|module| file.path == format!("{module}.rs") || file.path.starts_with(&format!("{module}/")))
    };
    all.into_iter().filter(|file| !is_test(file)).collect()
}

/// One file by its path below the root.
pub(crate) fn file(path: &str) -> TextFile {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path} must exist: {e}"));
    TextFile { path: path.to_owned(), text }
}

/// Whether the person asked for golden files to be written anew.
#[expect(clippy::disallowed_methods, reason = "the law's one look at the environment")]
pub(crate) fn blessing() -> bool {
    std::env::var("WEIGHBRIDGE_BLESS").is_ok_and(|value| value == "1")
}

/// Fails with every breach of one rule, not only the first.
pub(crate) fn hold(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n  {}\n", breaches.join("\n  "));
}

#[test]
fn modules_for_tests_alone_are_known() {
    let text = "mod a;\n#[cfg(test)]\nmod pinned;\nfn f() {}\n#[cfg(test)]\nmod tests {\n    f();\n}\n".to_owned();
    let file = TextFile { path: "circuits/src/lib.rs".to_owned(), text };
    assert_eq!(file.test_modules(), ["circuits/src/pinned"]);
    assert_eq!(file.code_lines().last(), Some((4, "fn f() {}")));
}
