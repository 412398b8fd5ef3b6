//! **Duty.** The report's structure: SPDM 1.1 GET_MEASUREMENTS request and response, of a GPU or a switch. **Knows** every
//! measurement block. **Does not know** any signature, nor what opaque fields mean (`opaque`). **Spec.** EVIDENCE §1.1.

use super::opaque::OpaqueFields;
use super::part::Part;
use crate::budget::MAX_NVIDIA_REPORT_BYTES;
use crate::error::EvidenceError;
use crate::reader::Reader;

/// SPDM 1.1, GET_MEASUREMENTS, signature requested, all measurements.
const REQUEST_HEAD: [u8; 4] = [0x11, 0xe0, 0x01, 0xff];
/// SPDM 1.1, MEASUREMENTS.
const RESPONSE_HEAD: [u8; 4] = [0x11, 0x60, 0x00, 0x00];
/// DMTF measurement specification.
const DMTF: u8 = 1;
/// Immutable ROM or mutable firmware digest; the only DMTF value type that NVIDIA uses.
const DMTF_VALUE_TYPE: u8 = 1;
const SHA384_BYTES: usize = 48;
const SIGNATURE_BYTES: usize = 96;

/// A measurement: SHA-384.
pub(super) type Measurement = [u8; SHA384_BYTES];

/// A parsed report, still a rumour.
#[derive(Debug)]
pub(super) struct MeasurementReport<'a> {
    canonical: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
    nonce: [u8; 32],
    measurements: Vec<Measurement>,
    opaque: OpaqueFields<'a>,
}

impl<'a> MeasurementReport<'a> {
    /// Parses request, response and signature. One zero byte behind them, which some drivers leave in their buffer, is
    /// dropped; it is not part of [`MeasurementReport::canonical`].
    pub(super) fn parse(part: Part, body: &'a [u8]) -> Result<Self, EvidenceError> {
        let mut input = Reader::new(body, part.codes().report);
        if body.len() > MAX_NVIDIA_REPORT_BYTES {
            let message = format!("a report of {} bytes is over the cap of {MAX_NVIDIA_REPORT_BYTES}", body.len());
            return Err(input.malformed(message));
        }
        expect(&mut input, REQUEST_HEAD, "the request head")?;
        let nonce = input.array("the request nonce")?;
        input.u8("the request slot")?;
        expect(&mut input, RESPONSE_HEAD, "the response head")?;
        let measurements = measurements(part, &mut input)?;
        input.take(32, "the device nonce")?;
        let length = input.u16("the opaque length")?;
        let opaque = OpaqueFields::parse(part, input.take(usize::from(length), "the opaque data")?)?;
        let signed = body.get(..input.position()).unwrap_or_default();
        let signature = input.take(SIGNATURE_BYTES, "the signature")?;
        let canonical = body.get(..input.position()).unwrap_or_default();
        match input.rest() {
            [] | [0] => Ok(Self { canonical, signed, signature, nonce, measurements, opaque }),
            rest => Err(input.malformed(format!("{} bytes follow the signature", rest.len()))),
        }
    }

    /// Request, response and signature, nothing after.
    pub(super) const fn canonical(&self) -> &'a [u8] {
        self.canonical
    }

    /// What the signature covers, as received.
    pub(super) const fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// Raw r ‖ s.
    pub(super) const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The freshness nonce: the request's. The response's nonce is the device's own.
    pub(super) const fn nonce(&self) -> [u8; 32] {
        self.nonce
    }

    /// All measurements; position is the index as in manifests, one less than the block's.
    pub(super) fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// Everything else that the report says.
    pub(super) const fn opaque(&self) -> &OpaqueFields<'a> {
        &self.opaque
    }
}

/// The count, the record length and the blocks, which must agree exactly.
fn measurements(part: Part, input: &mut Reader<'_>) -> Result<Vec<Measurement>, EvidenceError> {
    let count = input.u8("the block count")?;
    if count != part.blocks() {
        let (noun, wanted) = (part.noun(), part.blocks());
        return Err(input.malformed(format!("a {noun} has {wanted} measurement blocks, this report {count}")));
    }
    let length = input.length24("the measurement record length")?;
    let mut record = Reader::new(input.take(length, "the measurement record")?, part.codes().report);
    let mut found: Vec<Option<Measurement>> = vec![None; usize::from(count)];
    for _ in 0..count {
        let (index, value) = block(&mut record)?;
        let slot = usize::from(index).checked_sub(1).and_then(|slot| found.get_mut(slot));
        match slot {
            Some(slot @ None) => *slot = Some(value),
            Some(Some(_)) => return Err(record.malformed(format!("measurement block {index} appears twice"))),
            None => return Err(record.malformed(format!("measurement block {index} does not exist"))),
        }
    }
    record.end("the last measurement block")?;
    // As many blocks as slots, none twice: every slot is filled.
    Ok(found.into_iter().flatten().collect())
}

