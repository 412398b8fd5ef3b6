//! **Duty.** `gemm` as constraints: the public inputs, and which rooms they are handed to. **Spec.** docs/statements/gemm.md,
//! docs/CONSTRAINTS.md.

use plonky2::field::types::Field as _;
use plonky2::iop::target::Target;

use super::entries::{Entry, EntryInputs};
use super::products::Claims;
use super::statement::{ENTRIES, GAMMA_BITS, Gemm, GemmPublic, GemmWitness, SIDE};
use super::strips::{StripTargets, WORDS, tile_leaf};
use super::values::{OUTPUT_UNIT, Prepared, TileValues};
use super::whole::WholeTargets;
use crate::Violation;
use crate::gadgets::{assert_below_power, connect_digest, public_digest, set};
use crate::gates::{OUTPUTS, OutputRule, OutputTargets};
use crate::statement::{Assignment, Builder, CircuitId, Field, FieldLayout as _, Statement};

/// Elements of the policy: its digest, the class, γ.
const POLICY: usize = 7;

#[derive(Debug)]
pub(crate) struct GemmTargets {
    /// Three blocks, place, extents, policy.
    public: Vec<Target>,
    pub(super) strips: [StripTargets; 2],
    /// Name of the tensor of C.
    name: [Target; 5],
    words: Vec<Target>,
    pub(super) outputs: Vec<OutputTargets>,
    pub(super) products: [Vec<Target>; 3],
    pub(super) entries: Vec<EntryInputs>,
    whole: WholeTargets,
}

impl<const K: usize> Statement for Gemm<K> {
    const ID: CircuitId = super::statement::id(K);
    const BLINDED: bool = false;
    type Public = GemmPublic;
    type Witness = GemmWitness;
    type Targets = GemmTargets;
    type Inner = ();

    fn check(public: &GemmPublic, witness: &GemmWitness) -> Result<(), Violation> {
        if public.k != K {
            return Err(Violation::new("shape", format!("dot products of {}, in a circuit for {K}", public.k)));
        }
        witness.check(public)
    }

    fn build(builder: &mut Builder, (): &()) -> GemmTargets {
        // With r < 2¹⁰, (4r − 1)·E < p where U < 2⁴⁸·K and K is at most this (docs/statements/gemm.md).
        const { assert!(K.is_power_of_two() && K >= SIDE && K <= 1024, "the residual would wrap beyond") };
        let blocks = std::array::from_fn(|_| public_digest(builder));
        let rest = builder.add_virtual_targets(4 + POLICY);
        builder.register_public_inputs(&rest);
        let (place, size, gamma) = ([rest[0], rest[1]], [rest[2], rest[3]], rest[3 + POLICY]);
        // policy: γ is bounded; digest and class are bound to the proof, and a reader recomputes them.
        assert_below_power(builder, gamma, GAMMA_BITS);
        // strip-opens, header: A and B by their own rows, K columns each.
        let (left, left_root) = StripTargets::new(builder, K, place[0], size[0]);
        let (right, right_root) = StripTargets::new(builder, K, place[1], size[1]);
        connect_digest(builder, blocks[0], left_root);
        connect_digest(builder, blocks[1], right_root);
        // tile-opens, header: C at A's and B's places, with their rows as its extents.
        let name = builder.add_virtual_target_arr();
        let words = builder.add_virtual_targets(WORDS);
        let leaf = tile_leaf(builder, name, place, size, &words);
        connect_digest(builder, blocks[2], leaf);

        let products = std::array::from_fn(|_| builder.add_virtual_targets(ENTRIES));
        Claims { blocks, gamma, strips: [&left, &right], products: &products }.agree(builder);
        let strips = [left, right];
        let outputs = outputs(builder, &strips, &words);
        let (entries, whole) = judged(builder, &strips, &outputs, &products, gamma);
        let public = blocks.iter().flat_map(|block| block.elements).chain(rest).collect();
        GemmTargets { public, strips, name, words, outputs, products, entries, whole }
    }

