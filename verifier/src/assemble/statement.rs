//! **Duty.** Which relations about hidden totals are proven. Bounds come from threshold profiles and from the grid of two
//! figures only, because a free bound would tell the total by bisection. **Spec.** PROTOCOL §4 statement 2.

use weighbridge_attest_types::{FLOP_PER_GFLOP, Flops, ThresholdProfile, TwoFigures, built_in_profiles};
use weighbridge_circuits::{Component, MAX_RELATIONS, ProveError, Relation, TotalRelation, Weighed};

use crate::error::CliError;

/// What to prove about one total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `total ≤ T` for the smallest built-in threshold for which it is true.
    SmallestThreshold,
    /// This relation.
    Relation(Relation),
    /// The cell of the two-figure grid that holds the total (level `two-figures`, if it is the declared one).
    TwoFigures,
    /// Nothing.
    Omitted,
}

/// A statement about the total of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementAbout {
    /// What is added up.
    pub component: Component,
    /// What is said about it.
    pub statement: Statement,
}

impl StatementAbout {
    /// A statement about the declared total.
    #[must_use]
    pub const fn declared(statement: Statement) -> Self {
        Self { component: Component::Declared, statement }
    }

    pub(super) fn is_omitted(&self) -> bool {
        self.statement == Statement::Omitted
    }
}

/// What a proof states: nothing, or up to as many relations as it holds.
///
/// # Errors
/// [`CliError::Relations`], [`CliError::FreeBound`], [`CliError::NoCell`], [`CliError::NoDefaultStatement`],
/// [`CliError::Prove`] with the relation that does not hold.
pub(crate) fn relations(statements: &[StatementAbout], weighed: &Weighed<'_>) -> Result<Vec<TotalRelation>, CliError> {
    let mut relations: Vec<TotalRelation> = Vec::new();
    for StatementAbout { component, statement } in statements {
        let relation = match statement {
            Statement::Omitted => continue,
            Statement::TwoFigures => cell(*component, weighed)?,
            Statement::SmallestThreshold => smallest(*component, weighed)?,
            Statement::Relation(relation) => lawful(*component, *relation)?,
        };
        let relation = TotalRelation { component: *component, relation };
        // Two profiles of one value are one relation.
        if !relations.contains(&relation) {
            relations.push(relation);
        }
    }
    if relations.len() > MAX_RELATIONS {
        return Err(CliError::Relations("a proof holds at most 8 relations"));
    }
    Ok(relations)
}

fn holds(component: Component, relation: Relation, weighed: &Weighed<'_>) -> Result<(), ProveError> {
    weighed.statement(&[TotalRelation { component, relation }], weighbridge_attest_types::Digest32::default()).map(drop)
}

impl Statement {
    /// Reads `le=PROFILE`, `gt=PROFILE`, `in=PROFILE..PROFILE`, `two-figures` or `none`; the error is for the person who
    /// typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::Omitted),
            "two-figures" => return Ok(Self::TwoFigures),
            _ => {}
        }
        let syntax = || {
            format!(
                "`{text}` is not a statement; write le=PROFILE, gt=PROFILE, in=PROFILE..PROFILE, two-figures or none"
            )
        };
        let (relation, profiles) = text.split_once('=').ok_or_else(syntax)?;
        let relation = match relation {
            "le" => threshold(profiles).map(Relation::Le),
            "gt" => threshold(profiles).map(Relation::Gt),
            "in" => {
                let (low, high) = profiles.split_once("..").ok_or_else(syntax)?;
                between(low, high)
            }
            _ => return Err(syntax()),
        };
        relation.map(Self::Relation).map_err(|error| error.advice())
    }

    /// The same for energy: a profile's value is no amount of energy.
    pub(crate) fn parse_energy(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Omitted),
            "two-figures" => Ok(Self::TwoFigures),
            _ => Err(format!("`{text}` is not a statement about energy; write two-figures or none")),
        }
    }
}

/// A relation whose bounds are those of built-in profiles.
fn lawful(component: Component, relation: Relation) -> Result<Relation, CliError> {
    let (low, high) = TotalRelation { component, relation }.bounds();
    let known: Vec<Flops> = built_in_profiles().iter().map(|profile| profile.value).collect();
    let is_free = |bound: &Flops| component == Component::Energy || !known.contains(bound);
    match [low, high].into_iter().flatten().find(is_free) {
        Some(bound) => Err(CliError::FreeBound { bound }),
        None => Ok(relation),
    }
}

