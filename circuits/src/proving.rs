//! **Duty.** Making proofs, on the operator's machine: native checks first, then meters, aggregation and the blinded
//! outer proof. **Does not know** files or progress bars.

use std::sync::OnceLock;

use weighbridge_attest_types::{Digest32, PoseidonDigest, WitnessRow};
use weighbridge_commitments::{digest_elements, salt_elements};

use crate::aggregation::{Aggregation, AggregationPublic, AggregationSlot};
use crate::checking::encode;
use crate::meter::{METER_INTERVALS, Meter, MeterPublic, MeterRow};
use crate::statement::{Assignment, Circuit, Config, EXTENSION, Field, Statement};
use crate::threshold::{CHAIN_SLOTS, Threshold, ThresholdInputs, ThresholdWitness};
use crate::{DeclaredRelation, ProveError, ThresholdPublic, Violation};

type Proven = plonky2::plonk::proof::ProofWithPublicInputs<Field, Config, EXTENSION>;

/// One chain with its private openings.
#[derive(Debug, Clone)]
pub struct ChainWitness {
    /// `head_0`.
    pub start: PoseidonDigest,
    /// Digests of the public facts, in order.
    pub publics: Vec<Digest32>,
    /// Openings of the meter commitments, in order.
    pub rows: Vec<WitnessRow>,
}

/// A published proof with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdProof {
    /// The statement.
    pub public: ThresholdPublic,
    /// The proof.
    pub proof: Vec<u8>,
}

/// The circuits of this version, built once in a process.
#[derive(Debug)]
pub(crate) struct Circuits {
    pub(crate) meter: Circuit<Meter>,
    pub(crate) aggregation: Circuit<Aggregation>,
    pub(crate) threshold: Circuit<Threshold>,
}

pub(crate) fn circuits() -> &'static Circuits {
    static CIRCUITS: OnceLock<Circuits> = OnceLock::new();
    CIRCUITS.get_or_init(|| {
        let meter = Circuit::<Meter>::build(&());
        let aggregation = Circuit::<Aggregation>::build(&meter.data.verifier_data());
        let threshold = Circuit::<Threshold>::build(&aggregation.data.verifier_data());
        Circuits { meter, aggregation, threshold }
    })
}

/// Proves a relation about the declared total of a run's chains.
///
/// # Errors
/// [`ProveError`]: a false statement is named before any proving time is spent.
pub fn prove_threshold(
    genesis: Digest32,
    chains: &[ChainWitness],
    relation: DeclaredRelation,
    progress: &mut dyn FnMut(&str),
) -> Result<ThresholdProof, ProveError> {
    let Checked { public, inputs, hidden, rows, meters } = check_chains(genesis, chains, relation)?;

    progress("building circuits");
    let Circuits { meter, aggregation, threshold } = circuits();
    let mut slots: Vec<AggregationSlot> = Vec::with_capacity(CHAIN_SLOTS);
    for (slot, (public, rows)) in meters.into_iter().zip(&rows).enumerate() {
        // Slots without a chain stand behind the chains and are all alike: one proof serves every one of them.
        if let Some(same) = slots.last().filter(|last| rows.is_empty() && last.public == public).cloned() {
            slots.push(same);
            continue;
        }
        let what = if rows.is_empty() { "empty slots".to_owned() } else { format!("chain {}", slot + 1) };
        progress(&format!("proving meter of {what} ({} chains)", chains.len()));
        slots.push(AggregationSlot { public, proof: prove(meter, &public, rows.as_slice())? });
    }
    progress("folding");
    let slots: [AggregationSlot; CHAIN_SLOTS] = slots.try_into().map_err(|_| prover("aggregation", "slots"))?;
    let folded = prove(aggregation, &hidden, &slots)?;
    progress("proving the threshold, blinded");
    let outer = prove(threshold, &inputs, &ThresholdWitness { public: hidden, proof: folded })?;
    Ok(ThresholdProof { public, proof: encode(&outer.proof) })
}

