//! A tree adds up and opens, and a forger's tree does not.

use proptest::prelude::*;
use weighbridge_attest_types::{Digest32, Domain, Flops, GOLDILOCKS_ORDER, Gflop, PoseidonDigest};
use weighbridge_commitments::poseidon;

use super::*;
use crate::gemm::OperationClass;
use crate::key::Key;

fn key(operation: u32, tile: (u32, u32)) -> Key {
    Key::new((1, 7), (3, 0, operation), tile).unwrap()
}

fn record(operation: u32, kind: TileKind, rows: u64, cols: u64) -> OperationRecord {
    let root = |first| PoseidonDigest::from_elements([first, 2, 3, 4]).unwrap();
    OperationRecord {
        key: key(operation, (0, 0)),
        kind,
        rows,
        cols,
        side: 16,
        transposed: [false, true],
        roots: [root(1), root(2), root(3)],
        form: Digest32([8; 32]),
        salt: [9; 28],
    }
}

fn product(operation: u32, rows: u64, k: u64, cols: u64) -> OperationRecord {
    record(operation, TileKind::Product { class: OperationClass::FORWARD, k, bias: false }, rows, cols)
}

/// `count` leaves of ascending weight: 2 · 1 · 1 · k FLOP each.
fn leaves(count: u32) -> Vec<Node> {
    (0..count).map(|i| product(i, 1, u64::from(i % 100) + 1, 1).leaf((0, 0)).unwrap()).collect()
}

fn streamed(leaves: &[Node]) -> Result<Node, TreeError> {
    let mut tree = TreeBuilder::new();
    leaves.iter().try_for_each(|leaf| tree.push(*leaf))?;
    tree.finish()
}

/// Joins without any rule: what a forger computes.
fn lawless(level: u8, left: &Node, right: &Node, sums: Sums, (min, max): (Key, Key)) -> Node {
    let elements: Vec<u64> = [u64::from(level)].into_iter().chain(left.elements()).chain(right.elements()).collect();
    Node { digest: poseidon(Domain::FlopNode, &elements), sums, min, max }
}

#[test]
fn streaming_and_whole_trees_have_one_root_and_every_leaf_opens() {
    for count in (1..=70).chain([127, 128, 129, 1000]) {
        let leaves = leaves(count);
        let tree = FlopTree::new(leaves.clone()).unwrap();
        let root = *tree.root();
        assert_eq!(streamed(&leaves), Ok(root), "{count} leaves");
        let total: u128 = leaves.iter().map(|leaf| leaf.sums.flops().0).sum();
        assert_eq!(root.sums.flops(), Flops(total));
        let mut before = 0;
        for (index, leaf) in leaves.iter().enumerate() {
            let opened = tree.path(index).unwrap().open(*leaf, &root).unwrap();
            let weight = leaf.sums.flops().0;
            for (point, here) in [(before, true), (before + weight - 1, true), (before + weight, false)] {
                assert_eq!(opened.holds(point, Weight::Flop), here);
                assert_eq!(tree.find(point, Weight::Flop) == Some(index), here);
            }
            assert!(before == 0 || !opened.holds(before - 1, Weight::Flop));
            assert_eq!(opened.within(before + 1, Weight::Flop), (weight > 1).then_some(1));
            before += weight;
        }
        assert_eq!(tree.find(total, Weight::Flop), None);
        assert_eq!(tree.path(leaves.len()), None);
    }
    assert_eq!(streamed(&[]), Err(TreeError::Empty));
    assert!(matches!(FlopTree::new(Vec::new()), Err(TreeError::Empty)));
}

#[test]
fn weights_of_tiles_are_recomputed_and_clipped_at_the_edges() {
    let record = product(0, 35, 1000, 33);
    let leaves: Vec<Node> = record.leaves().unwrap().map(Result::unwrap).collect();
    assert_eq!(leaves.len(), 9);
    let total: u128 = leaves.iter().map(|leaf| leaf.sums.flops().0).sum();
    assert_eq!(total, 2 * 35 * 1000 * 33);
    assert_eq!(record.clipped((0, 0)), Ok((16, 16)));
    assert_eq!(record.clipped((2, 2)), Ok((3, 1)));
    assert_eq!(leaves[8].sums.flops(), Flops(2 * 3 * 1000));
    assert_eq!(record.leaf((1, 2)).unwrap(), leaves[5]);
    for (row, col) in [(3, 0), (0, 3), (u32::MAX, 0)] {
        assert_eq!(record.leaf((row, col)), Err(RecordError::NoTile { row, col }));
    }
}

