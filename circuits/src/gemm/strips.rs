//! **Duty.** A strip as constraints: sixteen whole rows of a tensor open to the root of their tiles, every entry is decoded
//! under its row's block exponent, and every block exponent is the tight one. **Knows** one operand. **Does not know**
//! products. **Spec.** docs/statements/gemm.md (Strips).

use plonky2::field::types::Field as _;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use weighbridge_attest_types::Domain;
use weighbridge_commitments::TileHeader;

use super::statement::{BF16, ENTRIES, SIDE};
use super::values::{MOST, PreparedStrip};
use crate::Violation;
use crate::gadgets::{assert_below_power, set, tagged_hash};
use crate::gates::{EntryTargets, WordRule};
use crate::statement::{Assignment, Builder, Field};

/// Packed words of a tile: 512 bytes, 7 to a word.
pub(super) const WORDS: usize = 74;
/// Entries that a list can be asked for at once: 64 of them.
const CHUNK_BITS: usize = 6;
/// Bits of a block exponent.
const MAX_BITS: usize = 8;
/// The bit that the largest magnitude of a vector reaches; none reaches the next one.
const TOP_BIT: usize = 23;

/// A strip's inputs and its entries.
#[derive(Debug)]
pub(super) struct StripTargets {
    pub(super) name: [Target; 5],
    pub(super) words: Vec<Vec<Target>>,
    pub(super) max: [Target; SIDE],
    /// Where the top bit is reached: place in a chunk, and chunk.
    pub(super) top: [[Target; 2]; SIDE],
    pub(super) quiet: [BoolTarget; SIDE],
    /// Claimed sums of the upper ends of each vector.
    pub(super) sums: [Target; SIDE],
    pub(super) entries: Entries,
}

/// Signed, magnitude and upper end of every position, all sixteen vectors at once.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) kinds: [Vec<[Target; SIDE]>; 3],
    /// Inner wires, for tests that forge them: tile by tile.
    #[cfg(test)]
    pub(super) inner: Vec<Vec<EntryTargets>>,
}

impl StripTargets {
    /// The strip at a row of tiles of a tensor with so many rows, and the root of its tiles.
    pub(super) fn new(builder: &mut Builder, k: usize, place: Target, rows: Target) -> (Self, HashOutTarget) {
        let name = builder.add_virtual_target_arr();
        let tiles = k / SIDE;
        let words: Vec<Vec<Target>> = (0..tiles).map(|_| builder.add_virtual_targets(WORDS)).collect();
        let max = builder.add_virtual_target_arr();
        let mut leaves = Vec::with_capacity(tiles);
        let mut decoded = Vec::with_capacity(tiles);
        for (column, words) in words.iter().enumerate() {
            let column = builder.constant(Field::from_canonical_usize(column));
            let cols = builder.constant(Field::from_canonical_usize(k));
            leaves.push(tile_leaf(builder, name, [place, column], [rows, cols], words));
            decoded.push(tile_entries(builder, &max, words));
        }
        let root = tree_of(builder, leaves);
        let entries = Entries::of(&decoded);
        let strip = Self {
            name,
            words,
            max,
            top: std::array::from_fn(|_| builder.add_virtual_target_arr()),
            quiet: std::array::from_fn(|_| builder.add_virtual_bool_target_safe()),
            sums: builder.add_virtual_target_arr(),
            entries,
        };
        (0..SIDE).for_each(|vector| strip.exponent_is_tight(builder, vector));
        (strip, root)
    }

    /// block-exponent: no more than a finite number has, and an entry reaches the top bit, unless all are zero: then the sum
    /// of their upper ends is (its being the sum is `sums-agree`).
    fn exponent_is_tight(&self, builder: &mut Builder, vector: usize) {
        let max = self.max[vector];
        assert_below_power(builder, max, MAX_BITS);
        let most = builder.constant(Field::from_canonical_u64(MOST));
        let room = builder.sub(most, max);
        assert_below_power(builder, room, MAX_BITS);
        let quiet = self.quiet[vector].target;
        let none = builder.mul(quiet, self.sums[vector]);
        builder.assert_zero(none);

        let magnitudes: Vec<Target> = self.entries.kinds[1].iter().map(|position| position[vector]).collect();
        let [in_chunk, chunk] = self.top[vector];
        let chunks = magnitudes.chunks(1 << CHUNK_BITS);
        let candidates: Vec<Target> = chunks.map(|chunk| builder.random_access(in_chunk, chunk.to_vec())).collect();
        let reached = builder.random_access(chunk, candidates);
        let top = builder.constant(Field::from_canonical_u64(1 << TOP_BIT));
        let above = builder.sub(reached, top);
        let skipped = builder.mul(quiet, above);
        let above = builder.sub(above, skipped);
        assert_below_power(builder, above, TOP_BIT);
    }

