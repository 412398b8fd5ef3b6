//! **Duty.** Which relation about the declared total is proven. Bounds come from threshold profiles only, because a
//! free bound would tell the total by bisection. **Spec.** PROTOCOL §4 statement 2.

use weighbridge_attest_types::{Digest32, FLOP_PER_GFLOP, Flops, ThresholdProfile, TwoFigures, built_in_profiles};
use weighbridge_circuits::{ChainWitness, DeclaredRelation, ProveError, check_witness};

use crate::error::CliError;

/// What to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `declared ≤ T` for the smallest built-in threshold for which it is true.
    SmallestThreshold,
    /// This relation.
    Relation(DeclaredRelation),
    /// The cell of the two-figure grid that holds the total (level `two-figures`).
    TwoFigures,
    /// Nothing: the bundle has no declared line.
    Omitted,
}

impl Statement {
    /// Reads `le=PROFILE`, `gt=PROFILE`, `in=PROFILE..PROFILE` or `none`; the error is for the person who typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Omitted);
        }
        let syntax =
            || format!("`{text}` is not a statement; write le=PROFILE, gt=PROFILE, in=PROFILE..PROFILE or none");
        let (relation, profiles) = text.split_once('=').ok_or_else(syntax)?;
        let relation = match relation {
            "le" => threshold(profiles).map(DeclaredRelation::Le),
            "gt" => threshold(profiles).map(DeclaredRelation::Gt),
            "in" => {
                let (low, high) = profiles.split_once("..").ok_or_else(syntax)?;
                between(low, high)
            }
            _ => return Err(syntax()),
        };
        relation.map(Self::Relation).map_err(|error| error.advice())
    }

    /// The relation itself; the default one is the first that holds.
    pub(super) fn relation(&self, genesis: Digest32, chains: &[ChainWitness]) -> Result<DeclaredRelation, CliError> {
        if *self == Self::TwoFigures {
            return cell(genesis, chains);
        }
        let mut thresholds: Vec<Flops> = built_in_profiles().iter().map(|profile| profile.value).collect();
        thresholds.sort_unstable();
        if let Self::Relation(relation) = self {
            let free = bounds(relation).into_iter().flatten().find(|bound| !thresholds.contains(bound));
            return free.map_or(Ok(*relation), |bound| Err(CliError::FreeBound { bound }));
        }
        let greatest = DeclaredRelation::Le(thresholds.pop().unwrap_or_default());
        for relation in thresholds.into_iter().map(DeclaredRelation::Le) {
            if check_witness(genesis, chains, relation).is_ok() {
                return Ok(relation);
            }
        }
        match check_witness(genesis, chains, greatest) {
            Ok(_) => Ok(greatest),
            Err(error @ ProveError::Violation(_)) => Err(CliError::NoDefaultStatement(error)),
            Err(error) => Err(CliError::Prove(error)),
        }
    }
}

/// The narrowest cell for which the circuit's rounding against the claim leaves the statement true. Remainders below
/// one GFLOP can push a total at an edge into a cell of two steps; the report then shows both steps.
fn cell(genesis: Digest32, chains: &[ChainWitness]) -> Result<DeclaredRelation, CliError> {
    let gflop = chains.iter().flat_map(|chain| &chain.rows).map(|row| u128::from(row.reading.declared_gflop()));
    let total = gflop.sum::<u128>() * FLOP_PER_GFLOP;
    let start = TwoFigures::floor(total).ok_or(CliError::NoCell)?;
    for end in [start.next(), start.next().next()] {
        let ends = (start.checked_value(), end.checked_value());
        let (Some(low), Some(high)) = ends else { return Err(CliError::NoCell) };
        let relation = DeclaredRelation::In { low: Flops(low), high: Flops(high) };
        match check_witness(genesis, chains, relation) {
            Ok(_) => return Ok(relation),
            Err(ProveError::Violation(_)) => {}
            Err(error) => return Err(CliError::Prove(error)),
        }
    }
    Err(CliError::NoCell)
}

fn bounds(relation: &DeclaredRelation) -> [Option<Flops>; 2] {
    match *relation {
        DeclaredRelation::Le(bound) | DeclaredRelation::Gt(bound) => [Some(bound), None],
        DeclaredRelation::In { low, high } => [Some(low), Some(high)],
    }
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

fn between(low: &str, high: &str) -> Result<DeclaredRelation, CliError> {
    let relation = (threshold(low)?, threshold(high)?);
    if relation.0 >= relation.1 {
        return Err(CliError::Bounds { low: low.to_owned(), high: high.to_owned() });
    }
    Ok(DeclaredRelation::In { low: relation.0, high: relation.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_take_their_bounds_from_profiles_only() {
        let ten = |exponent| Flops(10u128.pow(exponent));
        assert_eq!(Statement::parse("le=demo"), Ok(Statement::Relation(DeclaredRelation::Le(ten(18)))));
        assert_eq!(Statement::parse("gt=eu-ai-act-51-2"), Ok(Statement::Relation(DeclaredRelation::Gt(ten(25)))));
        let inside = DeclaredRelation::In { low: ten(23), high: ten(25) };
        assert_eq!(Statement::parse("in=eu-gpai-2-1..eu-ai-act-51-2"), Ok(Statement::Relation(inside)));
        assert_eq!(Statement::parse("none"), Ok(Statement::Omitted));
    }

    #[test]
    fn a_bound_of_no_profile_is_refused_before_anything_is_proven() {
        let refused = Statement::Relation(DeclaredRelation::Le(Flops(12_345))).relation(Digest32::default(), &[]);
        assert_eq!(refused.unwrap_err().to_string(), "12345 FLOP is the threshold of no built-in profile");
    }

    #[test]
    fn free_bounds_and_other_spellings_are_refused() {
        let known = format!("use one of: {}", crate::error::profile_ids());
        for (text, id) in [("le=1000", "1000"), ("in=demo..7", "7"), ("gt=", "")] {
            assert_eq!(Statement::parse(text), Err(format!("there is no threshold profile `{id}`; {known}")));
        }
        let syntax = "`below` is not a statement; write le=PROFILE, gt=PROFILE, in=PROFILE..PROFILE or none";
        assert_eq!(Statement::parse("below"), Err(syntax.to_owned()));
        for text in ["lt=demo", "in=demo", ""] {
            assert!(Statement::parse(text).is_err_and(|error| error.contains("is not a statement")), "{text}");
        }
        let order = "--declared in=eu-gpai-2-1..demo: the first threshold must be smaller than the second; \
                     swap the two profiles";
        assert_eq!(Statement::parse("in=eu-gpai-2-1..demo"), Err(order.to_owned()));
    }
}