#[test]
fn links_weigh_in_sums_of_their_own() {
    let link = record(2, TileKind::Link, 20, 20);
    let leaves: Vec<Node> = [product(1, 20, 8, 20), link]
        .iter()
        .flat_map(|r| r.leaves().unwrap().map(Result::unwrap).collect::<Vec<_>>())
        .collect();
    let tree = FlopTree::new(leaves).unwrap();
    assert_eq!((tree.root().sums.flops(), tree.root().sums.links()), (Flops(2 * 20 * 8 * 20), 400));
    // The last entry of the links is in the last tile, and no point of FLOP is in any of them.
    assert_eq!(tree.find(399, Weight::Link), Some(7));
    assert_eq!(tree.find(6399, Weight::Flop), Some(3));
    assert_eq!(tree.find(0, Weight::Link), Some(4));
}

#[test]
fn shapes_that_no_check_can_judge_make_no_leaf() {
    let refused = |change: fn(&mut OperationRecord)| {
        let mut changed = product(0, 16, 16, 16);
        change(&mut changed);
        (changed.leaf((0, 0)).unwrap_err(), changed.leaves().map(|_| ()).unwrap_err())
    };
    let dimension = |what, found, least, most| {
        let error = RecordError::Dimension { what, found, least, most };
        (error, error)
    };
    assert_eq!(refused(|r| r.side = 0), dimension("side", 0, 1, 64));
    assert_eq!(refused(|r| r.side = 65), dimension("side", 65, 1, 64));
    assert_eq!(refused(|r| r.rows = 0), dimension("rows", 0, 1, 1 << 28));
    assert_eq!(refused(|r| r.cols = u64::MAX), dimension("columns", u64::MAX, 1, 1 << 28));
    let long = |r: &mut OperationRecord| {
        r.kind = TileKind::Product { class: OperationClass::WGRAD, k: 16_385, bias: false };
    };
    assert_eq!(refused(long), dimension("K", 16_385, 1, 16_384));
    assert_eq!(refused(|r| r.key = r.key.with_tile((0, 1)).unwrap()), (RecordError::Key, RecordError::Key));
}

#[test]
fn everything_in_a_record_is_in_its_digest() {
    let honest = product(0, 16, 16, 16);
    let changes: [fn(&mut OperationRecord); 14] = [
        |r| r.key = Key::new((1, 8), (3, 0, 0), (0, 0)).unwrap(),
        |r| r.kind = TileKind::Product { class: OperationClass::DGRAD, k: 16, bias: false },
        |r| r.kind = TileKind::Product { class: OperationClass::FORWARD, k: 17, bias: false },
        |r| r.kind = TileKind::Product { class: OperationClass::FORWARD, k: 16, bias: true },
        |r| r.kind = TileKind::Link,
        |r| r.rows = 17,
        |r| r.cols = 17,
        |r| r.side = 8,
        |r| r.transposed = [true, true],
        |r| r.transposed = [false, false],
        |r| r.roots.swap(0, 1),
        |r| r.roots.swap(1, 2),
        |r| r.form.0[31] = 0,
        |r| r.salt[27] = 0,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut changed = honest.clone();
        change(&mut changed);
        assert_ne!(changed.digest(), honest.digest(), "change {number}");
    }
}

/// The weight comes from the record: who commits to another one has no path.
#[test]
fn a_free_weight_has_no_path() {
    let honest = leaves(8);
    let mut inflated = honest.clone();
    inflated[5].sums = Sums::of(Flops(1_000_000_000_000), 0).unwrap();
    let tree = FlopTree::new(inflated).unwrap();
    assert_eq!(tree.path(5).unwrap().open(honest[5], tree.root()), Err(PathError::Root));
    // The neighbour of the inflated leaf opens, but the draw falls on the leaf that does not.
    assert!(tree.path(4).unwrap().open(honest[4], tree.root()).is_ok());
    assert_eq!(tree.find(500_000_000_000, Weight::Flop), Some(5));
}

