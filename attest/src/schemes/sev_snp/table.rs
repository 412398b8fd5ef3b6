//! **Duty.** The certificate table that a host hands to its guests (`auxblob`, extended report): where each piece lies.
//! **Does not know** what a piece is: certificates are known by their content, wherever they come from.
//! **Spec.** EVIDENCE §3.4; GHCB specification 56421 §4.1.8.1.

use std::ops::Range;

use crate::budget::{MAX_CHAIN_BYTES, MAX_CRL_BYTES, MAX_TABLE_ENTRIES};
use crate::error::EvidenceError;
use crate::reader::Reader;

const CODE: &str = "snp-certificate-table";
/// GUID, offset, length.
const ENTRY_BYTES: usize = 24;
const END: [u8; 16] = [0; 16];
/// VCEK, VLEK, ASK or ASVK, ARK, revocation list; as RFC 4122 writes them. Entries under any other GUID are the host's own
/// affair.
const KNOWN: [[u8; 16]; 5] = [
    [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd],
    [0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1],
    [0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82],
    [0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae],
    [0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea],
];

/// Longest table: its entries, and one list beside certificates.
const MAX_TABLE_BYTES: usize = MAX_CRL_BYTES + MAX_TABLE_ENTRIES * (ENTRY_BYTES + MAX_CHAIN_BYTES);

/// Whether the bytes begin with a known GUID: nothing else of AMD's does.
pub(super) fn is_table(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|guid: &[u8; 16]| KNOWN.contains(guid))
}

/// The pieces under known GUIDs, in the order of the table. Pieces do not overlap: sixteen times one long list would be read
/// sixteen times.
pub(super) fn pieces(bytes: &[u8]) -> Result<Vec<&[u8]>, EvidenceError> {
    let mut input = Reader::new(bytes, CODE);
    if bytes.len() > MAX_TABLE_BYTES {
        return Err(input.malformed(format!("{} bytes are over the cap of {MAX_TABLE_BYTES}", bytes.len())));
    }
    let (mut found, mut taken) = (Vec::new(), Vec::<Range<usize>>::new());
    for _ in 0..=MAX_TABLE_ENTRIES {
        let guid: [u8; 16] = input.array("a GUID")?;
        let (offset, length) = (input.length32("an offset")?, input.length32("a length")?);
        if guid == END {
            return Ok(found);
        }
        let place = offset..offset.saturating_add(length);
        let piece = bytes.get(place.clone()).filter(|piece| !piece.is_empty());
        let piece = piece.ok_or_else(|| input.malformed(format!("{length} bytes at {offset} are not in the table")))?;
        if KNOWN.contains(&guid) {
            if taken.iter().any(|other| place.start < other.end && other.start < place.end) {
                return Err(input.malformed("its pieces overlap".to_owned()));
            }
            taken.push(place);
            found.push(piece);
        }
    }
    Err(input.malformed(format!("more than {MAX_TABLE_ENTRIES} entries")))
}
