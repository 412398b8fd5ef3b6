//! **Duty.** Evidence of an Azure confidential VM as it travels, and what it says beyond the platform inside. **Knows**
//! framing and sizes. **Does not know** HCL blobs, TPM structures or signatures. **Spec.** EVIDENCE §4, PROTOCOL §3
//! (carriers: TPM quote `extraData` = SHA-256(report_data)); docs/decisions/0037.

use serde::Serialize;

use crate::codec::{Canonical, CodecError, Decoder, Encoder, put_list, take_list};
use crate::digest::as_hex;
use crate::{Digest32, Domain};

/// PCRs of one bank (TCG PC Client platform profile).
const MAX_PCRS: usize = 24;

/// What a node of this kind sends as the body of its CPU evidence: the blob of the paravisor, and beside it what makes
/// the blob answer a question and, for TDX, verifiable. A blob alone is a lawful body too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureEvidence {
    /// The HCL blob, without what follows its used part.
    pub blob: Vec<u8>,
    /// A quote by the vTPM under the key that the blob names.
    pub tpm_quote: Option<AzureTpmQuote>,
    /// The TDX quote over the TDREPORT in the blob.
    pub td_quote: Option<Vec<u8>>,
}

/// A TPM 2.0 quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureTpmQuote {
    /// `TPMS_ATTEST`, as the TPM signed it.
    pub attest: Vec<u8>,
    /// RSASSA signature, big-endian, without the TPM's own header.
    pub signature: Vec<u8>,
    /// SHA-256 values of the quoted PCRs, ascending; empty when they do not come along.
    pub pcrs: Vec<TpmPcr>,
}

/// One platform configuration register, bank SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TpmPcr {
    /// 0 to 23.
    pub index: u8,
    /// Its value.
    pub value: Digest32,
}

impl AzureEvidence {
    /// How every body of this form begins: the framed domain.
    #[must_use]
    pub fn prefix() -> Vec<u8> {
        Domain::AzureEvidence.encoder().finish()
    }
}

impl Canonical for AzureEvidence {
    fn encode(&self, out: &mut Encoder) {
        let Self { blob, tpm_quote, td_quote } = self;
        out.field(Domain::AzureEvidence.as_str().as_bytes()).put(blob).put(tpm_quote).put(td_quote);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        if input.field()? != Domain::AzureEvidence.as_str().as_bytes() {
            return Err(CodecError::NotCanonical("domain of Azure evidence"));
        }
        Ok(Self { blob: input.take()?, tpm_quote: input.take()?, td_quote: input.take()? })
    }
}

impl Canonical for AzureTpmQuote {
    fn encode(&self, out: &mut Encoder) {
        let Self { attest, signature, pcrs } = self;
        out.put(attest).put(signature);
        put_list(out, pcrs);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (attest, signature) = (input.take()?, input.take()?);
        let pcrs: Vec<TpmPcr> = take_list(input, "PCRs", MAX_PCRS)?;
        let ascends = pcrs.iter().zip(pcrs.iter().skip(1)).all(|(one, next)| one.index < next.index);
        let known = pcrs.iter().all(|pcr| usize::from(pcr.index) < MAX_PCRS);
        if !ascends || !known {
            return Err(CodecError::NotCanonical("order of PCRs"));
        }
        Ok(Self { attest, signature, pcrs })
    }
}

impl Canonical for TpmPcr {
    fn encode(&self, out: &mut Encoder) {
        let Self { index, value } = self;
        out.put(index).put(value);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self { index: input.take()?, value: input.take()? })
    }
}

/// Claims of an Azure VM. The platform inside has claims of its own beside these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AzureClaims {
    /// Version of the blob.
    pub version: u32,
    /// SHA-256 of the modulus of HCLAkPub, the key of the vTPM's quotes.
    pub attestation_key: Digest32,
    /// `vmUniqueId`, in the paravisor's words.
    pub vm_id: Option<String>,
    /// Secure boot, as the paravisor configured the VM.
    pub secure_boot: Option<bool>,
    /// A serial console that the host can use.
    pub console_enabled: Option<bool>,
    /// The state of the vTPM outlives the VM.
    pub tpm_persisted: Option<bool>,
    /// What the vTPM quoted.
    pub tpm_quote: Option<TpmQuoteClaims>,
}

/// Claims of one TPM quote, signed by the key in the blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TpmQuoteClaims {
    /// The question that it answers.
    #[serde(serialize_with = "as_hex")]
    pub extra_data: Vec<u8>,
    /// Indices of the quoted PCRs of the bank SHA-256, ascending.
    pub selection: Vec<u8>,
    /// Over their values.
    pub pcr_digest: Digest32,
    /// The values, where they came along and have this digest.
    pub pcrs: Option<Vec<TpmPcr>>,
    /// Milliseconds since the TPM was last reset, by its own clock.
    pub clock: u64,
    /// Resets of the TPM.
    pub reset_count: u32,
    /// Restarts since the last reset.
    pub restart_count: u32,
    /// Version of its firmware.
    pub firmware_version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> AzureEvidence {
        let pcr = |index| TpmPcr { index, value: Digest32([index; 32]) };
        let quote = AzureTpmQuote { attest: vec![1, 2], signature: vec![3], pcrs: vec![pcr(0), pcr(7)] };
        AzureEvidence { blob: b"HCLA".to_vec(), tpm_quote: Some(quote), td_quote: Some(vec![4]) }
    }

    #[test]
    fn a_body_has_one_spelling_and_its_own_beginning() {
        let bytes = evidence().to_bytes();
        assert!(bytes.starts_with(&AzureEvidence::prefix()) && !bytes.starts_with(b"HCLA"));
        assert_eq!(AzureEvidence::from_bytes(&bytes), Ok(evidence()));
        let mut other = bytes.clone();
        other[5] ^= 1;
        assert!(AzureEvidence::from_bytes(&other).is_err());
        for length in 0..bytes.len() {
            assert!(AzureEvidence::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn pcrs_ascend_and_exist() {
        let with = |indices: [u8; 2]| {
            let mut evidence = evidence();
            let quote = evidence.tpm_quote.as_mut().unwrap();
            quote.pcrs = indices.map(|index| TpmPcr { index, value: Digest32([0; 32]) }).to_vec();
            AzureEvidence::from_bytes(&evidence.to_bytes()).is_ok()
        };
        assert!(with([0, 23]));
        for indices in [[1, 1], [2, 1], [3, 24]] {
            assert!(!with(indices), "{indices:?}");
        }
    }
}