/// A statement whose native meaning holds, with all it takes to prove it.
struct Checked {
    public: ThresholdPublic,
    inputs: ThresholdInputs,
    hidden: AggregationPublic,
    rows: [Vec<MeterRow>; CHAIN_SLOTS],
    meters: [MeterPublic; CHAIN_SLOTS],
}

/// Everything native: shape, readings, heads and sums. Cheap, so that an operator learns at once what is wrong.
fn check_chains(genesis: Digest32, chains: &[ChainWitness], relation: DeclaredRelation) -> Result<Checked, ProveError> {
    let shape = |what, found, most| Err(ProveError::Shape { what, found, most });
    if chains.is_empty() || chains.len() > CHAIN_SLOTS {
        return shape("chains in the run", chains.len(), CHAIN_SLOTS);
    }
    let mut rows: [Vec<MeterRow>; CHAIN_SLOTS] = Default::default();
    let empty = MeterPublic::of(PoseidonDigest::default(), 0, &[]).map_err(ProveError::Violation)?;
    let (mut meters, mut claims) = ([empty; CHAIN_SLOTS], Vec::new());
    for (slot, chain) in chains.iter().enumerate() {
        if chain.rows.len() > METER_INTERVALS {
            return shape("intervals in a chain", chain.rows.len(), METER_INTERVALS);
        }
        if chain.rows.is_empty() && chain.publics.is_empty() {
            return Err(ProveError::EmptyChain { chain: slot + 1 });
        }
        if chain.rows.len() != chain.publics.len() {
            let detail = format!("{} openings for {} intervals", chain.rows.len(), chain.publics.len());
            return Err(ProveError::Violation(Violation::new("capacity", detail)));
        }
        rows[slot] = chain.rows.iter().zip(&chain.publics).map(|(row, public)| meter_row(row, *public)).collect();
        let meter = MeterPublic::of(chain.start, 0, &rows[slot]).map_err(ProveError::Violation)?;
        claims.push(crate::ChainClaim { start: meter.start, end: meter.end, count: meter.end_index });
        meters[slot] = meter;
    }
    let public = ThresholdPublic { genesis, chains: claims, relation };
    let inputs = public.inputs().map_err(|error| violation("bounds", &error))?;
    let hidden = AggregationPublic::of(&meters).map_err(ProveError::Violation)?;
    inputs.check(&hidden).map_err(ProveError::Violation)?;
    Ok(Checked { public, inputs, hidden, rows, meters })
}

/// The native meaning alone: what a proof would claim, without proving it.
///
/// # Errors
/// [`ProveError`].
pub fn check_witness(
    genesis: Digest32,
    chains: &[ChainWitness],
    relation: DeclaredRelation,
) -> Result<ThresholdPublic, ProveError> {
    Ok(check_chains(genesis, chains, relation)?.public)
}

fn meter_row(row: &WitnessRow, public: Digest32) -> MeterRow {
    MeterRow { reading: row.reading.elements(), salt: salt_elements(&row.salt), public: digest_elements(public) }
}

/// Proves one statement, after its native check.
pub(crate) fn prove<S: Statement>(
    circuit: &Circuit<S>,
    public: &S::Public,
    witness: &S::Witness,
) -> Result<Proven, ProveError> {
    S::check(public, witness).map_err(ProveError::Violation)?;
    let mut assignment = Assignment::new();
    S::assign(&circuit.targets, public, witness, &mut assignment).map_err(ProveError::Violation)?;
    circuit.data.prove(assignment).map_err(|error| prover(S::ID, &error.to_string()))
}

fn prover(circuit: &'static str, detail: &str) -> ProveError {
    ProveError::Prover { circuit, detail: detail.to_owned() }
}

fn violation(property: &'static str, error: &crate::ProofError) -> ProveError {
    ProveError::Violation(Violation::new(property, error.to_string()))
}
