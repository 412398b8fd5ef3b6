//! **Duty.** One rule against one claim, and what is said when it is not met. **Knows** requirements. **Does not know**
//! which rules there are. **Spec.** PROTOCOL §6 (a refusal lists all failures).

use std::collections::BTreeMap;
use std::fmt::Debug;

use weighbridge_attest_types::{Claim, PlatformClaims, Requirement};

use crate::text;

/// A rule that one device does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmetRule {
    /// Code of the check.
    pub code: &'static str,
    /// A sentence that names the device, what was found and what the policy wants.
    pub message: String,
}

/// How one rule turned out for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) code: &'static str,
    pub(crate) turned: Turned,
    /// The rule in a word or two.
    pub(crate) rule: String,
    /// Why: what was found, or the reason of the waiver.
    pub(crate) message: String,
}

/// Met, waived by name, or not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    Met,
    Waived,
    Failed,
}

/// Applies rules to one platform's claims.
pub(super) struct Rules<'a> {
    claims: &'a PlatformClaims,
    rulings: Vec<Ruling>,
}

impl<'a> Rules<'a> {
    pub(super) const fn about(claims: &'a PlatformClaims) -> Self {
        Self { claims, rulings: Vec::new() }
    }

    pub(super) const fn claims(&self) -> &'a PlatformClaims {
        self.claims
    }

    /// How each rule turned out, in the order asked.
    pub(super) fn rulings(self) -> Vec<Ruling> {
        self.rulings
    }

    pub(super) fn unmet(self) -> Vec<UnmetRule> {
        let failed = self.rulings.into_iter().filter(|ruling| ruling.turned == Turned::Failed);
        failed.map(|Ruling { code, message, .. }| UnmetRule { code, message }).collect()
    }

    /// An absent claim meets only a waiver.
    pub(super) fn apply<T: Claim + Debug>(
        &mut self,
        code: &'static str,
        rule: &str,
        wanted: &Requirement<T>,
        found: Option<&T>,
    ) {
        let shown = found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"));
        match wanted.is_met_by(found) {
            true => self.admit(code, rule, wanted, &shown),
            false => self.refuse(code, rule, &format!("{rule} is {shown}; policy wants {}", wish(wanted))),
        }
    }

    /// Writes down that a rule was met by what was found, or waived.
    pub(super) fn admit<T>(&mut self, code: &'static str, rule: &str, wanted: &Requirement<T>, found: &str) {
        let (turned, message) = match wanted {
            Requirement::Waived { reason } => (Turned::Waived, reason.clone()),
            _ => (Turned::Met, format!("{rule} is {found}, as policy wants it")),
        };
        self.rulings.push(Ruling { code, turned, rule: rule.to_owned(), message });
    }

    /// Writes an unmet rule down, with the device.
    pub(super) fn refuse(&mut self, code: &'static str, rule: &str, what: &str) {
        let device = self.claims.device.map_or_else(|| "of unknown identity".to_owned(), text::short);
        let message = format!("{} {device}: {what}", self.claims.kind);
        self.rulings.push(Ruling { code, turned: Turned::Failed, rule: rule.to_owned(), message });
    }
}

pub(super) fn wish<T: Debug>(wanted: &Requirement<T>) -> String {
    match wanted {
        Requirement::Equals(value) => format!("{value:?}"),
        Requirement::AtLeast(value) => format!("at least {value:?}"),
        Requirement::OneOf(values) => format!("one of {values:?}"),
        Requirement::Waived { reason } => format!("anything ({reason})"),
    }
}

pub(super) fn reason<T>(wanted: &Requirement<T>) -> Option<&str> {
    match wanted {
        Requirement::Waived { reason } => Some(reason),
        _ => None,
    }
}

/// Waived rules of one section; those of one reason stand together: most policies have one for all.
pub(super) fn together<'a>(
    section: &str,
    rules: impl IntoIterator<Item = (String, Option<&'a str>)>,
) -> Vec<(String, &'a str)> {
    let mut waived: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (rule, reason) in rules {
        if let Some(reason) = reason {
            waived.entry(reason).or_default().push(rule);
        }
    }
    waived.into_iter().map(|(reason, rules)| (format!("{section} {}", rules.join(", ")), reason)).collect()
}
