//! **Duty.** What `--check` takes, and whether it was found. **Does not know** how roots are computed.

use std::fmt;
use std::str::FromStr;

use weighbridge_attest_types::{Digest32, PoseidonDigest};

/// Hexadecimal digits of every kind of root.
const DIGITS: usize = 64;

/// A kind of root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fast,
    Algebraic,
    Oms,
}

/// A root that must be found; without a kind, any of the three may be it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) kind: Option<Kind>,
    digits: String,
}

/// Roots that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) fast: Option<Digest32>,
    pub(super) algebraic: Option<PoseidonDigest>,
    pub(super) oms: Option<Digest32>,
}

const KINDS: [(Kind, &str); 3] = [(Kind::Fast, "fast"), (Kind::Algebraic, "algebraic"), (Kind::Oms, "oms")];

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, digits) = match text.split_once(':') {
            None => (None, text),
            Some((word, digits)) => {
                let known = KINDS.into_iter().find(|(_, name)| *name == word);
                (Some(known.ok_or("the kind before the colon is fast, algebraic or oms")?.0), digits)
            }
        };
        if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a root has 64 hexadecimal digits".to_owned());
        }
        Ok(Self { kind, digits: digits.to_ascii_lowercase() })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.into_iter().find(|(kind, _)| Some(*kind) == self.kind) {
            Some((_, name)) => write!(f, "{name}:{}", self.digits),
            None => f.write_str(&self.digits),
        }
    }
}

impl Expected {
    pub(super) fn holds(&self, found: &Found) -> bool {
        found.each().any(|(kind, digits)| self.kind.is_none_or(|wanted| wanted == kind) && digits == self.digits)
    }
}

impl Found {
    fn each(&self) -> impl Iterator<Item = (Kind, String)> {
        let fast = self.fast.map(|root| (Kind::Fast, root.to_string()));
        let algebraic = self.algebraic.map(|root| (Kind::Algebraic, root.to_string()));
        [fast, algebraic, self.oms.map(|digest| (Kind::Oms, digest.to_string()))].into_iter().flatten()
    }

    /// What was found of one kind, or of all.
    pub(super) fn of(&self, kind: Option<Kind>) -> String {
        let wanted = self.each().filter(|(found, _)| kind.is_none_or(|kind| kind == *found));
        let shown = wanted.map(|(kind, digits)| Expected { kind: Some(kind), digits }.to_string());
        let shown: Vec<String> = shown.collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_read_strictly_and_held_by_their_kind() {
        let digits = "ab".repeat(32);
        let found = Found { fast: Some(Digest32([0xab; 32])), oms: Some(Digest32([1; 32])), algebraic: None };
        let holds = |text: String| text.parse::<Expected>().unwrap().holds(&found);
        assert!(holds(digits.clone()) && holds(format!("fast:{}", digits.to_uppercase())));
        assert!(!holds(format!("oms:{digits}")) && !holds(format!("algebraic:{digits}")) && !holds("00".repeat(32)));
        for wrong in
            ["", "fast:", "fast", "slow:00", &digits[1..], &format!("{digits}0"), &format!("{}g", &digits[1..])]
        {
            assert!(wrong.parse::<Expected>().is_err(), "{wrong}");
        }
        assert_eq!(found.of(Some(Kind::Oms)), format!("oms:{}", "01".repeat(32)));
        assert_eq!(found.of(Some(Kind::Algebraic)), "none");
    }
}