/// left.min ≤ left.max ≤ right.min ≤ right.max would let 64 copies of one leaf pass.
#[test]
fn sixty_four_copies_of_a_leaf_are_no_tree() {
    let leaf = leaves(1)[0];
    let copies = vec![leaf; 64];
    assert!(matches!(streamed(&copies), Err(TreeError::Join { index: 1, source: PathError::KeyOrder { .. } })));
    assert!(matches!(FlopTree::new(copies), Err(TreeError::Join { index: 1, .. })));
    let mut node = leaf;
    let mut path = Path::default();
    for level in 1..=6 {
        path.steps.push(Step { level, side: Side::Right, neighbour: node });
        let sums = node.sums.checked_add(node.sums).unwrap();
        node = lawless(level, &node, &node, sums, (leaf.min, leaf.max));
    }
    assert_eq!(path.open(leaf, &node), Err(PathError::KeyOrder { level: 1 }));
}

#[test]
fn a_neighbour_turned_inside_out_is_refused_unopened() {
    let leaves = leaves(4);
    let tree = FlopTree::new(leaves.clone()).unwrap();
    let honest = tree.path(0).unwrap();
    let right = honest.steps[1].neighbour;
    // min > max in a subtree that nobody opens: it could hold anything.
    let turned = Node { min: right.max, max: right.min, ..right };
    let below = honest.steps[0];
    let left = Node::join(1, &leaves[0], &below.neighbour).unwrap();
    let sums = left.sums.checked_add(turned.sums).unwrap();
    let root = lawless(2, &left, &turned, sums, (left.min, turned.max));
    let path = Path { steps: vec![below, Step { level: 2, side: Side::Right, neighbour: turned }] };
    assert_eq!(path.open(leaves[0], &root), Err(PathError::KeyOrder { level: 2 }));
    // The same on the left side: inside out, and too wide.
    let turned = Node { min: left.max, max: left.min, ..left };
    let right = Node::join(1, &leaves[2], &leaves[3]).unwrap();
    let sums = turned.sums.checked_add(right.sums).unwrap();
    let root = lawless(2, &turned, &right, sums, (turned.min, right.max));
    let below = tree.path(2).unwrap().steps[0];
    let path = Path { steps: vec![below, Step { level: 2, side: Side::Left, neighbour: turned }] };
    assert_eq!(path.open(leaves[2], &root), Err(PathError::KeyOrder { level: 2 }));
    let left = honest.steps[0].neighbour;
    let wide = Node { max: leaves[3].max, ..left };
    let path = Path { steps: vec![Step { level: 1, side: Side::Left, neighbour: wide }] };
    assert_eq!(path.open(leaves[2], &root), Err(PathError::KeyOrder { level: 1 }));
}

#[test]
fn negative_and_wrapping_sums_do_not_exist() {
    assert_eq!(Sums::new(GOLDILOCKS_ORDER - 5, 0, 0), Err(SumsError::Gflop(GOLDILOCKS_ORDER - 5)));
    assert_eq!(Sums::new(0, 1_000_000_000, 0), Err(SumsError::Rest(1_000_000_000)));
    assert_eq!(Sums::new(0, GOLDILOCKS_ORDER - 1, 0), Err(SumsError::Rest(GOLDILOCKS_ORDER - 1)));
    assert_eq!(Sums::new(0, 0, MAX_SUM), Err(SumsError::Links(MAX_SUM)));
    let most = Sums::new(MAX_SUM - 1, 999_999_999, MAX_SUM - 1).unwrap();
    assert_eq!(most.checked_add(Sums::new(0, 1, 0).unwrap()), Err(SumsError::Gflop(MAX_SUM)));
    assert_eq!(most.checked_add(Sums::new(0, 0, 1).unwrap()), Err(SumsError::Links(MAX_SUM)));

    // Such a sum in a neighbour is an error of the path, not a smaller total.
    let leaves = leaves(2);
    let full = Node { sums: most, ..leaves[1] };
    let path = Path { steps: vec![Step { level: 1, side: Side::Right, neighbour: full }] };
    let source = SumsError::Gflop(MAX_SUM);
    assert_eq!(path.open(leaves[0], &leaves[0]), Err(PathError::Sums { level: 1, source }));
}

