//! **Duty.** What can be said about a hidden total, and how it is rounded against the claim. **Knows** bounds in FLOP or
//! joule. **Does not know** which bounds are lawful (appraisal). **Spec.** PROTOCOL §4 statement 2.

use weighbridge_attest_types::{Canonical, CodecError, Decoder, Encoder, FLOP_PER_GFLOP, Flops};

use crate::ProofError;
use crate::state::TOTAL_BITS;

/// Relations that one proof can hold: several profiles of one run are one proof.
pub const MAX_RELATIONS: usize = 8;
/// The bound that says nothing.
const NO_HIGH: u64 = (1 << TOTAL_BITS) - 1;

/// What was added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Operations that the training job declared, in FLOP.
    Declared,
    /// Operations that counters saw, in FLOP.
    Metered,
    /// Energy that counters saw, in joule.
    Energy,
}

/// Where a total lies. Amounts are in the component's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `total ≤ T`.
    Le(Flops),
    /// `total > T`.
    Gt(Flops),
    /// `low ≤ total < high`.
    In {
        /// Lower end, included.
        low: Flops,
        /// Upper end, excluded.
        high: Flops,
    },
}

/// A relation about the total of one component over all chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TotalRelation {
    /// What was added up.
    pub component: Component,
    /// Where it lies.
    pub relation: Relation,
}

/// One slot of the circuit, in its units: `low ≤ Σ` and `Σ + chains ≤ high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) component: u64,
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// A slot that says nothing.
pub(crate) const NOTHING: Slot = Slot { component: 0, low: 0, high: NO_HIGH };

impl Component {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Declared, Self::Metered, Self::Energy];

    /// Position among the totals.
    pub(crate) const fn position(self) -> usize {
        match self {
            Self::Declared => 0,
            Self::Metered => 1,
            Self::Energy => 2,
        }
    }

    /// The word in names and sentences.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Metered => "metered",
            Self::Energy => "energy",
        }
    }

    /// What its amounts count.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Declared | Self::Metered => "FLOP",
            Self::Energy => "J",
        }
    }

    /// Amounts in one unit of the circuit: readings count whole GFLOP, and whole joule.
    const fn scale(self) -> u128 {
        match self {
            Self::Declared | Self::Metered => FLOP_PER_GFLOP,
            Self::Energy => 1,
        }
    }
}

impl TotalRelation {
    /// A relation about the declared total.
    #[must_use]
    pub const fn declared(relation: Relation) -> Self {
        Self { component: Component::Declared, relation }
    }

    /// The statement's name in reports: for what it is about, so that it never prints as "below".
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.component, self.relation) {
            (Component::Declared, Relation::Le(_)) => "declared_le",
            (Component::Declared, Relation::Gt(_)) => "declared_gt",
            (Component::Declared, Relation::In { .. }) => "declared_in",
            (Component::Metered, Relation::Le(_)) => "metered_le",
            (Component::Metered, Relation::Gt(_)) => "metered_gt",
            (Component::Metered, Relation::In { .. }) => "metered_in",
            (Component::Energy, Relation::Le(_)) => "energy_le",
            (Component::Energy, Relation::Gt(_)) => "energy_gt",
            (Component::Energy, Relation::In { .. }) => "energy_in",
        }
    }

    /// Lower and upper bound, as far as the relation has them.
    #[must_use]
    pub const fn bounds(&self) -> (Option<Flops>, Option<Flops>) {
        match self.relation {
            Relation::Le(high) => (None, Some(high)),
            Relation::Gt(low) => (Some(low), None),
            Relation::In { low, high } => (Some(low), Some(high)),
        }
    }

    /// Directed rounding to circuit units.
    pub(crate) fn slot(&self) -> Result<Slot, ProofError> {
        let scale = self.component.scale();
        let bound = |whole: u128| {
            let whole = u64::try_from(whole).ok().filter(|&whole| whole < NO_HIGH);
            whole.ok_or(ProofError::Public("a bound is above 2^62 GFLOP or joule"))
        };
        let whole_down = |amount: Flops| bound(amount.0 / scale);
        let whole_up = |amount: Flops| bound(amount.0.div_ceil(scale));
        let (low, high) = match self.relation {
            Relation::Le(high) => (0, whole_down(high)?),
            Relation::Gt(low) => (whole_down(low)? + 1, NO_HIGH),
            Relation::In { low, high } => (whole_up(low)?, whole_down(high)?),
        };
        Ok(Slot { component: self.component.position() as u64, low, high })
    }
}

impl Canonical for Relation {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Le(high) => out.put::<u8>(&0).put(high),
            Self::Gt(low) => out.put::<u8>(&1).put(low),
            Self::In { low, high } => out.put::<u8>(&2).put(low).put(high),
        };
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match input.take::<u8>()? {
            0 => Ok(Self::Le(input.take()?)),
            1 => Ok(Self::Gt(input.take()?)),
            2 => Ok(Self::In { low: input.take()?, high: input.take()? }),
            _ => Err(CodecError::NotCanonical("relation")),
        }
    }
}

impl Canonical for Component {
    fn encode(&self, out: &mut Encoder) {
        let code: u8 = match self {
            Self::Declared => 0,
            Self::Metered => 1,
            Self::Energy => 2,
        };
        out.put(&code);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let code = usize::from(input.take::<u8>()?);
        Self::ALL.get(code).copied().ok_or(CodecError::NotCanonical("component"))
    }
}

impl Canonical for TotalRelation {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.component).put(&self.relation);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { component: input.take()?, relation: input.take()? })
    }
}
