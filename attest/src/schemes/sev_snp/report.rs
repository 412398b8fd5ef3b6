//! **Duty.** The report's structure, read by own code over the raw bytes: exact size, known version, fixed algorithm,
//! every reserved byte zero. **Does not know** any key. **Spec.** EVIDENCE §3.1.

use weighbridge_attest_types::{SnpGuestPolicy, SnpProduct, SnpSigner, SnpTcb};

use crate::error::{EvidenceError, Failure};
use crate::reader::Reader;

const CODE: &str = "snp-report";
/// Source: EVIDENCE §0 rule 5; the firmware knows no other size.
const REPORT_BYTES: usize = 1184;
/// What the signature covers.
const SIGNED_BYTES: usize = 0x2a0;
/// Between the last field of version 2 and the signature.
const TAIL_BYTES: usize = SIGNED_BYTES - 0x1f8;
const ECDSA_P384_SHA384: u32 = 1;
const SCALAR_BYTES: usize = 48;
const SCALAR_FIELD_BYTES: usize = 72;

/// A parsed report, still a rumour.
#[derive(Debug)]
pub(crate) struct SnpReport<'a> {
    body: &'a [u8],
    signed: &'a [u8],
    pub(super) version: u32,
    pub(super) guest_svn: u32,
    pub(super) policy: SnpGuestPolicy,
    pub(super) family_id: [u8; 16],
    pub(super) image_id: [u8; 16],
    pub(super) vmpl: u32,
    pub(super) platform_info: u64,
    pub(super) signer: SnpSigner,
    pub(super) author_key: bool,
    pub(super) report_data: [u8; 64],
    pub(super) measurement: [u8; 48],
    pub(super) host_data: [u8; 32],
    pub(super) id_key_digest: [u8; 48],
    pub(super) author_key_digest: [u8; 48],
    /// Family, model, stepping; versions 3 and later.
    pub(super) cpuid: Option<[u8; 3]>,
    pub(super) chip_id: [u8; 64],
    pub(super) current_tcb: RawTcb,
    pub(super) reported_tcb: RawTcb,
    pub(super) committed_tcb: RawTcb,
    pub(super) launch_tcb: RawTcb,
    /// At launch, now; version 5.
    pub(super) mitigations: Option<[u64; 2]>,
    /// r ‖ s, big-endian, as ring wants it.
    pub(super) signature: [u8; 2 * SCALAR_BYTES],
}

/// Eight bytes whose layout depends on the product, which only the chain names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTcb(pub(super) [u8; 8]);

impl RawTcb {
    /// Reads the parts; `None` when a reserved byte is not zero.
    pub(super) const fn read(self, product: SnpProduct) -> Option<SnpTcb> {
        match (product, self.0) {
            (SnpProduct::Milan | SnpProduct::Genoa, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Some(SnpTcb { fmc: None, bootloader, tee, snp, microcode })
            }
            (SnpProduct::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => {
                Some(SnpTcb { fmc: Some(fmc), bootloader, tee, snp, microcode })
            }
            _ => None,
        }
    }
}

impl<'a> SnpReport<'a> {
    /// Reads all 1,184 bytes.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, EvidenceError> {
        if body.len() != REPORT_BYTES {
            return Err(malformed(format!("a report has {REPORT_BYTES} bytes, this has {}", body.len())));
        }
        let signed = body.get(..SIGNED_BYTES).unwrap_or_default();
        let mut reader = Reader::new(body, CODE);
        let version = u32_of(&mut reader, "version")?;
        if !(2..=5).contains(&version) {
            let message = format!("version {version} of the report is not known here; known are 2 to 5");
            return Err(EvidenceError::Malformed(Failure::new("snp-report-version", message).into()));
        }
        let guest_svn = u32_of(&mut reader, "guest_svn")?;
        let policy = SnpGuestPolicy(u64_of(&mut reader, "policy")?);
        let (family_id, image_id) = (reader.array("family_id")?, reader.array("image_id")?);
        let vmpl = u32_of(&mut reader, "vmpl")?;
        let algorithm = u32_of(&mut reader, "signature algorithm")?;
        if algorithm != ECDSA_P384_SHA384 {
            return Err(malformed(format!("signature algorithm {algorithm} is not ECDSA P-384 with SHA-384")));
        }
        let current_tcb = RawTcb(reader.array("current_tcb")?);
        let platform_info = u64_of(&mut reader, "platform_info")?;
        let flags = u32_of(&mut reader, "flags")?;
        let signer = signer_of(flags)?;
        zero(&mut reader, 4, "the bytes before report_data")?;
        let (report_data, measurement) = (reader.array("report_data")?, reader.array("measurement")?);
        let host_data = reader.array("host_data")?;
        let (id_key_digest, author_key_digest) = (reader.array("id_key_digest")?, reader.array("author_key_digest")?);
        reader.take(64, "report_id and report_id_ma")?;
        let reported_tcb = RawTcb(reader.array("reported_tcb")?);
        let cpuid = read_cpuid(&mut reader, version)?;
        let chip_id = reader.array("chip_id")?;
        let committed_tcb = RawTcb(reader.array("committed_tcb")?);
        for what in ["the byte after the current version", "the byte after the committed version"] {
            reader.take(3, "a firmware version")?;
            zero(&mut reader, 1, what)?;
        }
        let launch_tcb = RawTcb(reader.array("launch_tcb")?);
        let mitigations = read_mitigations(&mut reader, version)?;
        let signature = read_signature(&mut reader)?;
        let padding = reader.rest().len();
        // Unsigned: other bytes here would give one report any number of digests. Two it has all the same: beside (r, s)
        // stands (r, n − s), and both verify. A report is the one that a roster's or a ledger's digest names.
        zero(&mut reader, padding, "the bytes after the signature")?;
        Ok(Self {
            body,
            signed,
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            platform_info,
            signer,
            author_key: flags & 1 != 0,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            cpuid,
            chip_id,
            current_tcb,
            reported_tcb,
            committed_tcb,
            launch_tcb,
            mitigations,
            signature,
        })
    }

