//! **Duty.** Openings, headers, places, padding: a forger who commits to whatever he likes. One breakage per constraint.

use weighbridge_attest_types::{Digest32, Domain};
use weighbridge_commitments::{TileHeader, merkle_root, poseidon, tensor_root};

use plonky2::field::types::{Field as _, PrimeField64 as _};
use weighbridge_attest_types::GOLDILOCKS_ORDER;

use super::*;
use crate::testing::{changed_element, digest};

#[test]
fn blocks_are_those_of_the_committed_tensors() {
    // The same rows inside a whole tensor: its tree joins the strips of two bands.
    let witness = Case::new().witness();
    let below = witness.left.header;
    let mut whole = vec![0u8; witness.left.bytes.len()];
    whole.extend(&witness.left.bytes);
    let described = TensorShape { name: "x", dtype: "BF16", shape: &[32, K as u64] };
    let read = |from: u64, into: &mut [u8]| {
        let from = usize::try_from(from).expect("small");
        into.copy_from_slice(&whole[from..from + into.len()]);
        Ok::<(), ()>(())
    };
    let tensor = tensor_root(described, read).expect("a tensor").expect("readable");
    let size = (16, 16);
    let leaf = |place: (u64, u64), bytes: &[u8]| below.leaf(place, size, bytes);
    let zeros: Vec<_> = (0..4).map(|column| leaf((0, column), &[0; 512])).collect();
    let strips = [tree_over(zeros), public(&witness).blocks[0]];
    let mut joined = vec![3];
    joined.extend(strips.iter().flat_map(|strip| strip.elements()));
    let tiles = poseidon(Domain::TileNode, &joined);
    let mut elements = vec![TileHeader::SCHEME];
    elements.extend(below.name);
    elements.extend([below.dtype, 2, 32, K as u64]);
    elements.extend(tiles.elements());
    assert_eq!(poseidon(Domain::TensorLeaf, &elements), tensor);
}

#[test]
fn breaks_strip_opens_and_tile_opens() {
    let (public, witness) = Case::new().claim();
    for (block, property) in ["left-opens", "right-opens", "output-opens"].into_iter().enumerate() {
        for element in 0..4 {
            let mut other = public.clone();
            other.blocks[block] = changed_element(other.blocks[block], element);
            assert_eq!(agreed(&other, &witness, property), Err(property));
        }
        // Other bytes under the promised digest.
        let mut other = witness.clone();
        [&mut other.left, &mut other.right, &mut other.output][block].bytes[33] ^= 1;
        assert_eq!(agreed(&public, &other, property), Err(property));
    }
}

/// Claims whose commitments a forger has made himself, over the same bytes.
fn committed(change: impl FnOnce(&mut GemmPublic, &GemmWitness)) -> (GemmPublic, GemmWitness) {
    let (mut public, witness) = Case::new().claim();
    change(&mut public, &witness);
    (public, witness)
}

fn leaves(operand: &GemmOperand, header: TileHeader, row: u64, size: (u64, u64)) -> Vec<PoseidonDigest> {
    (0..).zip(operand.tiles(K)).map(|(column, tile)| header.leaf((row, column), size, &tile)).collect()
}

fn refused((public, witness): &(GemmPublic, GemmWitness), what: &str) {
    assert!(Small::check(public, witness).is_err(), "{what}");
    assert!(!claim_holds(small(), public, witness), "{what}");
}

const FULL: (u64, u64) = (16, 16);

