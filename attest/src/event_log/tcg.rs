//! **Duty.** The crypto-agile log of the TCG PC Client platform firmware profile, as firmware leaves it in the memory that
//! the ACPI table CCEL points at. **Does not know** what events mean. **Spec.** TCG PFP §10.2; UEFI CC measurement: index 0
//! is MRTD, which a log cannot extend, 1 to 4 are RTMR0 to RTMR3.

use super::{Replay, sha384};
use crate::error::EvidenceError;
use crate::reader::Reader;

const CODE: &str = "event-log";
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// Before the signature: index, type, an SHA-1 digest of zeros, size.
const SIGNATURE_AT: usize = 32;
/// Signature, platform class, version.
const FIXED_HEADER_BYTES: usize = 24;
/// Before the header's size.
const SIZE_AT: usize = 28;
/// Says something and extends nothing.
const NO_ACTION: u32 = 3;
const SHA384_ID: u16 = 0x000c;
const SHA384_BYTES: u16 = 48;
/// Digest algorithms of one log. Source: the TPM 2.0 library knows eight hash algorithms that firmware uses.
const MAX_ALGORITHMS: usize = 8;
/// Longest digest: SHA-512.
const MAX_DIGEST_BYTES: u16 = 64;

pub(super) fn is_log(bytes: &[u8]) -> bool {
    let after = bytes.get(SIGNATURE_AT..).unwrap_or_default();
    after.starts_with(SIGNATURE) && bytes.get(4..8) == Some(&NO_ACTION.to_le_bytes())
}

/// Reads the header and every event. The rest of the memory area is filled with one byte, all ones or zeros.
pub(super) fn read(bytes: &[u8], replay: &mut Replay) -> Result<(), String> {
    read_all(bytes, replay).map_err(|error| error.to_string())
}

fn read_all(bytes: &[u8], replay: &mut Replay) -> Result<(), EvidenceError> {
    let mut input = Reader::new(bytes, CODE);
    let algorithms = read_header(&mut input)?;
    let end = end_of_events(bytes);
    while input.position() < end {
        read_event(&mut input, &algorithms, replay)?;
    }
    Ok(())
}

/// Where nothing but fill follows; an event that reaches into the fill is read all the same.
fn end_of_events(bytes: &[u8]) -> usize {
    let without = |fill: u8| bytes.iter().rposition(|byte| *byte != fill).map_or(0, |last| last.saturating_add(1));
    without(0xff).min(without(0))
}

/// (id, bytes) of each digest algorithm.
type Algorithms = Vec<(u16, u16)>;

fn read_header(input: &mut Reader<'_>) -> Result<Algorithms, EvidenceError> {
    input.take(SIZE_AT, "the header event")?;
    let size = input.length32("the header's size")?;
    let mut header = Reader::new(input.take(size, "the header")?, CODE);
    header.take(FIXED_HEADER_BYTES, "signature, class and version")?;
    let count = header.length32("the number of algorithms")?;
    if count > MAX_ALGORITHMS {
        return Err(header.malformed(format!("{count} digest algorithms, at most {MAX_ALGORITHMS}")));
    }
    let mut algorithms = Algorithms::new();
    for _ in 0..count {
        let (id, bytes) = (header.u16("an algorithm")?, header.u16("a digest size")?);
        if bytes > MAX_DIGEST_BYTES || algorithms.iter().any(|(known, _)| *known == id) {
            return Err(header.malformed(format!("algorithm {id:#x} of {bytes} bytes is repeated or too long")));
        }
        algorithms.push((id, bytes));
    }
    let vendor = header.u8("the vendor's size")?;
    header.take(usize::from(vendor), "what the vendor says")?;
    header.end("the header")?;
    match algorithms.contains(&(SHA384_ID, SHA384_BYTES)) {
        true => Ok(algorithms),
        false => {
            Err(header.malformed("the log has no SHA-384 digests, which alone extend a TD's registers".to_owned()))
        }
    }
}

fn read_event(input: &mut Reader<'_>, algorithms: &Algorithms, replay: &mut Replay) -> Result<(), EvidenceError> {
    let index = u32::from_le_bytes(input.array("a register index")?);
    let event_type = u32::from_le_bytes(input.array("an event type")?);
    let event = read_digests(input, algorithms)?;
    let size = input.length32("an event's size")?;
    let content = input.take(size, "an event")?;
    let counted = match (event_type, index) {
        (NO_ACTION, _) => replay.count(),
        (_, 1..=4) => {
            let register = u8::try_from(index.saturating_sub(1)).unwrap_or(u8::MAX);
            replay.extend(register, event_type, event, sha384(content) == event)
        }
        _ => Err(format!("an event extends register index {index}; RTMR0 to RTMR3 are 1 to 4")),
    };
    counted.map_err(|why| input.malformed(why))
}

/// The SHA-384 digest; others are read over.
fn read_digests(input: &mut Reader<'_>, algorithms: &Algorithms) -> Result<[u8; 48], EvidenceError> {
    let count = input.length32("the number of digests")?;
    if count != algorithms.len() {
        return Err(input.malformed(format!("{count} digests of {} algorithms", algorithms.len())));
    }
    let mut found = None;
    let mut seen = Vec::with_capacity(count);
    for _ in 0..count {
        let id = input.u16("a digest's algorithm")?;
        let known = algorithms.iter().find(|(known, _)| *known == id && !seen.contains(&id));
        let bytes = known.map(|(_, bytes)| usize::from(*bytes));
        let bytes = bytes.ok_or_else(|| input.malformed(format!("digest algorithm {id:#x} is unknown or repeated")))?;
        let digest = input.take(bytes, "a digest")?;
        if id == SHA384_ID {
            found = digest.try_into().ok();
        }
        seen.push(id);
    }
    found.ok_or_else(|| input.malformed("an event has no SHA-384 digest".to_owned()))
}