fn block(record: &mut Reader<'_>) -> Result<(u8, Measurement), EvidenceError> {
    let index = record.u8("a block index")?;
    let specification = record.u8("a block's specification")?;
    let outer = usize::from(record.u16("a block's size")?);
    let mut value = record.inside(outer, "a measurement block")?;
    let kind = value.u8("a value type")?;
    let inner = usize::from(value.u16("a value size")?);
    if specification != DMTF || kind != DMTF_VALUE_TYPE || inner != SHA384_BYTES {
        let message = format!("block {index} is of specification {specification}, type {kind}, {inner} bytes");
        return Err(record.malformed(message));
    }
    let measurement = value.array("a measurement")?;
    value.end("a measurement").map(|()| (index, measurement))
}

fn expect(input: &mut Reader<'_>, wanted: [u8; 4], what: &str) -> Result<(), EvidenceError> {
    let found: [u8; 4] = input.array(what)?;
    if found == wanted {
        return Ok(());
    }
    Err(input.malformed(format!("{what} is {}, not {}", hex::encode(found), hex::encode(wanted))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPAQUE_LENGTH_AT: usize = 37 + 8 + 64 * 55 + 32;

    fn parse(bytes: &[u8]) -> Result<MeasurementReport<'_>, EvidenceError> {
        MeasurementReport::parse(Part::Gpu, bytes)
    }

    /// A report of the right shape with a made-up signature.
    fn report(opaque: &[u8]) -> Vec<u8> {
        let mut bytes = REQUEST_HEAD.to_vec();
        bytes.extend([7; 32]);
        bytes.push(0);
        bytes.extend(RESPONSE_HEAD);
        bytes.push(64);
        bytes.extend(&(64 * 55u32).to_le_bytes()[..3]);
        for index in 1..=64 {
            bytes.extend([index, DMTF, 51, 0, DMTF_VALUE_TYPE, 48, 0]);
            bytes.extend([index; 48]);
        }
        bytes.extend([9; 32]);
        bytes.extend(u16::try_from(opaque.len()).unwrap().to_le_bytes());
        bytes.extend(opaque);
        bytes.extend([5; 96]);
        bytes
    }

    fn field(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_well_formed_report_gives_its_parts() {
        let opaque = [field(36, &[0, 0]), field(20, &[3; 48])].concat();
        let bytes = report(&opaque);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.nonce(), parsed.opaque().fwid), ([7; 32], Some([3; 48])));
        let values: Vec<u8> = parsed.measurements().iter().map(|value| value[0]).collect();
        assert_eq!(values, (1..=64).collect::<Vec<u8>>());
        assert_eq!((parsed.canonical(), parsed.signature()), (&bytes[..], &[5; 96][..]));
        assert_eq!(parsed.signed(), &bytes[..bytes.len() - 96]);
    }

    #[test]
    fn every_truncation_is_malformed() {
        let bytes = report(&field(3, b"550.90.07\0"));
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]).unwrap_err().code(), "gpu-report", "{length}");
        }
    }

    #[test]
    fn one_zero_byte_behind_is_dropped_and_nothing_else() {
        let bytes = report(&[]);
        let padded = [&bytes[..], &[0]].concat();
        assert_eq!(parse(&padded).unwrap().canonical(), &bytes[..]);
        for tail in [&[1][..], &[0, 0]] {
            let message = parse(&[&bytes[..], tail].concat()).unwrap_err().to_string();
            assert_eq!(message, format!("malformed evidence: {} bytes follow the signature [gpu-report]", tail.len()));
        }
        assert!(parse(&vec![0; MAX_NVIDIA_REPORT_BYTES + 1]).unwrap_err().to_string().contains("over the cap"));
    }

    #[test]
    fn fixed_bytes_counts_indexes_and_sizes_must_be_exact() {
        let bytes = report(&[]);
        let block = 37 + 8;
        // Request head, response head, count, record length, index 0, duplicate and unknown index, specification,
        // outer size, value type, inner size, opaque length.
        let changes = [
            (0, 0x12),
            (3, 0xfe),
            (37, 0x12),
            (39, 1),
            (41, 63),
            (42, 0xbf),
            (block, 0),
            (block, 2),
            (block, 65),
            (block + 1, 2),
            (block + 2, 52),
            (block + 4, 2),
            (block + 5, 47),
            (OPAQUE_LENGTH_AT, 1),
        ];
        for (offset, value) in changes {
            let mut changed = bytes.clone();
            changed[offset] = value;
            assert_eq!(parse(&changed).unwrap_err().code(), "gpu-report", "offset {offset}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_changed_report_never_panics(at in 0usize..3700, value: u8) {
            let mut bytes = report(&field(3, b"x"));
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = parse(&bytes);
        }
    }
}
