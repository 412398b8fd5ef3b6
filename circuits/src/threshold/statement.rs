//! **Duty.** What `threshold` means, natively.
//!
//! With `Σ` the chains' proven GFLOP and `n` the number of chain slots, `low ≤ Σ` and `Σ + n ≤ high`. The `n` covers
//! the remainders below one GFLOP that each chain carries out, so that every relation over FLOP is rounded against the
//! claim: `≤ T` needs `Σ + n ≤ T/10⁹`, `> T` needs `Σ > T/10⁹` (PROTOCOL §4).

use plonky2::plonk::proof::ProofWithPublicInputs;
use weighbridge_attest_types::{
    Canonical, CodecError, Decoder, Digest32, Encoder, FLOP_PER_GFLOP, Flops, PoseidonDigest,
};
use weighbridge_commitments::digest_elements;

use crate::aggregation::AggregationPublic;
use crate::meter::METER_INTERVALS;
use crate::statement::{Config, EXTENSION, Field, FieldLayout};
use crate::{ProofError, Violation};

/// Chains that one proof can hold in this version.
pub const CHAIN_SLOTS: usize = 4;
/// Bits of bounds and totals: four chains below 2⁶⁰ stay below 2⁶². One bit more would let a difference alias modulo p.
pub(super) const BOUND_BITS: usize = 62;
/// The bound that says nothing.
const NO_HIGH: u64 = (1 << BOUND_BITS) - 1;

/// `threshold` over one aggregation.
#[derive(Debug)]
pub(crate) struct Threshold;

/// One node's chain as a reader knows it: everything here is recomputed from the ledger in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainClaim {
    /// `head_0`.
    pub start: PoseidonDigest,
    /// Last head.
    pub end: PoseidonDigest,
    /// Number of intervals.
    pub count: u64,
}

/// A relation about the *declared* total of all chains. Named for what it is about, so that it never prints as "below".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredRelation {
    /// `declared ≤ T`.
    Le(Flops),
    /// `declared > T`.
    Gt(Flops),
    /// `low ≤ declared < high`.
    In {
        /// Lower end, included.
        low: Flops,
        /// Upper end, excluded.
        high: Flops,
    },
}

/// What a reader of the published proof knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdPublic {
    /// The run.
    pub genesis: Digest32,
    /// Chains in roster order, 1 to [`CHAIN_SLOTS`].
    pub chains: Vec<ChainClaim>,
    /// What is claimed.
    pub relation: DeclaredRelation,
}

/// The public inputs in circuit units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThresholdInputs {
    pub(crate) genesis: Digest32,
    pub(crate) chains: [ChainClaim; CHAIN_SLOTS],
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// The aggregation that stays hidden.
#[derive(Debug, Clone)]
pub(crate) struct ThresholdWitness {
    pub(crate) public: AggregationPublic,
    pub(crate) proof: ProofWithPublicInputs<Field, Config, EXTENSION>,
}

impl ChainClaim {
    /// The elements in circuit order.
    pub(crate) fn elements(&self) -> Vec<u64> {
        let mut elements = self.start.elements().to_vec();
        elements.extend(self.end.elements());
        elements.push(self.count);
        elements
    }
}

impl DeclaredRelation {
    /// The statement's name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Le(_) => "declared_le",
            Self::Gt(_) => "declared_gt",
            Self::In { .. } => "declared_in",
        }
    }

    /// Directed rounding to circuit units: (low, high) with `low ≤ Σ` and `Σ + slots ≤ high`.
    fn bounds(&self) -> Result<(u64, u64), ProofError> {
        let bound = |whole: u128| {
            let whole = u64::try_from(whole).ok().filter(|&whole| whole < NO_HIGH);
            whole.ok_or(ProofError::Public("a bound is above 2^62 GFLOP"))
        };
        let whole_down = |flop: Flops| bound(flop.0 / FLOP_PER_GFLOP);
        let whole_up = |flop: Flops| bound(flop.0.div_ceil(FLOP_PER_GFLOP));
        match *self {
            Self::Le(high) => Ok((0, whole_down(high)?)),
            Self::Gt(low) => Ok((whole_down(low)? + 1, NO_HIGH)),
            Self::In { low, high } => Ok((whole_up(low)?, whole_down(high)?)),
        }
    }
}

impl ThresholdPublic {
    /// The public inputs in circuit units.
    pub(crate) fn inputs(&self) -> Result<ThresholdInputs, ProofError> {
        let Self { genesis, chains, relation } = self;
        if chains.is_empty() || chains.len() > CHAIN_SLOTS {
            return Err(ProofError::Public("1 to 4 chains"));
        }
        // A count is an element of the field: beyond the circuit's rows it could be another number's alias.
        if chains.iter().any(|chain| !(1..=METER_INTERVALS as u64).contains(&chain.count)) {
            return Err(ProofError::Public("a chain has 1 to 512 intervals"));
        }
        // `head_0` holds the node key: one start twice would count one chain twice.
        let mut starts: Vec<[u64; 4]> = chains.iter().map(|chain| chain.start.elements()).collect();
        starts.sort_unstable();
        if starts.array_windows().any(|[first, second]| first == second) {
            return Err(ProofError::Public("two chains have one start"));
        }
        let (low, high) = relation.bounds()?;
        let slot = |index: usize| chains.get(index).copied().unwrap_or_default();
        Ok(ThresholdInputs { genesis: *genesis, chains: std::array::from_fn(slot), low, high })
    }
}

impl FieldLayout for ThresholdInputs {
    fn to_elements(&self) -> Vec<u64> {
        let Self { genesis, chains, low, high } = self;
        let mut elements = digest_elements(*genesis).to_vec();
        elements.extend(chains.iter().flat_map(ChainClaim::elements));
        elements.extend([*low, *high]);
        elements
    }
}

impl ThresholdInputs {
    /// The native meaning over the hidden aggregation.
    pub(crate) fn check(&self, hidden: &AggregationPublic) -> Result<(), Violation> {
        if hidden.chains != self.chains {
            return Err(Violation::new("claims-pass", "the chains are not those of the aggregation"));
        }
        if self.low >> BOUND_BITS != 0 || self.high >> BOUND_BITS != 0 {
            return Err(Violation::new("bounds", "a bound is 2^62 or more"));
        }
        let violated = |property| Err(Violation::new(property, "the declared total is on the other side of the bound"));
        if hidden.gflop < self.low {
            return violated("low-bound");
        }
        if hidden.gflop + CHAIN_SLOTS as u64 > self.high {
            return violated("high-bound");
        }
        Ok(())
    }
}

impl Canonical for ChainClaim {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.start).put(&self.end).put(&self.count);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { start: input.take()?, end: input.take()?, count: input.take()? })
    }
}

impl Canonical for DeclaredRelation {
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

impl Canonical for ThresholdPublic {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.genesis).count(self.chains.len());
        for chain in &self.chains {
            out.put(chain);
        }
        out.put(&self.relation);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let genesis = input.take()?;
        let count = input.count("chains", CHAIN_SLOTS)?;
        let chains = (0..count).map(|_| input.take()).collect::<Result<_, _>>()?;
        Ok(Self { genesis, chains, relation: input.take()? })
    }
}