#[test]
fn a_path_binds_sides_levels_keys_and_sums_of_the_root() {
    let leaves = leaves(7);
    let tree = FlopTree::new(leaves.clone()).unwrap();
    let (path, root) = (tree.path(2).unwrap(), *tree.root());
    assert!(path.open(leaves[2], &root).is_ok());
    // The last leaf of seven is carried up once, the last of five twice.
    let joined =
        |tree: &FlopTree, leaf| tree.path(leaf).unwrap().steps.iter().map(|step| step.level).collect::<Vec<_>>();
    assert_eq!(joined(&tree, 6), [2, 3]);
    assert_eq!(joined(&FlopTree::new(leaves[..5].to_vec()).unwrap(), 4), [3]);

    let changed = |change: fn(&mut Path)| {
        let mut changed = path.clone();
        change(&mut changed);
        changed.open(leaves[2], &root).unwrap_err()
    };
    assert_eq!(changed(|path| path.steps[0].side = Side::Left), PathError::KeyOrder { level: 1 });
    assert_eq!(changed(|path| path.steps[2].level = 4), PathError::Root);
    assert_eq!(changed(|path| path.steps[1].level = 1), PathError::Level { level: 1, below: 1 });
    assert_eq!(changed(|path| path.steps[0].level = 0), PathError::Level { level: 0, below: 0 });
    assert_eq!(changed(|path| path.steps.truncate(2)), PathError::Root);
    assert_eq!(changed(|path| path.steps = vec![path.steps[0]; 65]), PathError::TooLong { found: 65 });
    assert_eq!(path.open(leaves[3], &root), Err(PathError::KeyOrder { level: 1 }));
    let two_keys = Node { max: leaves[3].max, ..leaves[2] };
    assert_eq!(path.open(two_keys, &root), Err(PathError::LeafKeys));

    // A root that claims more, or other keys, under the same digest.
    let more = root.sums.checked_add(Sums::new(1, 0, 0).unwrap()).unwrap();
    for root in
        [Node { sums: more, ..root }, Node { min: leaves[1].min, ..root }, Node { max: key(99, (0, 0)), ..root }]
    {
        assert_eq!(path.open(leaves[2], &root), Err(PathError::Root));
    }
}

#[test]
fn leaves_out_of_order_are_named() {
    let mut swapped = leaves(6);
    swapped.swap(3, 4);
    assert!(matches!(streamed(&swapped), Err(TreeError::Join { index: 4, source: PathError::KeyOrder { .. } })));
    assert!(FlopTree::new(swapped).is_err());
    let mut wide = leaves(3);
    wide[1].max = key(50, (0, 0));
    assert_eq!(streamed(&wide), Err(TreeError::LeafKeys { index: 1 }));
    assert!(matches!(FlopTree::new(wide), Err(TreeError::LeafKeys { index: 1 })));
}

fn unit(step: u64, sums: Sums, trace: Option<PoseidonDigest>) -> UnitRecord {
    let key = Key::new((1, step), (3, 0, 0), (0, 0)).unwrap();
    UnitRecord { key, sums, start: Digest32([1; 32]), end: Digest32([2; 32]), trace, salt: [0; 28] }
}

#[test]
fn a_unit_is_a_leaf_and_its_trace_is_its_own() {
    let tiles = FlopTree::new(leaves(20)).unwrap();
    let root = *tiles.root();
    for trace in [None, Some(root.digest)] {
        assert_eq!(unit(7, root.sums, trace).check_trace(&root), Ok(()));
    }
    // One trace under two steps: its keys say which it is.
    assert_eq!(unit(8, root.sums, Some(root.digest)).check_trace(&root), Err(TraceError::ForeignTiles));
    let less = Sums::of(Flops(1), 0).unwrap();
    assert!(matches!(unit(7, less, None).check_trace(&root), Err(TraceError::Sums { .. })));
    let other = PoseidonDigest::default();
    let refused = TraceError::Root { committed: other, found: root.digest };
    assert_eq!(unit(7, root.sums, Some(other)).check_trace(&root), Err(refused));
    // Tiles of two units under one root.
    let foreign = Node { max: Key::new((1, 8), (0, 0, 0), (0, 0)).unwrap(), ..root };
    assert_eq!(unit(7, root.sums, None).check_trace(&foreign), Err(TraceError::ForeignTiles));

    let leaf = |unit: &UnitRecord| unit.leaf().unwrap().digest;
    let honest = unit(7, root.sums, None);
    let changes: [fn(&mut UnitRecord); 6] = [
        |unit| unit.key = Key::new((1, 8), (3, 0, 0), (0, 0)).unwrap(),
        |unit| unit.sums = Sums::default(),
        |unit| unit.start.0[31] = 0,
        |unit| unit.end.0[0] = 0,
        |unit| unit.trace = PoseidonDigest::from_elements([1, 0, 0, 0]),
        |unit| unit.salt[0] = 1,
    ];
    for change in changes {
        let mut changed = honest.clone();
        change(&mut changed);
        assert_ne!(leaf(&changed), leaf(&honest));
    }
    let precise = UnitRecord { key: key(1, (0, 0)), ..honest };
    assert_eq!(precise.leaf(), Err(RecordError::Key));
}