    /// What the signature covers, as received.
    pub(super) const fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// All of it, without a byte that nothing covers. Whoever swaps s for n − s has a second spelling that verifies: what
    /// refuses that one is the digest of the evidence in the roster and in the ledger, not this.
    pub(super) const fn canonical(&self) -> &'a [u8] {
        self.body
    }

    /// The host keeps the chip's id back.
    pub(super) fn chip_id_is_masked(&self) -> bool {
        self.chip_id == [0; 64]
    }
}

fn signer_of(flags: u32) -> Result<SnpSigner, EvidenceError> {
    if flags >> 5 != 0 {
        return Err(malformed(format!("reserved key flags are set: {flags:#x}")));
    }
    match flags >> 2 {
        0 => Ok(SnpSigner::Vcek),
        1 => Ok(SnpSigner::Vlek),
        7 => Err(malformed("the report is not signed (signer 7)".to_owned())),
        other => Err(malformed(format!("signer {other} is not known"))),
    }
}

fn read_cpuid(reader: &mut Reader<'_>, version: u32) -> Result<Option<[u8; 3]>, EvidenceError> {
    let cpuid = reader.array("CPUID")?;
    zero(reader, 21, "the bytes before chip_id")?;
    match (version, cpuid) {
        (3.., cpuid) => Ok(Some(cpuid)),
        (_, [0, 0, 0]) => Ok(None),
        _ => Err(malformed("CPUID is set in version 2, which has none".to_owned())),
    }
}

fn read_mitigations(reader: &mut Reader<'_>, version: u32) -> Result<Option<[u64; 2]>, EvidenceError> {
    if version < 5 {
        zero(reader, TAIL_BYTES, "the bytes before the signature")?;
        return Ok(None);
    }
    let vectors = [u64_of(reader, "launch mitigation vector")?, u64_of(reader, "current mitigation vector")?];
    zero(reader, TAIL_BYTES - 16, "the bytes before the signature")?;
    Ok(Some(vectors))
}

/// Two little-endian fields that are longer than a scalar of the curve.
fn read_signature(reader: &mut Reader<'_>) -> Result<[u8; 2 * SCALAR_BYTES], EvidenceError> {
    let mut big_endian = Vec::with_capacity(2 * SCALAR_BYTES);
    for what in ["r", "s"] {
        let scalar: [u8; SCALAR_BYTES] = reader.array(what)?;
        big_endian.extend(scalar.iter().rev());
        zero(reader, SCALAR_FIELD_BYTES - SCALAR_BYTES, &format!("the bytes of {what} above 48"))?;
    }
    big_endian.try_into().map_err(|_| malformed("r and s are not 96 bytes".to_owned()))
}

fn zero(reader: &mut Reader<'_>, count: usize, what: &str) -> Result<(), EvidenceError> {
    match reader.take(count, what)?.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(malformed(format!("{what} are not zero"))),
    }
}

fn u32_of(reader: &mut Reader<'_>, what: &str) -> Result<u32, EvidenceError> {
    Ok(u32::from_le_bytes(reader.array(what)?))
}

fn u64_of(reader: &mut Reader<'_>, what: &str) -> Result<u64, EvidenceError> {
    Ok(u64::from_le_bytes(reader.array(what)?))
}

fn malformed(message: String) -> EvidenceError {
    EvidenceError::Malformed(Failure::new(CODE, message).into())
}