    fn assign(
        targets: &GemmTargets,
        public: &GemmPublic,
        witness: &GemmWitness,
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        let prepared = Prepared::tight(witness, K);
        targets.assign(public, witness, (&prepared, &TileValues::of(public, &prepared)), assignment)
    }
}

impl GemmTargets {
    /// Sets all inputs from values, whoever made them.
    pub(super) fn assign(
        &self,
        public: &GemmPublic,
        witness: &GemmWitness,
        (prepared, values): (&Prepared, &TileValues),
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        let claims = self.public.iter().copied().zip(public.to_elements());
        let name = self.name.iter().copied().zip(witness.output.header.name);
        let words = self.words.iter().copied().zip(prepared.output_words.iter().copied());
        let bytes = self.outputs.iter().flat_map(|output| output.bytes).zip(prepared.output_bytes().flatten());
        claims.chain(name).chain(words).chain(bytes).try_for_each(|(target, value)| set(assignment, target, value))?;
        let operands = [&witness.left, &witness.right];
        for (side, strip) in self.strips.iter().enumerate() {
            strip.assign(&operands[side].header, &prepared.strips[side], &values.sums[side], assignment)?;
        }
        for (targets, products) in self.products.iter().zip(&values.products) {
            for (&target, &product) in targets.iter().zip(products) {
                assignment.target_values.insert(target, element(product));
            }
        }
        for (place, (inputs, entry)) in self.entries.iter().zip(&values.entries).enumerate() {
            inputs.assign(entry, element(values.products[2][place]), assignment)?;
        }
        self.whole.assign(&values.whole, assignment)
    }
}

/// A whole number of less than 2⁶³ as an element.
fn element(value: i128) -> Field {
    let magnitude = Field::from_noncanonical_u128(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

/// outputs-decode: the tile's words are the bytes of its outputs, each of which is a number in units of its product.
fn outputs(builder: &mut Builder, strips: &[StripTargets; 2], words: &[Target]) -> Vec<OutputTargets> {
    let unit = builder.constant(Field::from_canonical_u64(OUTPUT_UNIT));
    let mut outputs = Vec::with_capacity(ENTRIES);
    for first in (0..ENTRIES).step_by(OUTPUTS) {
        let bases = std::array::from_fn(|place| {
            let max = both_max(builder, strips, first + place);
            builder.sub(max, unit)
        });
        outputs.extend(OutputRule::add(builder, bases));
    }
    let bytes: Vec<Target> = outputs.iter().flat_map(|output: &OutputTargets| output.bytes).collect();
    for (&word, bytes) in words.iter().zip(bytes.chunks(7)) {
        let packed = bytes
            .iter()
            .rev()
            .copied()
            .reduce(|sum, byte| builder.mul_const_add(Field::from_canonical_u64(1 << 8), sum, byte));
        packed.into_iter().for_each(|packed| builder.connect(packed, word));
    }
    outputs
}

/// Sum of the block exponents of an output's vectors.
fn both_max(builder: &mut Builder, [left, right]: &[StripTargets; 2], entry: usize) -> Target {
    builder.add(left.max[entry / SIDE], right.max[entry % SIDE])
}

/// Every output in its envelope, and the tile as a whole.
fn judged(
    builder: &mut Builder,
    strips: &[StripTargets; 2],
    outputs: &[OutputTargets],
    products: &[Vec<Target>; 3],
    gamma: Target,
) -> (Vec<EntryInputs>, WholeTargets) {
    let mut counts = [builder.zero(); 3];
    let mut entries = Vec::with_capacity(ENTRIES);
    for (place, &output) in outputs.iter().enumerate() {
        let inputs = EntryInputs::new(builder);
        let max = both_max(builder, strips, place);
        let products = std::array::from_fn(|kind| products[kind][place]);
        counts = Entry { products, output, gamma, max }.hold(builder, &inputs, counts);
        entries.push(inputs);
    }
    (entries, WholeTargets::new(builder, counts))
}