/// First level work units, tiles below: one point goes through both trees.
#[test]
fn a_point_goes_on_from_the_units_tree_into_the_units_own() {
    let mut tiles = Vec::new();
    let mut units = Vec::new();
    for step in 0..5u64 {
        let records = (0..3u32).map(|op| {
            let mut record = product(op, 20, 5 + step, 20);
            record.key = Key::new((1, step), (3, 0, op), (0, 0)).unwrap();
            record
        });
        let leaves = records.flat_map(|record| record.leaves().unwrap().map(Result::unwrap).collect::<Vec<_>>());
        let tree = FlopTree::new(leaves.collect()).unwrap();
        units.push(unit(step, tree.root().sums, Some(tree.root().digest)).leaf().unwrap());
        tiles.push(tree);
    }
    let window = FlopTree::new(units.clone()).unwrap();
    let total = window.root().sums.flops().0;
    let expected: Vec<(usize, usize, u128)> = tiles
        .iter()
        .enumerate()
        .flat_map(|(unit, tree)| {
            tree.leaves().iter().enumerate().map(move |(tile, leaf)| (unit, tile, leaf.sums.flops().0))
        })
        .collect();
    let mut before = 0;
    for (at_unit, at_tile, weight) in expected {
        for point in [before, before + weight - 1] {
            let found = window.find(point, Weight::Flop).unwrap();
            let opened = window.path(found).unwrap().open(units[found], window.root()).unwrap();
            let rest = opened.within(point, Weight::Flop).unwrap();
            assert_eq!((found, tiles[found].find(rest, Weight::Flop)), (at_unit, Some(at_tile)));
        }
        before += weight;
    }
    assert_eq!(before, total);
}

#[test]
fn the_root_is_what_the_ledger_declares() {
    let sums = Sums::of(Flops(12_000_000_345), 0).unwrap();
    let gflop = |values: &[u64]| values.iter().map(|value| Gflop(*value)).collect::<Vec<_>>();
    assert_eq!(agrees_with_ledger(sums, gflop(&[5, 7]), 0, 345), Ok(()));
    // 13 GFLOP, of which 999,999,655 FLOP were carried in and none out: 12 GFLOP and 345 FLOP.
    assert_eq!(agrees_with_ledger(sums, gflop(&[5, 0, 8]), 999_999_655, 0), Ok(()));
    assert_eq!(
        agrees_with_ledger(sums, gflop(&[12]), 0, 346).unwrap_err().to_string(),
        "the tree adds up to 12000000345 FLOP and the ledger declares 12000000346"
    );
    assert_eq!(agrees_with_ledger(sums, gflop(&[]), 1, 0), Err(SumsError::Remainder));
    assert_eq!(agrees_with_ledger(sums, gflop(&[]), 0, 1_000_000_000), Err(SumsError::Rest(1_000_000_000)));
    assert_eq!(agrees_with_ledger(sums, gflop(&[MAX_SUM]), 0, 0), Err(SumsError::Gflop(MAX_SUM)));
}

proptest! {
    #[test]
    fn sums_carry_like_integers(a in (0..MAX_SUM / 2, 0..1_000_000_000u64, 0..MAX_SUM / 2), b in (0..MAX_SUM / 2 - 1, 0..1_000_000_000u64, 0..MAX_SUM / 2)) {
        let (one, two) = (Sums::new(a.0, a.1, a.2).unwrap(), Sums::new(b.0, b.1, b.2).unwrap());
        let sum = one.checked_add(two).unwrap();
        prop_assert_eq!(sum.flops().0, one.flops().0 + two.flops().0);
        prop_assert_eq!(sum.links(), a.2 + b.2);
        prop_assert_eq!(Sums::of(sum.flops(), sum.links()), Ok(sum));
        prop_assert_eq!(sum, two.checked_add(one).unwrap());
    }
}
