//! **Duty.** Making proofs, on the operator's machine: one piece of a plan at a time, circuits built when they are first
//! needed. **Does not know** files, threads or progress bars. **Spec.** CIRCUITS §4, decision 0056.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use weighbridge_attest_types::PoseidonDigest;

use crate::aggregation::{Child, Fold, FoldWitness, KeySet, Shape, Step, Wrap, key_elements};
use crate::checking::{compact_key, encode, parse, read_key, threshold_key};
use crate::compact::{Compact, compact_config};
use crate::meter::{LONG_SEGMENTS, Meter, SEGMENT_INTERVALS, SHORT_SEGMENTS, Transition};
use crate::plan::Work;
use crate::statement::{Assignment, Circuit, Common, FieldLayout, KeyData, Proven, Statement, VerifierKey};
use crate::threshold::{Threshold, ThresholdWitness, Trusted};
use crate::{CATALOG, Job, JobKind, Plan, ProofError, ProveError};

type LongMeter = Meter<LONG_SEGMENTS>;
type ShortMeter = Meter<SHORT_SEGMENTS>;
type LongWrap = Wrap<LONG_SEGMENTS, SEGMENT_INTERVALS>;
type ShortWrap = Wrap<SHORT_SEGMENTS, SEGMENT_INTERVALS>;

/// The verifier keys of all circuits whose proofs may be folded. They ship with the binary, so that the threshold circuit
/// can be built without the leaves, and so that a circuit that was built otherwise is noticed.
#[derive(Debug)]
pub(crate) struct FoldedKeys {
    pub(crate) wrap_long: VerifierKey,
    pub(crate) wrap_short: VerifierKey,
    pub(crate) fold: VerifierKey,
    pub(crate) set: KeySet,
    pub(crate) root: PoseidonDigest,
}

/// Proves the pieces of a plan. Circuits stay in memory once they were needed.
#[derive(Debug)]
pub struct Prover {
    keys: FoldedKeys,
    shape: Shape,
    meter_long: OnceLock<Circuit<LongMeter>>,
    meter_short: OnceLock<Circuit<ShortMeter>>,
    wrap_long: OnceLock<Circuit<LongWrap>>,
    wrap_short: OnceLock<Circuit<ShortWrap>>,
    fold: OnceLock<Circuit<Fold>>,
    threshold: OnceLock<Circuit<Threshold>>,
    compact: OnceLock<Circuit<Compact>>,
}

impl FoldedKeys {
    pub(crate) fn of(wrap_long: VerifierKey, wrap_short: VerifierKey, fold: VerifierKey) -> Self {
        let elements = [&wrap_long, &wrap_short, &fold].map(|key| key_elements(&key.verifier_only));
        let set = KeySet::of(elements.iter().map(Vec::as_slice));
        Self { wrap_long, wrap_short, fold, root: set.root(), set }
    }

    fn shipped() -> Result<Self, ProofError> {
        Ok(Self::of(
            read_key(include_bytes!("../fixtures/wrap-long.verifier"))?,
            read_key(include_bytes!("../fixtures/wrap-short.verifier"))?,
            read_key(include_bytes!("../fixtures/fold.verifier"))?,
        ))
    }

    /// The key of a circuit of the common shape.
    fn of_kind(&self, kind: JobKind) -> Option<&VerifierKey> {
        match kind {
            JobKind::WrapLong => Some(&self.wrap_long),
            JobKind::WrapShort => Some(&self.wrap_short),
            JobKind::Fold => Some(&self.fold),
            JobKind::MeterLong | JobKind::MeterShort | JobKind::Threshold | JobKind::Compact => None,
        }
    }
}

impl Prover {
    /// A prover with the keys that ship with this version.
    ///
    /// # Errors
    /// [`ProveError::Prover`]: ours; the keys do not parse.
    pub fn new() -> Result<Self, ProveError> {
        let keys = FoldedKeys::shipped().map_err(|error| prover("fold", error.to_string()))?;
        let shape = Shape::of(keys.fold.common.clone());
        Ok(Self::with(keys, shape))
    }

    pub(crate) fn with(keys: FoldedKeys, shape: Shape) -> Self {
        Self {
            keys,
            shape,
            meter_long: OnceLock::new(),
            meter_short: OnceLock::new(),
            wrap_long: OnceLock::new(),
            wrap_short: OnceLock::new(),
            fold: OnceLock::new(),
            threshold: OnceLock::new(),
            compact: OnceLock::new(),
        }
    }

