//! **Duty.** Deterministic damage: the same seed, the same bytes. Bit flips, cuts, splices, length fields, repeated keys.
//! **Does not know** parsers. **Spec.** Issue "bad input": what a fuzzer finds first, in every test run.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weighbridge_attest_types::{Bundle, Member};

/// How bytes are written: which damage gets past the first check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Framed or vendor's binary.
    Binary,
    /// JSON, perhaps after a head line.
    Json,
    /// Lines.
    Text,
    /// A bundle: members are damaged and sealed again under fresh digests.
    Container,
}

/// Numbers that parsers get wrong.
const SHARP: [u64; 12] = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX];
/// Pieces of text that parsers get wrong.
const TEXTS: [&str; 16] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "null",
    "-0",
    "1e999999",
    "99999999999999999999999999999999999999999",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "\n",
    "<script>",
    "true",
];
/// Nesting beyond what any message has.
const DEEP: usize = 20_000;

/// A source of damaged bytes.
#[derive(Debug)]
pub struct Mutator {
    random: StdRng,
    form: Form,
    samples: Vec<Vec<u8>>,
}

impl Mutator {
    /// Damages these samples; the seed decides how.
    #[must_use]
    pub fn new(seed: u64, form: Form, samples: Vec<Vec<u8>>) -> Self {
        Self { random: StdRng::seed_from_u64(seed), form, samples }
    }

    /// The next damaged bytes.
    pub fn damaged(&mut self) -> Vec<u8> {
        let mut bytes = self.any_sample();
        if self.form == Form::Container {
            let which = self.random.gen_range(0..usize::from(u16::MAX));
            let change = |member: &mut Vec<u8>| self.damage(member);
            return change_one_member(&bytes, which, change).unwrap_or(bytes);
        }
        self.damage(&mut bytes);
        bytes
    }

    fn any_sample(&mut self) -> Vec<u8> {
        match self.samples.len() {
            0 => Vec::new(),
            count => self.samples[self.random.gen_range(0..count)].clone(),
        }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.random.gen_range(1..=3) {
            match self.random.gen_range(0..10) {
                0..=2 => self.change_byte(bytes),
                3 => {
                    let length = self.position(bytes);
                    bytes.truncate(length);
                }
                4 | 5 => self.write_number(bytes),
                6 => self.splice(bytes),
                7 => self.repeat(bytes),
                8 => self.remove(bytes),
                _ => self.insert_text(bytes),
            }
        }
    }

    fn position(&mut self, bytes: &[u8]) -> usize {
        self.random.gen_range(0..=bytes.len())
    }

    fn change_byte(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.random.gen_range(0..bytes.len());
        bytes[at] ^=
            if self.random.r#gen() { 1 << self.random.gen_range(0..8) } else { self.random.gen_range(1..=255u8) };
    }

    /// A length field, as far as chance finds one.
    fn write_number(&mut self, bytes: &mut [u8]) {
        let width = [1usize, 2, 4, 8][self.random.gen_range(0..4)];
        let sharp = SHARP[self.random.gen_range(0..SHARP.len())];
        let number = if self.random.r#gen() { sharp.to_le_bytes() } else { (sharp << (64 - 8 * width)).to_be_bytes() };
        if let Some(last) = bytes.len().checked_sub(width) {
            let at = self.random.gen_range(0..=last);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
    }

    /// The front of one sample and the end of another.
    fn splice(&mut self, bytes: &mut Vec<u8>) {
        let other = self.any_sample();
        let (front, from) = (self.position(bytes), self.position(&other));
        bytes.truncate(front);
        bytes.extend_from_slice(&other[from..]);
    }

    /// A piece twice: a key, a member, a certificate. In text a piece is what stands between two commas.
    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let (mut start, mut end) = (self.position(bytes), self.position(bytes));
        (start, end) = (start.min(end), start.max(end).min(start.min(end) + 4_096));
        if matches!(self.form, Form::Json) {
            let commas: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b',').collect();
            if commas.len() >= 2 {
                let first = self.random.gen_range(0..commas.len() - 1);
                (start, end) = (commas[first], commas[first + 1]);
            }
        }
        let piece = bytes[start..end].to_vec();
        bytes.splice(end..end, piece);
    }

    fn remove(&mut self, bytes: &mut Vec<u8>) {
        let start = self.position(bytes);
        let most = (bytes.len() - start).min(64);
        let length = self.random.gen_range(0..=most);
        bytes.drain(start..start + length);
    }

    fn insert_text(&mut self, bytes: &mut Vec<u8>) {
        let at = self.position(bytes);
        let text = TEXTS[self.random.gen_range(0..TEXTS.len())];
        let times = if self.random.gen_range(0..40) == 0 { DEEP } else { 1 };
        bytes.splice(at..at, text.repeat(times).into_bytes());
    }
}

/// Changes one member of a bundle and seals the bundle again under fresh digests; `None` when it is no bundle.
pub fn change_one_member(bytes: &[u8], which: usize, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let bundle = Bundle::parse_bundle(bytes).ok()?;
    let members: Vec<(&str, &[u8])> = bundle.iter().collect();
    let chosen = which.checked_rem(members.len())?;
    let mut again = Bundle::new_bundle();
    let mut change = Some(change);
    for (index, (name, bytes)) in members.into_iter().enumerate() {
        let mut bytes = bytes.to_vec();
        if let Some(change) = change.take_if(|_| index == chosen) {
            change(&mut bytes);
        }
        again.insert(Member { name: name.to_owned(), bytes }).ok()?;
    }
    Some(again.to_bytes())
}
