//! **Duty.** A small run in small leaves, wrapped and folded once for all tests: leaf 1 is a chain of three intervals
//! and the beginning of a second one, leaf 2 its end and a third one.

use std::sync::OnceLock;

use weighbridge_attest_types::{Digest32, PoseidonDigest};

use super::{digest, rows};
use crate::aggregation::{Child, Fold, FoldWitness, KeySet, Shape, Step, Wrap, key_elements};
use crate::meter::{Meter, MeterWitness, Segment, Transition};
use crate::proving::prove;
use crate::state::State;
use crate::statement::{Circuit, Proven, Statement};

/// The leaf of these tests,
pub(crate) type SmallMeter = Meter<3, 4>;
/// and its wrap.
pub(crate) type SmallWrap = Wrap<3, 4>;

pub(crate) const GENESIS: Digest32 = Digest32([5; 32]);

/// Circuits and proofs.
pub(crate) struct Tree {
    pub(crate) shape: Shape,
    pub(crate) meter: Circuit<SmallMeter>,
    pub(crate) wrap: Circuit<SmallWrap>,
    pub(crate) fold: Circuit<Fold>,
    pub(crate) keys: KeySet,
    pub(crate) leaves: [Leaf; 2],
    /// The wraps of both leaves.
    pub(crate) wraps: [Child; 2],
    /// Both folded: the whole run.
    pub(crate) whole: Child,
    /// The run's last state.
    pub(crate) end: State,
}

/// A leaf's proof.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) transition: Transition,
    pub(crate) proof: Proven,
}

/// The run as two leaves.
pub(crate) fn witnesses(genesis: Digest32) -> [MeterWitness; 2] {
    let rows = rows(9);
    let segment = |begins: Option<u64>, rows: &[crate::meter::MeterRow], ends| Segment {
        begins: begins.map(digest),
        rows: rows.to_vec(),
        ends,
    };
    let first = MeterWitness {
        from: State::initial(genesis),
        segments: vec![segment(Some(1), &rows[..3], true), segment(Some(2), &rows[3..7], false)],
    };
    let from = first.to().expect("honest");
    let segments = vec![segment(None, &rows[7..8], true), segment(Some(3), &rows[8..], true)];
    [first, MeterWitness { from, segments }]
}

impl Tree {
    pub(crate) fn get() -> &'static Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(Self::grow)
    }

    fn grow() -> Self {
        let shape = Shape::new();
        let meter = Circuit::<SmallMeter>::build(&());
        let wrap = Circuit::<SmallWrap>::build(&(shape.clone(), meter.data.verifier_data()));
        let fold = Circuit::<Fold>::build(&shape);
        let elements = [key_elements(&wrap.data.verifier_only), key_elements(&fold.data.verifier_only)];
        let keys = KeySet::of(elements.iter().map(Vec::as_slice));
        let witnesses = witnesses(GENESIS);
        let end = witnesses[1].to().expect("honest");
        let leaves = witnesses.map(|witness| leaf(&meter, &witness));
        let wraps = leaves.each_ref().map(|leaf| wrapped(&wrap, leaf, keys.root()));
        let step = wraps[0].step.then(wraps[1].step).expect("they meet");
        let witness = FoldWitness { children: wraps.clone(), keys: keys.clone() };
        let proof = prove(&fold, &step, &witness).expect("a true statement");
        let whole = Child { step, proof, key: fold.data.verifier_only.clone() };
        Self { shape, meter, wrap, fold, keys, leaves, wraps, whole, end }
    }

    /// Two children with the keys of this tree.
    pub(crate) fn pair(&self, first: &Child, second: &Child) -> FoldWitness {
        FoldWitness { children: [first.clone(), second.clone()], keys: self.keys.clone() }
    }
}

pub(crate) fn leaf<S>(circuit: &Circuit<S>, witness: &MeterWitness) -> Leaf
where
    S: Statement<Public = Transition, Witness = MeterWitness>,
{
    let transition = witness.transition().expect("honest");
    Leaf { transition, proof: prove(circuit, &transition, witness).expect("a true statement") }
}

pub(crate) fn wrapped(wrap: &Circuit<SmallWrap>, leaf: &Leaf, keys: PoseidonDigest) -> Child {
    let step = Step { transition: leaf.transition, keys };
    let proof = prove(wrap, &step, &leaf.proof).expect("a true statement");
    Child { step, proof, key: wrap.data.verifier_only.clone() }
}