    pub(super) fn assign(
        &self,
        header: &TileHeader,
        strip: &PreparedStrip,
        sums: &[u64; SIDE],
        assignment: &mut Assignment,
    ) -> Result<(), Violation> {
        let name = self.name.iter().zip(&header.name);
        let words = self.words.iter().flatten().zip(strip.words.iter().flatten());
        let max = self.max.iter().zip(&strip.max);
        let sums = self.sums.iter().zip(sums);
        let all = name.chain(words).chain(max).chain(sums);
        all.into_iter().try_for_each(|(&target, &value)| set(assignment, target, value))?;
        for (vector, [in_chunk, chunk]) in self.top.iter().enumerate() {
            let place = strip.top[vector] as u64;
            set(assignment, *in_chunk, place % (1 << CHUNK_BITS))?;
            set(assignment, *chunk, place >> CHUNK_BITS)?;
            set(assignment, self.quiet[vector].target, u64::from(strip.is_quiet[vector]))?;
        }
        Ok(())
    }
}

impl Entries {
    fn of(tiles: &[Vec<EntryTargets>]) -> Self {
        let position = |tile: &[EntryTargets], column: usize, kind: usize| {
            std::array::from_fn(|vector| {
                let entry = tile[SIDE * vector + column];
                [entry.signed, entry.magnitude, entry.upper][kind]
            })
        };
        let kinds = std::array::from_fn(|kind| {
            tiles.iter().flat_map(|tile| (0..SIDE).map(move |column| position(tile, column, kind))).collect()
        });
        Self {
            kinds,
            #[cfg(test)]
            inner: tiles.to_vec(),
        }
    }
}

/// tile-leaf: the leaf of a full bf16 tile, as the commitments hash it.
pub(super) fn tile_leaf(
    builder: &mut Builder,
    name: [Target; 5],
    place: [Target; 2],
    extents: [Target; 2],
    words: &[Target],
) -> HashOutTarget {
    let constant = |builder: &mut Builder, value: u64| builder.constant(Field::from_canonical_u64(value));
    let mut elements = vec![constant(builder, TileHeader::SCHEME)];
    elements.extend(name);
    elements.extend(place);
    elements.extend([SIDE as u64, SIDE as u64, BF16].map(|value| constant(builder, value)));
    elements.extend(extents);
    elements.extend(words);
    tagged_hash(builder, Domain::TileLeaf, &elements)
}

/// words-decode: the 256 entries of a tile, each under its row's block exponent.
fn tile_entries(builder: &mut Builder, max: &[Target; SIDE], words: &[Target]) -> Vec<EntryTargets> {
    let mut entries: Vec<EntryTargets> = Vec::with_capacity(ENTRIES);
    let mut low = None;
    for (place, &word) in words.iter().enumerate() {
        let rule = match place {
            _ if place + 1 == WORDS => WordRule::Last,
            _ if place % 2 == 0 => WordRule::Even,
            _ => WordRule::Odd,
        };
        let next = entries.len();
        let vectors: Vec<Target> = (next..next + rule.entries()).map(|entry| max[entry / SIDE]).collect();
        let (decoded, byte) = rule.add(builder, word, low, &vectors);
        entries.extend(decoded);
        low = matches!(rule, WordRule::Even).then_some(byte);
    }
    assert_eq!(entries.len(), ENTRIES, "a tile's words hold its entries");
    entries
}

/// strip-opens: the tree over a power of two of tiles, each level hashed in.
fn tree_of(builder: &mut Builder, leaves: Vec<HashOutTarget>) -> HashOutTarget {
    let (mut level, mut nodes) = (0u64, leaves);
    while nodes.len() > 1 {
        level += 1;
        let join = |pair: &[HashOutTarget]| {
            let mut elements = vec![builder.constant(Field::from_canonical_u64(level))];
            elements.extend(pair.iter().flat_map(|node| node.elements));
            tagged_hash(builder, Domain::TileNode, &elements)
        };
        nodes = nodes.chunks(2).map(join).collect();
    }
    nodes[0]
}
