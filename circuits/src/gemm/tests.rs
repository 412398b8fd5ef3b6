//! Agreement of `check` and circuit, and breakages of every constraint (docs/CONSTRAINTS.md).

mod agreement;
mod breaks;
mod commitments;
mod judgement;
mod sizes;

use std::sync::OnceLock;

use weighbridge_attest_types::PoseidonDigest;
use weighbridge_audit::{Format, NumericPolicy, OperationClass, OperationPolicy};
use weighbridge_commitments::TensorShape;

use super::statement::{Gemm, GemmOperand, GemmPublic, GemmWitness, SIDE};
use super::values::{Prepared, TileValues};
use crate::statement::{Assignment, Circuit, Field, Statement};
use crate::testing::tile::{Numbers, bf16, stored};
use crate::testing::{claim_holds, satisfied};
use plonky2::iop::witness::PartitionWitness;

/// Four tiles long: 2¹² rows.
const K: usize = 64;
type Small = Gemm<K>;

fn small() -> &'static Circuit<Small> {
    static CIRCUIT: OnceLock<Circuit<Small>> = OnceLock::new();
    CIRCUIT.get_or_init(|| Circuit::build(&()))
}

/// Rows of A, rows of B, and the tile of C, as bf16 values.
#[derive(Debug, Clone)]
struct Case {
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
    c: Vec<Vec<f32>>,
}

impl Case {
    fn seeded(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let mut strip =
            || -> Vec<Vec<f32>> { (0..SIDE).map(|_| (0..K).map(|_| bf16(numbers.normal())).collect()).collect() };
        Self { a: strip(), b: strip(), c: Vec::new() }.computed()
    }

    fn new() -> Self {
        Self::seeded(7)
    }

    /// With the output that the operands have.
    fn computed(mut self) -> Self {
        let dot = |a: &[f32], b: &[f32]| bf16(a.iter().zip(b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum)));
        self.c = self.a.iter().map(|a| self.b.iter().map(|b| dot(a, b)).collect()).collect();
        self
    }

    fn with_outputs(&self, change: impl Fn(f32) -> f32) -> Self {
        let mut forged = self.clone();
        forged.c.iter_mut().flatten().for_each(|c| *c = bf16(change(*c)));
        forged
    }

    fn zeros(&self) -> Self {
        self.with_outputs(|_| 0.0)
    }

    /// The second band of A, the first of B.
    fn witness(&self) -> GemmWitness {
        let operand = |name, shape: [u64; 2], values: &[Vec<f32>]| {
            GemmOperand::new(TensorShape { name, dtype: "BF16", shape: &shape }, stored(values)).expect("a tensor")
        };
        let k = K as u64;
        GemmWitness {
            left: operand("x", [32, k], &self.a),
            right: operand("w", [48, k], &self.b),
            output: operand("y", [32, 48], &self.c),
            place: [1, 0],
        }
    }

    fn claim(&self) -> (GemmPublic, GemmWitness) {
        let witness = self.witness();
        (public(&witness), witness)
    }

    /// What `check` says, after it was compared with the circuit.
    fn agreed(&self, what: &str) -> Result<(), &'static str> {
        let (public, witness) = self.claim();
        agreed(&public, &witness, what)
    }

    fn forged(&self) -> Forged {
        let (public, witness) = self.claim();
        let prepared = Prepared::tight(&witness, K);
        let values = TileValues::of(&public, &prepared);
        Forged { public, witness, prepared, values }
    }
}

fn policy() -> NumericPolicy {
    NumericPolicy::uniform(OperationPolicy::of(Format::Bf16, Format::Bf16))
}

fn public(witness: &GemmWitness) -> GemmPublic {
    GemmPublic::of(witness, &policy(), OperationClass::FORWARD).expect("blocks of its shape")
}

/// Native meaning and circuit say the same.
fn agreed(public: &GemmPublic, witness: &GemmWitness, what: &str) -> Result<(), &'static str> {
    let native = Small::check(public, witness).map_err(|violation| violation.property);
    assert_eq!(native.is_ok(), claim_holds(small(), public, witness), "{what}: {native:?}");
    native
}

/// All that a prover claims, to be changed.
#[derive(Debug, Clone)]
struct Forged {
    public: GemmPublic,
    witness: GemmWitness,
    prepared: Prepared,
    values: TileValues,
}

impl Forged {
    /// The same with the values that follow from other block exponents.
    fn with_exponents(mut self, change: impl FnOnce(&mut [[u64; SIDE]; 2])) -> Self {
        let mut max = [self.prepared.strips[0].max, self.prepared.strips[1].max];
        change(&mut max);
        let [left, right] = max;
        self.prepared = Prepared::claimed(&self.witness, K, [Some(left), Some(right)]);
        self.values = TileValues::of(&self.public, &self.prepared);
        self
    }

    /// The same with the figures that follow from other products.
    fn with_products(mut self, change: impl FnOnce(&mut [Vec<i128>; 3])) -> Self {
        let mut products = self.values.products.clone();
        change(&mut products);
        self.values = TileValues::with_products(&self.public, &self.prepared, products);
        self
    }

    fn assignment(&self) -> Assignment {
        let mut assignment = Assignment::new();
        let values = (&self.prepared, &self.values);
        small().targets.assign(&self.public, &self.witness, values, &mut assignment).expect("inputs can be set");
        assignment
    }

    fn holds(&self) -> bool {
        self.holds_with(|_| ())
    }

    /// With wires overwritten after the generators.
    fn holds_with(&self, tamper: impl FnOnce(&mut PartitionWitness<'_, Field>)) -> bool {
        satisfied(&small().data, self.assignment(), tamper)
    }

    /// With a change of the claims.
    fn holds_if(&self, change: impl FnOnce(&mut Self)) -> bool {
        let mut changed = self.clone();
        change(&mut changed);
        changed.holds()
    }
}

/// A digest that the forger commits to.
fn tree_over(leaves: Vec<PoseidonDigest>) -> PoseidonDigest {
    weighbridge_commitments::merkle_root(weighbridge_attest_types::Domain::TileNode, leaves).expect("leaves")
}
