//! **Duty.** A TPM 2.0 quote: its one structure, its RSASSA signature, the digest of its PCRs. **Does not know** whose key
//! signs; it is handed the modulus. **Spec.** TPM 2.0 library part 2 §10.12 (TPMS_ATTEST), EVIDENCE §4.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use weighbridge_attest_types::{AzureTpmQuote, Digest32, TpmPcr, TpmQuoteClaims, sha256};

use crate::budget::MAX_TPM_ATTEST_BYTES;
use crate::error::{EvidenceError, Failure};
use crate::reader::Reader;

const CODE: &str = "tpm-quote";
/// TPM_GENERATED: a restricted key signs nothing from outside that begins so.
const GENERATED: [u8; 4] = [0xff, b'T', b'C', b'G'];
const ATTEST_QUOTE: u16 = 0x8018;
const SHA256: u16 = 0x000b;
/// A name: algorithm and SHA-512 at most.
const MAX_NAME_BYTES: usize = 66;
/// TPM2B_DATA is as long as a TPMT_HA at most.
const MAX_EXTRA_BYTES: usize = 66;
/// Bitmap of 24 PCRs.
const SELECT_BYTES: u8 = 3;
const SIGNATURE_BYTES: usize = 256;
const EXPONENT: [u8; 3] = [1, 0, 1];

/// A parsed quote, still a rumour.
#[derive(Debug)]
pub(super) struct TpmQuote {
    attest: Vec<u8>,
    signature: Vec<u8>,
    claims: TpmQuoteClaims,
}

impl TpmQuote {
    /// Reads the structure; PCR values must be those that it selects.
    pub(super) fn parse(quote: AzureTpmQuote) -> Result<Self, EvidenceError> {
        let AzureTpmQuote { attest, signature, pcrs } = quote;
        let mut input = Reader::new(&attest, CODE);
        if attest.len() > MAX_TPM_ATTEST_BYTES || signature.len() != SIGNATURE_BYTES {
            let found = format!("{} bytes with a signature of {} bytes", attest.len(), signature.len());
            return Err(input.malformed(format!("{found} are no quote under an RSA-2048 key")));
        }
        let mut claims = read_attest(&mut input)?;
        input.end("the TPM quote")?;
        let indices: Vec<u8> = pcrs.iter().map(|pcr| pcr.index).collect();
        if !pcrs.is_empty() && indices != claims.selection {
            let message = format!("values of PCRs {indices:?} come along, {:?} are quoted", claims.selection);
            return Err(input.malformed(message));
        }
        claims.pcrs = (!pcrs.is_empty()).then_some(pcrs);
        Ok(Self { attest, signature, claims })
    }

    /// What it says.
    pub(super) const fn claims(&self) -> &TpmQuoteClaims {
        &self.claims
    }

    /// Signature under the key that the blob names, and the digest over the PCR values that came along.
    pub(super) fn check(&self, modulus: &[u8]) -> Vec<Failure> {
        let mut failures = Vec::new();
        let key = RsaPublicKeyComponents { n: modulus, e: &EXPONENT[..] };
        if key.verify(&RSA_PKCS1_2048_8192_SHA256, &self.attest, &self.signature).is_err() {
            failures
                .push(Failure::new("tpm-quote-signature", "the key that the blob names has not signed the TPM quote"));
        }
        if self.claims.pcrs.as_ref().is_some_and(|pcrs| digest_of(pcrs) != self.claims.pcr_digest) {
            failures.push(Failure::new("tpm-pcrs-differ", "the PCR values do not have the digest that was quoted"));
        }
        failures
    }
}

/// Over the values in order of their indices: one bank is selected, so there is no other order.
fn digest_of(pcrs: &[TpmPcr]) -> Digest32 {
    sha256(&pcrs.iter().flat_map(|pcr| pcr.value.0).collect::<Vec<u8>>())
}

fn read_attest(input: &mut Reader<'_>) -> Result<TpmQuoteClaims, EvidenceError> {
    let (magic, kind) = (input.array::<4>("the magic")?, u16_of(input, "the type")?);
    if magic != GENERATED || kind != ATTEST_QUOTE {
        return Err(input.malformed(format!("not a quote by a TPM: magic {}, type {kind:#x}", hex::encode(magic))));
    }
    sized(input, MAX_NAME_BYTES, "the signer's name")?;
    let extra_data = sized(input, MAX_EXTRA_BYTES, "extraData")?.to_vec();
    let clock = u64::from_be_bytes(input.array("the clock")?);
    let reset_count = u32::from_be_bytes(input.array("the reset count")?);
    let restart_count = u32::from_be_bytes(input.array("the restart count")?);
    if input.u8("the safe flag")? > 1 {
        return Err(input.malformed("the safe flag is neither yes nor no".to_owned()));
    }
    let firmware_version = u64::from_be_bytes(input.array("the firmware version")?);
    let selection = read_selection(input)?;
    let pcr_digest = sized(input, MAX_NAME_BYTES, "the PCR digest")?;
    let pcr_digest = pcr_digest.try_into().map(Digest32);
    let pcr_digest = pcr_digest.map_err(|_| input.malformed("the PCR digest is not of SHA-256".to_owned()))?;
    let pcrs = None;
    Ok(TpmQuoteClaims { extra_data, selection, pcr_digest, pcrs, clock, reset_count, restart_count, firmware_version })
}

/// Indices of one bank, SHA-256.
fn read_selection(input: &mut Reader<'_>) -> Result<Vec<u8>, EvidenceError> {
    let banks = u32::from_be_bytes(input.array("the number of banks")?);
    let (algorithm, bytes) = (u16_of(input, "the bank")?, input.u8("the selection's size")?);
    if banks != 1 || algorithm != SHA256 || bytes != SELECT_BYTES {
        let found = format!("{banks} banks, the first of algorithm {algorithm:#x} with {bytes} bytes");
        return Err(input.malformed(format!("not a selection of 24 PCRs of the one bank SHA-256: {found}")));
    }
    let [low, middle, high] = input.array("the selection")?;
    let bits = u32::from_le_bytes([low, middle, high, 0]);
    Ok((0..24u8).filter(|index| bits >> index & 1 == 1).collect())
}

fn sized<'a>(input: &mut Reader<'a>, most: usize, what: &str) -> Result<&'a [u8], EvidenceError> {
    let size = usize::from(u16_of(input, what)?);
    if size > most {
        return Err(input.malformed(format!("{what} of {size} bytes is over the cap of {most}")));
    }
    input.take(size, what)
}

fn u16_of(input: &mut Reader<'_>, what: &str) -> Result<u16, EvidenceError> {
    Ok(u16::from_be_bytes(input.array(what)?))
}
