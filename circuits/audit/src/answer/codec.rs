//! **Duty.** Answers as framed bytes: records, nodes, paths, tiles. Each has one spelling and every list a cap. **Knows** the
//! ranges of every number. **Does not know** whether anything opens. **Spec.** PROTOCOL §3 (encoder).

use weighbridge_attest_types::{Canonical, CodecError, Decoder, Encoder};

use crate::answer::{
    Answer, MAX_OPENED_TENSORS, MAX_OPENED_TILES, MAX_PRODUCERS, OpenedOperation, OpenedTensor, OpenedTile,
};
use crate::flop_tree::{MAX_PATH, Node, OperationRecord, Path, Side, Step, Sums, TileKind, UnitOpening, UnitRecord};
use crate::gemm::OperationClass;
use crate::key::Key;
use crate::trace::MAX_FORM_BYTES;

fn put_all<T: Canonical>(out: &mut Encoder, items: &[T]) {
    out.count(items.len());
    items.iter().for_each(|item| {
        out.put(item);
    });
}

fn take_all<T: Canonical>(input: &mut Decoder<'_>, what: &'static str, cap: usize) -> Result<Vec<T>, CodecError> {
    let count = input.count(what, cap)?;
    (0..count).map(|_| input.take()).collect()
}

fn flag(input: &mut Decoder<'_>, what: &'static str) -> Result<bool, CodecError> {
    match input.take::<u8>()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CodecError::NotCanonical(what)),
    }
}

impl Canonical for Key {
    fn encode(&self, out: &mut Encoder) {
        self.elements().iter().for_each(|element| {
            out.put(element);
        });
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let elements = [input.take()?, input.take()?, input.take()?];
        Self::from_elements(elements).map_err(|_| CodecError::NotCanonical("key"))
    }
}

impl Canonical for Sums {
    fn encode(&self, out: &mut Encoder) {
        self.elements().iter().for_each(|element| {
            out.put(element);
        });
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Self::new(input.take()?, input.take()?, input.take()?).map_err(|_| CodecError::NotCanonical("sums"))
    }
}

impl Canonical for Node {
    fn encode(&self, out: &mut Encoder) {
        let Self { digest, sums, min, max } = self;
        out.put(digest).put(sums).put(min).put(max);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { digest: input.take()?, sums: input.take()?, min: input.take()?, max: input.take()? })
    }
}

impl Canonical for Step {
    fn encode(&self, out: &mut Encoder) {
        let Self { level, side, neighbour } = self;
        out.put(level).put(&u8::from(*side == Side::Right)).put(neighbour);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (level, is_right) = (input.take()?, flag(input, "side")?);
        Ok(Self { level, side: if is_right { Side::Right } else { Side::Left }, neighbour: input.take()? })
    }
}

impl Canonical for Path {
    fn encode(&self, out: &mut Encoder) {
        put_all(out, &self.steps);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { steps: take_all(input, "path", MAX_PATH)? })
    }
}

impl Canonical for UnitRecord {
    fn encode(&self, out: &mut Encoder) {
        let Self { key, sums, start, end, trace, salt } = self;
        out.put(key).put(sums).put(start).put(end).put(trace).put(salt);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (key, sums, start) = (input.take()?, input.take()?, input.take()?);
        Ok(Self { key, sums, start, end: input.take()?, trace: input.take()?, salt: input.take()? })
    }
}

impl Canonical for UnitOpening {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.unit).put(&self.path);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { unit: input.take()?, path: input.take()? })
    }
}

impl Canonical for OperationRecord {
    fn encode(&self, out: &mut Encoder) {
        let Self { key, kind, rows, cols, side, transposed: [a, b], roots: [left, right, output], form, salt } = self;
        out.put(key);
        match kind {
            TileKind::Product { class: OperationClass(class), k, bias } => {
                out.put(&0u8).put(class).put(k).put(&u8::from(*bias));
            }
            TileKind::Link => {
                out.put(&1u8);
            }
        }
        out.put(rows).put(cols).put(side).put(&u8::from(*a)).put(&u8::from(*b));
        out.put(left).put(right).put(output).put(form).put(salt);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let key = input.take()?;
        let kind = match input.take::<u8>()? {
            0 => {
                let (class, k) = (OperationClass(input.take()?), input.take()?);
                TileKind::Product { class, k, bias: flag(input, "bias")? }
            }
            1 => TileKind::Link,
            _ => return Err(CodecError::NotCanonical("kind of operation")),
        };
        let (rows, cols, side) = (input.take()?, input.take()?, input.take()?);
        let transposed = [flag(input, "transposed")?, flag(input, "transposed")?];
        let roots = [input.take()?, input.take()?, input.take()?];
        Ok(Self { key, kind, rows, cols, side, transposed, roots, form: input.take()?, salt: input.take()? })
    }
}

impl Canonical for OpenedOperation {
    fn encode(&self, out: &mut Encoder) {
        let Self { operation, form, tile: (row, col), path } = self;
        out.put(operation).field(form).put(row).put(col).put(path);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let operation = input.take()?;
        let length = input.count("form", MAX_FORM_BYTES)?;
        let form = input.raw(length)?.to_vec();
        Ok(Self { operation, form, tile: (input.take()?, input.take()?), path: input.take()? })
    }
}

impl Canonical for OpenedTile {
    fn encode(&self, out: &mut Encoder) {
        let Self { tile, bytes, path } = self;
        out.put(tile).field(bytes).put(path);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { tile: input.take()?, bytes: input.field()?.to_vec(), path: input.take()? })
    }
}

impl Canonical for OpenedTensor {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.root);
        put_all(out, &self.tiles);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { root: input.take()?, tiles: take_all(input, "tiles", MAX_OPENED_TILES)? })
    }
}

impl Canonical for Answer {
    fn encode(&self, out: &mut Encoder) {
        let Self { stratum, draw, unit, root, drawn, producers, tensors } = self;
        out.put(stratum).put(draw).put(unit).put(root).put(drawn);
        put_all(out, producers);
        put_all(out, tensors);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (stratum, draw, unit, root) = (input.take()?, input.take()?, input.take()?, input.take()?);
        let (drawn, producers) = (input.take()?, take_all(input, "operations", MAX_PRODUCERS)?);
        Ok(Self {
            stratum,
            draw,
            unit,
            root,
            drawn,
            producers,
            tensors: take_all(input, "tensors", MAX_OPENED_TENSORS)?,
        })
    }
}
