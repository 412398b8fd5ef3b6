//! **Duty.** What every code of ours means to a person: what was looked at, what a failure means, who acts, what to do.
//! **Knows** words. **Does not know** how anything is checked. **Spec.** docs/CHECKS.md, with which the law compares this
//! table in both directions; HOUSE §11 (candour).

mod checks;
mod daemon;
mod errors;
mod evidence;
mod nvidia;

/// One code in plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The code as it is printed.
    pub code: &'static str,
    /// What is looked at.
    pub looks_at: &'static str,
    /// What it means when it does not hold.
    pub failure: &'static str,
    /// Who has to act.
    pub who: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Explanations in five tables: checks of a bundle, errors of commands, what the node service and its socket say, what is
/// found about evidence, and what is found about NVIDIA's.
pub const EXPLANATIONS: [&[Explanation]; 5] =
    [checks::CHECKS, errors::ERRORS, daemon::DAEMON, evidence::EVIDENCE, nvidia::NVIDIA];

/// The explanation of a code.
pub(crate) fn of(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.into_iter().flatten().find(|explanation| explanation.code == code)
}

const fn row(
    code: &'static str,
    looks_at: &'static str,
    failure: &'static str,
    who: &'static str,
    remedy: &'static str,
) -> Explanation {
    Explanation { code, looks_at, failure, who, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The codes that `CliError::code`, `StatementError::code` and `AuditFailure::code` can give, read from their source.
    fn codes(source: &str) -> BTreeSet<&str> {
        let begin = source.find("fn code(&self)").unwrap();
        let body = source[begin..].split("\n    }\n").next().unwrap();
        let arms = body.split("=>").skip(1).map(|arm| arm.trim_start_matches([' ', '{', '\n']));
        arms.filter_map(|arm| arm.strip_prefix('"')?.split('"').next()).collect()
    }

    /// The codes that a requirement which is not met can give, read from their source.
    fn requirements() -> BTreeSet<&'static str> {
        let source = include_str!("cli/verify.rs");
        let source = source.split("#[cfg(test)]").next().unwrap();
        let words = source.split('"').skip(1).step_by(2);
        words.filter(|word| word.starts_with("require-")).collect()
    }

    #[test]
    fn every_error_code_is_explained_and_no_other() {
        let mut given = codes(include_str!("error.rs"));
        given.extend(codes(include_str!("statement.rs")));
        given.extend(["command-line", "nothing-verified"]);
        given.extend(requirements());
        given.extend(codes(include_str!("evidence/error.rs")));
        given.extend(codes(include_str!("../endorsements/src/error.rs")));
        given.extend(codes(include_str!("../fetch/src/error.rs")));
        // What commands print about files that they looked at.
        given.extend(["endorsement-ended", "endorsement-ending", "endorsement-not-yet", "endorsement-undated"]);
        given.extend(["endorsement-unreadable", "policy-case-differs"]);
        given.extend(codes(include_str!("audit_failure.rs")));
        let explained: BTreeSet<&str> = errors::ERRORS.iter().map(|row| row.code).collect();
        let missing: Vec<_> = given.difference(&explained).collect();
        let stray: Vec<_> = explained.difference(&given).collect();
        assert!(missing.is_empty(), "verifier/src/explain/errors.rs: explain {missing:?}");
        assert!(stray.is_empty(), "verifier/src/explain/errors.rs: nothing prints {stray:?}");
    }

    #[test]
    fn each_code_stands_once_and_nothing_is_left_empty() {
        let mut seen = BTreeSet::new();
        for row in EXPLANATIONS.into_iter().flatten() {
            assert!(seen.insert(row.code), "{} stands twice", row.code);
            for text in [row.looks_at, row.failure, row.who, row.remedy] {
                assert!(text.ends_with('.'), "{}: `{text}` is no sentence", row.code);
            }
        }
    }
}