/// The first `≤ T` that holds.
fn smallest(component: Component, weighed: &Weighed<'_>) -> Result<Relation, CliError> {
    let mut thresholds: Vec<Flops> = built_in_profiles().iter().map(|profile| profile.value).collect();
    thresholds.sort_unstable();
    let greatest = Relation::Le(thresholds.pop().unwrap_or_default());
    for relation in thresholds.into_iter().map(Relation::Le) {
        if holds(component, relation, weighed).is_ok() {
            return Ok(relation);
        }
    }
    match holds(component, greatest, weighed) {
        Ok(()) => Ok(greatest),
        Err(error @ ProveError::Violation(_)) => Err(CliError::NoDefaultStatement(error)),
        Err(error) => Err(CliError::Prove(error)),
    }
}

/// The narrowest cell for which the circuit's rounding against the claim leaves the statement true. Remainders below
/// one GFLOP can push a total at an edge into a cell of two steps; the report then shows both steps.
fn cell(component: Component, weighed: &Weighed<'_>) -> Result<Relation, CliError> {
    let unit = if component == Component::Energy { 1 } else { FLOP_PER_GFLOP };
    let total = u128::from(weighed.total(component)).saturating_mul(unit);
    let start = TwoFigures::floor(total).ok_or(CliError::NoCell)?;
    for end in [start.next(), start.next().next()] {
        let ends = (start.checked_value(), end.checked_value());
        let (Some(low), Some(high)) = ends else { return Err(CliError::NoCell) };
        let relation = Relation::In { low: Flops(low), high: Flops(high) };
        match holds(component, relation, weighed) {
            Ok(()) => return Ok(relation),
            Err(ProveError::Violation(_)) => {}
            Err(error) => return Err(CliError::Prove(error)),
        }
    }
    Err(CliError::NoCell)
}

/// The built-in profile of this id.
///
/// # Errors
/// [`CliError::UnknownProfile`].
pub(crate) fn profile(id: &str) -> Result<ThresholdProfile, CliError> {
    let known = built_in_profiles().into_iter().find(|profile| profile.id == id);
    known.ok_or_else(|| CliError::UnknownProfile { id: id.to_owned() })
}

/// The id, if a built-in profile or one of the reader's own has it.
///
/// # Errors
/// [`CliError::UnknownProfile`].
pub(crate) fn known_id(id: &str, own: &[ThresholdProfile]) -> Result<String, CliError> {
    match own.iter().find(|profile| profile.id == id) {
        Some(own) => Ok(own.id.clone()),
        None => profile(id).map(|profile| profile.id),
    }
}

fn threshold(id: &str) -> Result<Flops, CliError> {
    profile(id).map(|profile| profile.value)
}

