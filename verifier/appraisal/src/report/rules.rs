//! **Duty.** Clauses that sentences of a report may cite, and rules of our own where the law is silent: one closed list.
//! **Spec.** COMPUTE §2, §4, §5, §7.

/// A threshold inside the bracket.
pub(crate) const STRADDLES: &str = "rule:own: the law is silent on a straddling bracket; it is treated as above";
/// A missing completeness.
pub(crate) const UNKNOWN: &str = "rule:own: without evidence of completeness nothing is below";
/// Device time.
pub(crate) const DEVICE_TIME: &str =
    "rule:own: every device-second of the period is charged at the ceiling rate, with or without evidence";
/// Only accelerators.
pub(crate) const ACCELERATORS: &str = "rule:own: only accelerators are weighed";
/// What counts.
pub(crate) const ANNEX_A1: &str = "rule:EU guidelines, Annex A.1";
/// Methods and their margin.
pub(crate) const ANNEX_A2: &str = "rule:EU guidelines, Annex A.2";
/// Modifiers.
pub(crate) const MODIFIER: &str = "rule:EU guidelines, Section 3.2";
/// Modalities.
pub(crate) const MODALITIES: &str = "rule:EU guidelines, Section 2.1";
/// Time to notify.
pub(crate) const NOTIFY: &str = "rule:EU AI Act, Article 52(1)";
/// Estimates before and during training.
pub(crate) const FORECAST: &str = "rule:EU guidelines, Section 2.3.2";
/// Print.
pub(crate) const ROUNDING: &str = "rule:own: exact integers decide; two figures are printed half to even";
/// Declared work.
pub(crate) const DECLARED: &str = "rule:own: a declaration can warn and never vouches";

/// All of them.
pub const RULES: [&str; 12] = [
    STRADDLES,
    UNKNOWN,
    DEVICE_TIME,
    ACCELERATORS,
    ANNEX_A1,
    ANNEX_A2,
    MODIFIER,
    MODALITIES,
    NOTIFY,
    FORECAST,
    ROUNDING,
    DECLARED,
];