type Change = (&'static str, fn(&mut TileHeader));

#[test]
fn breaks_header_by_another_tensor() {
    let changes: [Change; 4] = [
        ("another type", |header| header.dtype = 11),
        ("more rows", |header| header.rows += 1),
        ("more columns", |header| header.cols += 16),
        ("another name", |header| header.name[4] ^= 1),
    ];
    for (what, change) in changes {
        let of_left = committed(|public, witness| {
            let mut header = witness.left.header;
            change(&mut header);
            public.blocks[0] = tree_over(leaves(&witness.left, header, 1, FULL));
        });
        refused(&of_left, what);
        let of_output = committed(|public, witness| {
            let mut header = witness.output.header;
            change(&mut header);
            public.blocks[2] = header.leaf((1, 0), FULL, &witness.output.bytes);
        });
        refused(&of_output, what);
    }
    // Tiles at an edge have fewer rows: their padding is not what is judged.
    for size in [(15, 16), (16, 15), (0, 16)] {
        refused(
            &committed(|public, witness| {
                public.blocks[0] = tree_over(leaves(&witness.left, witness.left.header, 1, size));
            }),
            "an edge of A",
        );
        refused(
            &committed(|public, witness| {
                public.blocks[2] = witness.output.header.leaf((1, 0), size, &witness.output.bytes);
            }),
            "an edge of C",
        );
    }
}

#[test]
fn breaks_header_by_other_coordinates() {
    // The tile of C stands elsewhere than where A's and B's strips meet.
    for place in [(0, 0), (1, 1), (0, 1), (2, 0)] {
        refused(
            &committed(|public, witness| {
                public.blocks[2] = witness.output.header.leaf(place, FULL, &witness.output.bytes);
            }),
            "another place of C",
        );
    }
    // A strip of another band, under the place of this one.
    refused(
        &committed(|public, witness| {
            public.blocks[1] = tree_over(leaves(&witness.right, witness.right.header, 2, FULL));
        }),
        "another band of B",
    );
    // All places and extents in agreement with one another, and not with what is committed.
    for (place, size) in [([0, 0], [32, 48]), ([0, 1], [32, 48]), ([1, 0], [48, 32])] {
        refused(&committed(|public, _| (public.place, public.size) = (place, size)), "public places");
    }
}

#[test]
fn breaks_strip_opens_by_the_order_of_blocks_over_k() {
    // Two tiles of the strip change places in the tree, with their own headers: another order of K than B has.
    for (one, other) in [(0, 1), (0, 3), (1, 2)] {
        refused(
            &committed(|public, witness| {
                let mut leaves = leaves(&witness.left, witness.left.header, 1, FULL);
                leaves.swap(one, other);
                public.blocks[0] = tree_over(leaves);
            }),
            "leaves swapped",
        );
    }
    // Both in agreement: the bytes of two tiles of A swapped, honestly committed. Then C is another product.
    let mut case = Case::new();
    case.a.iter_mut().for_each(|row| row.rotate_left(SIDE));
    assert_eq!(case.agreed("K rotated in A alone"), Err("inside"));
    case.b.iter_mut().for_each(|row| row.rotate_left(SIDE));
    assert_eq!(case.agreed("K rotated in both"), Ok(()));
    // A tree of another form: a level less, or the leaves of a list twice as long.
    refused(
        &committed(|public, witness| {
            let leaves = leaves(&witness.left, witness.left.header, 1, FULL);
            public.blocks[0] = tree_over(leaves[..2].to_vec());
        }),
        "half a strip",
    );
    refused(
        &committed(|public, witness| {
            let leaves = leaves(&witness.left, witness.left.header, 1, FULL);
            public.blocks[0] = merkle_root(Domain::TensorNode, leaves).expect("leaves");
        }),
        "another domain",
    );
}

/// A leaf over any elements, as a forger would hash it.
fn leaf_over(header: TileHeader, place: (u64, u64), words: &[u64]) -> PoseidonDigest {
    let mut elements = vec![TileHeader::SCHEME];
    elements.extend(header.name);
    elements.extend([place.0, place.1, 16, 16, header.dtype, header.rows, header.cols]);
    elements.extend(words);
    poseidon(Domain::TileLeaf, &elements)
}

#[test]
fn breaks_words_decode_by_words_that_are_no_bytes() {
    let honest = Case::new().forged();
    // The forger's leaves are those of the commitments where the words are.
    let of = |forged: &Forged| {
        let words = forged.prepared.strips[0].words.iter();
        tree_over(
            (0..).zip(words).map(|(column, words)| leaf_over(forged.witness.left.header, (1, column), words)).collect(),
        )
    };
    assert_eq!(of(&honest), honest.public.blocks[0]);
    let forged = |place: usize, add: u64| {
        honest.holds_if(|forged| {
            let word = &mut forged.prepared.strips[0].words[0][place];
            *word = (Field::from_noncanonical_u64(*word) + Field::from_noncanonical_u64(add)).to_canonical_u64();
            forged.public.blocks[0] = of(forged);
        })
    };
    assert!(forged(0, 0));
    for place in [0, 1, 72] {
        // A bit above the seventh byte; an entry less, carried over from the next; −1.
        for add in [1 << 56, 1 << 63, GOLDILOCKS_ORDER - (1 << 56), GOLDILOCKS_ORDER - 1] {
            assert!(!forged(place, add), "word {place} + {add}");
        }
    }
    // Padding behind the last byte of a tile.
    for add in [1 << 8, 1 << 16, 1 << 55, GOLDILOCKS_ORDER - (1 << 8)] {
        assert!(!forged(73, add), "padding {add}");
    }
    // The same of C.
    for (place, add) in [(0, 1u64 << 56), (73, 1 << 8), (73, 1 << 40)] {
        assert!(!honest.holds_if(|forged| {
            forged.prepared.output_words[place] += add;
            forged.public.blocks[2] = leaf_over(forged.witness.output.header, (1, 0), &forged.prepared.output_words);
        }));
    }
}

#[test]
fn breaks_policy_by_another_gamma() {
    let (public, witness) = Case::new().claim();
    // Under a wider envelope more is accepted, and it stands in the public inputs.
    let elements = |public: &GemmPublic| crate::statement::FieldLayout::to_elements(public);
    let of = |lambda, kappa| {
        let model = weighbridge_audit::ErrorModel::Probabilistic { lambda };
        GemmPublic { operation: public.operation.with_model(model, kappa).expect("in range"), ..public.clone() }
    };
    assert_eq!(agreed(&of(6, 5), &witness, "another policy"), Ok(()));
    assert_ne!(elements(&of(6, 5)), elements(&public));
    // Beyond what the circuit has room for.
    assert_eq!(agreed(&of(64, 64), &witness, "too wide"), Err("policy"));
    let formats = OperationPolicy::of(Format::Bf16, Format::F32);
    let other = GemmPublic { operation: formats, ..public.clone() };
    assert_eq!(Small::check(&other, &witness).map_err(|violation| violation.property), Err("policy"));
    // The policy's digest and the class are bound to the proof.
    for other in [
        GemmPublic { policy: Digest32([9; 32]), ..public.clone() },
        GemmPublic { class: OperationClass::WGRAD, ..public.clone() },
    ] {
        assert_ne!(elements(&other), elements(&public));
    }
    assert_ne!(digest(1), public.blocks[0]);
}