    /// Proves one piece from the proofs of the pieces that it takes, in their order.
    ///
    /// # Errors
    /// [`ProveError`]: an input that is not the proof it should be, a fault of ours.
    pub fn prove(&self, plan: &Plan<'_>, job: &Job, inputs: &[&[u8]]) -> Result<Vec<u8>, ProveError> {
        let circuit = job.kind.circuit();
        if inputs.len() != job.inputs.len() {
            return Err(prover(circuit, format!("{} proofs given, {} needed", inputs.len(), job.inputs.len())));
        }
        let taken = job.inputs.iter().zip(inputs).map(|(&input, bytes)| self.read(plan, &plan.jobs()[input], bytes));
        let taken = taken.collect::<Result<Vec<_>, _>>().map_err(|error| prover(circuit, error.to_string()))?;
        // plonky2 asserts what it does not expect: that must not end a long piece of work without a word.
        let proven = catch_unwind(AssertUnwindSafe(|| self.prove_taken(plan, job, taken)));
        let proven = proven.map_err(|_| prover(circuit, "the prover panicked".to_owned()))?;
        Ok(encode(&proven?.proof))
    }

    /// Proves one piece from proofs whose form was looked at; whether they hold is found by the circuit.
    pub(crate) fn prove_taken(&self, plan: &Plan<'_>, job: &Job, taken: Vec<Proven>) -> Result<Proven, ProveError> {
        let circuit = job.kind.circuit();
        match (job.kind, job.work(), taken.as_slice()) {
            (JobKind::MeterLong, Work::Leaf(leaf), []) => leaf_of(self.meter_long(), plan, *leaf),
            (JobKind::MeterShort, Work::Leaf(leaf), []) => leaf_of(self.meter_short(), plan, *leaf),
            (JobKind::WrapLong, Work::Step(to), [leaf]) => prove(self.wrap_long()?, &self.step(*to), leaf),
            (JobKind::WrapShort, Work::Step(to), [leaf]) => prove(self.wrap_short()?, &self.step(*to), leaf),
            (JobKind::Fold, Work::Step(to), [_, _]) => self.fold(plan, job, *to, taken),
            (JobKind::Threshold, Work::Statement, [_]) => self.publish(plan, job, taken),
            (JobKind::Compact, Work::Statement, [threshold]) => {
                let inputs = plan.statement().inputs().map_err(|error| prover(circuit, error.to_string()))?;
                prove(self.compact()?, &inputs, threshold)
            }
            _ => Err(prover(circuit, "a job of another form".to_owned())),
        }
    }