fn between(low: &str, high: &str) -> Result<Relation, CliError> {
    let relation = (threshold(low)?, threshold(high)?);
    if relation.0 >= relation.1 {
        return Err(CliError::Bounds { low: low.to_owned(), high: high.to_owned() });
    }
    Ok(Relation::In { low: relation.0, high: relation.1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_attest_types::{Digest32, PoseidonDigest, Reading, WitnessRow};
    use weighbridge_circuits::ChainWitness;

    #[test]
    fn statements_take_their_bounds_from_profiles_only() {
        let ten = |exponent| Flops(10u128.pow(exponent));
        assert_eq!(Statement::parse("le=demo"), Ok(Statement::Relation(Relation::Le(ten(18)))));
        assert_eq!(Statement::parse("gt=eu-ai-act-51-2"), Ok(Statement::Relation(Relation::Gt(ten(25)))));
        let inside = Relation::In { low: ten(23), high: ten(25) };
        assert_eq!(Statement::parse("in=eu-gpai-2-1..eu-ai-act-51-2"), Ok(Statement::Relation(inside)));
        assert_eq!(Statement::parse("none"), Ok(Statement::Omitted));
        assert_eq!(Statement::parse("two-figures"), Ok(Statement::TwoFigures));
        assert_eq!(Statement::parse_energy("two-figures"), Ok(Statement::TwoFigures));
        assert!(Statement::parse_energy("le=demo").is_err(), "a threshold of FLOP bounds no energy");
    }

    fn chain(gflop: u64, joule: u64) -> ChainWitness {
        let row = WitnessRow { reading: Reading::new(gflop, 0, gflop / 2, joule).unwrap(), salt: [1; 28] };
        ChainWitness { start: PoseidonDigest::default(), publics: vec![Digest32::default()], rows: vec![row] }
    }

    fn about(component: Component, statement: Statement) -> StatementAbout {
        StatementAbout { component, statement }
    }

    #[test]
    fn several_statements_are_one_list_of_relations() {
        let chains = [chain(2_340_000_000, 47_123)];
        let weighed = Weighed::of(Digest32::default(), &chains).unwrap();
        let statements = [
            about(Component::Declared, Statement::SmallestThreshold),
            about(Component::Declared, Statement::parse("gt=demo").unwrap()),
            about(Component::Declared, Statement::Omitted),
            about(Component::Metered, Statement::TwoFigures),
            about(Component::Energy, Statement::TwoFigures),
            // The same once more is no second relation.
            about(Component::Declared, Statement::parse("gt=demo").unwrap()),
        ];
        let ten = |exponent| Flops(10u128.pow(exponent));
        let metered = Relation::In { low: Flops(11 * ten(17).0), high: Flops(12 * ten(17).0) };
        let expected = [
            TotalRelation::declared(Relation::Le(ten(22))),
            TotalRelation::declared(Relation::Gt(ten(18))),
            TotalRelation { component: Component::Metered, relation: metered },
            TotalRelation {
                component: Component::Energy,
                relation: Relation::In { low: Flops(47_000), high: Flops(48_000) },
            },
        ];
        let found = relations(&statements, &weighed).unwrap();
        // The smallest threshold depends on the profiles that are built in.
        assert!(matches!(found[0].relation, Relation::Le(bound) if bound > ten(18)));
        assert_eq!(found[1..], expected[1..]);
        assert_eq!(relations(&[], &weighed).unwrap(), []);
        let many: Vec<StatementAbout> = built_in_profiles()
            .iter()
            .flat_map(|profile| [Relation::Le(profile.value), Relation::Gt(profile.value)])
            .flat_map(|relation| [Component::Declared, Component::Metered].map(|component| (component, relation)))
            .map(|(component, relation)| about(component, Statement::Relation(relation)))
            .collect();
        let refused = relations(&many, &weighed);
        assert!(refused.is_err_and(|error| matches!(error, CliError::Relations(_))));
    }

    #[test]
    fn a_bound_of_no_profile_is_refused_before_anything_is_proven() {
        let chains = [chain(1, 1)];
        let weighed = Weighed::of(Digest32::default(), &chains).unwrap();
        let refused = |component| {
            relations(&[about(component, Statement::Relation(Relation::Le(Flops(12_345))))], &weighed).unwrap_err()
        };
        assert_eq!(refused(Component::Declared).to_string(), "12345 FLOP is the threshold of no built-in profile");
        assert!(matches!(refused(Component::Energy), CliError::FreeBound { .. }));
    }

    #[test]
    fn free_bounds_and_other_spellings_are_refused() {
        let known = format!("use one of: {}", crate::error::profile_ids());
        for (text, id) in [("le=1000", "1000"), ("in=demo..7", "7"), ("gt=", "")] {
            assert_eq!(Statement::parse(text), Err(format!("there is no threshold profile `{id}`; {known}")));
        }
        let syntax =
            "`below` is not a statement; write le=PROFILE, gt=PROFILE, in=PROFILE..PROFILE, two-figures or none";
        assert_eq!(Statement::parse("below"), Err(syntax.to_owned()));
        for text in ["lt=demo", "in=demo", ""] {
            assert!(Statement::parse(text).is_err_and(|error| error.contains("is not a statement")), "{text}");
        }
        let order = "--declared in=eu-gpai-2-1..demo: the first threshold must be smaller than the second; \
                     swap the two profiles";
        assert_eq!(Statement::parse("in=eu-gpai-2-1..demo"), Err(order.to_owned()));
    }
}
