//! **Duty.** A sentence of a report with what it rests on. A sentence without a ground cannot be written.
//! **Does not know** what any ground says. **Spec.** COMPUTE §10; docs/CHECKS.md (codes).
//!
//! A ground is `check:CODE` (a check of the bundle), `field:/POINTER` (a figure of this report), `declared:/POINTER` (a
//! figure of the provider's statement) or `rule:CLAUSE` (a clause of the law, or a rule of our own that says so).

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Text and grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentence {
    /// What is printed.
    pub text: String,
    /// What it rests on.
    pub basis: Vec<String>,
}

impl Sentence {
    /// A sentence on these grounds.
    pub fn on<const N: usize>(basis: [&str; N], text: impl Into<String>) -> Self {
        const { assert!(N > 0, "a sentence rests on something") };
        Self { text: text.into(), basis: basis.map(str::to_owned).to_vec() }
    }

    /// Further grounds, each once.
    #[must_use]
    pub fn and<'a>(mut self, more: impl IntoIterator<Item = &'a str>) -> Self {
        for ground in more {
            if !self.basis.iter().any(|known| known == ground) {
                self.basis.push(ground.to_owned());
            }
        }
        self
    }
}

impl Deref for Sentence {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