    /// Checks a finished piece: that it is the proof that this job makes.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn check(&self, plan: &Plan<'_>, job: &Job, proof: &[u8]) -> Result<(), ProofError> {
        let proven = self.read(plan, job, proof)?;
        let holds = match job.kind {
            JobKind::MeterLong => self.meter_long().data.verify(proven).is_ok(),
            JobKind::MeterShort => self.meter_short().data.verify(proven).is_ok(),
            JobKind::WrapLong => self.keys.wrap_long.verify(proven).is_ok(),
            JobKind::WrapShort => self.keys.wrap_short.verify(proven).is_ok(),
            JobKind::Fold => self.keys.fold.verify(proven).is_ok(),
            JobKind::Threshold => threshold_key()?.verify(proven).is_ok(),
            JobKind::Compact => compact_key()?.verify(proven).is_ok(),
        };
        if holds { Ok(()) } else { Err(ProofError::DoesNotHold) }
    }

    /// The proof's form, with the public inputs that the plan gives it.
    fn read(&self, plan: &Plan<'_>, job: &Job, bytes: &[u8]) -> Result<Proven, ProofError> {
        let entry = CATALOG.iter().find(|entry| entry.id == job.kind.circuit());
        let size = entry.map(|entry| entry.proof_bytes).unwrap_or_default();
        let inputs = match job.work() {
            Work::Leaf(leaf) => plan.leaf(*leaf).transition.to_elements(),
            work @ Work::Step(_) => work.step(self.keys.root).map(|step| step.to_elements()).unwrap_or_default(),
            Work::Statement => plan.statement().inputs()?.to_elements(),
        };
        let common = self.common(job.kind).map_err(|error| ProofError::VerifierKey(error.to_string()))?;
        parse(bytes, size, common, &inputs)
    }

    fn common(&self, kind: JobKind) -> Result<&Common, ProveError> {
        Ok(match kind {
            JobKind::MeterLong => &self.meter_long().data.common,
            JobKind::MeterShort => &self.meter_short().data.common,
            JobKind::WrapLong | JobKind::WrapShort | JobKind::Fold => self.shape.common(),
            JobKind::Threshold => &shipped(threshold_key())?.common,
            JobKind::Compact => &shipped(compact_key())?.common,
        })
    }

    fn step(&self, transition: Transition) -> Step {
        Step { transition, keys: self.keys.root }
    }

    fn fold(&self, plan: &Plan<'_>, job: &Job, to: Transition, taken: Vec<Proven>) -> Result<Proven, ProveError> {
        let children = self.children(plan, job, taken)?;
        let children = children.try_into().map_err(|_| prover("fold", "two children".to_owned()))?;
        prove(self.fold_circuit()?, &self.step(to), &FoldWitness { children, keys: self.keys.set.clone() })
    }

    fn publish(&self, plan: &Plan<'_>, job: &Job, taken: Vec<Proven>) -> Result<Proven, ProveError> {
        let child = self.children(plan, job, taken)?.pop();
        let child = child.ok_or_else(|| prover("threshold", "one child".to_owned()))?;
        let inputs = plan.statement().inputs().map_err(|error| prover("threshold", error.to_string()))?;
        let witness = ThresholdWitness { totals: plan.totals(), child, keys: self.keys.set.clone() };
        prove(self.threshold()?, &inputs, &witness)
    }

    /// The inputs of a job as children, each with the key of its circuit.
    fn children(&self, plan: &Plan<'_>, job: &Job, taken: Vec<Proven>) -> Result<Vec<Child>, ProveError> {
        let child = |(&input, proof): (&usize, Proven)| {
            let input = &plan.jobs()[input];
            let step = input.work().step(self.keys.root)?;
            let key: KeyData = self.keys.of_kind(input.kind)?.verifier_only.clone();
            Some(Child { step, proof, key })
        };
        let children: Option<Vec<Child>> = job.inputs.iter().zip(taken).map(child).collect();
        children.ok_or_else(|| prover(job.kind.circuit(), "an input of another shape".to_owned()))
    }

    fn meter_long(&self) -> &Circuit<LongMeter> {
        self.meter_long.get_or_init(|| Circuit::build(&()))
    }

    fn meter_short(&self) -> &Circuit<ShortMeter> {
        self.meter_short.get_or_init(|| Circuit::build(&()))
    }

    fn wrap_long(&self) -> Result<&Circuit<LongWrap>, ProveError> {
        let build = || Circuit::build(&(self.shape.clone(), self.meter_long().data.verifier_data()));
        is_shipped(self.wrap_long.get_or_init(build), &self.keys.wrap_long)
    }

    fn wrap_short(&self) -> Result<&Circuit<ShortWrap>, ProveError> {
        let build = || Circuit::build(&(self.shape.clone(), self.meter_short().data.verifier_data()));
        is_shipped(self.wrap_short.get_or_init(build), &self.keys.wrap_short)
    }

    fn fold_circuit(&self) -> Result<&Circuit<Fold>, ProveError> {
        is_shipped(self.fold.get_or_init(|| Circuit::build(&self.shape)), &self.keys.fold)
    }

    /// The constant in it is the root of the shipped keys.
    fn threshold(&self) -> Result<&Circuit<Threshold>, ProveError> {
        let trusted = || Trusted { shape: self.shape.clone(), root: self.keys.root };
        is_shipped(self.threshold.get_or_init(|| Circuit::build(&trusted())), shipped(threshold_key())?)
    }

    fn compact(&self) -> Result<&Circuit<Compact>, ProveError> {
        let threshold = self.threshold()?.data.verifier_data();
        let build = || Circuit::build_with(compact_config(), &threshold);
        is_shipped(self.compact.get_or_init(build), shipped(compact_key())?)
    }
}

fn shipped(key: Result<&'static VerifierKey, ProofError>) -> Result<&'static VerifierKey, ProveError> {
    key.map_err(|error| prover("threshold", error.to_string()))
}

fn leaf_of<const SEGMENTS: usize>(
    circuit: &Circuit<Meter<SEGMENTS>>,
    plan: &Plan<'_>,
    leaf: usize,
) -> Result<Proven, ProveError> {
    let leaf = plan.leaf(leaf);
    prove(circuit, &leaf.transition, &leaf.witness(plan.chains()))
}

/// A circuit that this machine built must be the one whose key ships: else its proofs would be refused by everybody.
fn is_shipped<'a, S: Statement>(circuit: &'a Circuit<S>, key: &VerifierKey) -> Result<&'a Circuit<S>, ProveError> {
    match circuit.data.verifier_only == key.verifier_only && circuit.data.common == key.common {
        true => Ok(circuit),
        false => Err(prover(S::ID, "the circuit is not the one whose key ships with this version".to_owned())),
    }
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
    circuit.data.prove(assignment).map_err(|error| prover(S::ID, error.to_string()))
}

fn prover(circuit: &'static str, detail: String) -> ProveError {
    ProveError::Prover { circuit, detail }
}
