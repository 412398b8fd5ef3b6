//! **Duty.** Nothing grows past what one person reads at a sitting. **Spec.** HOUSE §8: a function at most 70 lines, a
//! file at most 800 (500 wished), a program at most 15.

use crate::source::{self, Function, RustFile};
use crate::tree::{self, TextFile};

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 800;
const FILE_LINES_WISHED: usize = 500;
const PROGRAM_LINES: usize = 15;

#[test]
fn functions_fit_on_a_page() {
    let breaches: Vec<String> = source::rust_files().iter().flat_map(long_functions).collect();
    tree::hold("a function has at most 70 lines", &breaches);
}

#[test]
fn files_stay_short() {
    let breaches: Vec<String> = tree::files(&[".rs"]).iter().filter_map(long_file).collect();
    tree::hold("files stay short", &breaches);
}

fn long_functions(rust: &RustFile) -> Vec<String> {
    let long = rust.functions.iter().filter(|function| function.length > FUNCTION_LINES);
    let say = |function: &Function| {
        let (path, Function { name, line, length }) = (&rust.file.path, function);
        format!("{path}:{line}: `{name}` has {length} lines: split it where the piece has a name")
    };
    long.map(say).collect()
}

fn long_file(file: &TextFile) -> Option<String> {
    let (path, length) = (&file.path, file.text.lines().count());
    if length > FILE_LINES {
        return Some(format!("{path}: {length} lines, at most {FILE_LINES}: split the module"));
    }
    if path.contains("/src/bin/") && length > PROGRAM_LINES {
        return Some(format!("{path}: {length} lines, at most {PROGRAM_LINES}: move logic to the crate"));
    }
    if length > FILE_LINES_WISHED {
        println!("note: {path} has {length} lines; we wish for {FILE_LINES_WISHED}");
    }
    None
}

#[test]
fn one_line_too_many_is_found() {
    let file = |body: usize| {
        let text = format!("impl X {{\n    #[inline]\n    fn f() {{\n{}    }}\n}}\n", "        g();\n".repeat(body));
        TextFile { path: "a/src/bin/x.rs".to_owned(), text }
    };
    assert!(long_functions(&source::parse(file(68))).is_empty());
    let found = long_functions(&source::parse(file(69)));
    assert_eq!(found, ["a/src/bin/x.rs:3: `f` has 71 lines: split it where the piece has a name"]);
    assert_eq!(long_file(&file(10)), None);
    assert!(long_file(&file(11)).is_some_and(|breach| breach.contains("16 lines, at most 15")));
}
