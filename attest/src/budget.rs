//! **Duty.** A bound on everything from outside, with the source of each number; sizes are compared before any work.

/// Longest TDX quote. Source: EVIDENCE §0 rule 5; genuine quotes have about 5 KiB, buffers of drivers 8 or 16 KiB.
pub(crate) const MAX_TDX_QUOTE_BYTES: usize = 16 * 1024;

/// Longest NVIDIA report. Source: the NVML buffer, `NVML_CC_GPU_ATTESTATION_REPORT_SIZE` = 8192.
pub(crate) const MAX_NVIDIA_REPORT_BYTES: usize = 8 * 1024;

/// Longest certificate chain, PEM or DER. Source: EVIDENCE §0 rule 5; genuine chains have about 5 KiB.
pub(crate) const MAX_CHAIN_BYTES: usize = 16 * 1024;

/// Most certificates in one chain. Source: EVIDENCE §0 rule 5; the longest genuine chain has 5.
pub(crate) const MAX_CHAIN_CERTIFICATES: usize = 10;

/// Longest collateral file. Source: EVIDENCE §0 rule 5; genuine ones have about 21 KiB.
pub(crate) const MAX_COLLATERAL_BYTES: usize = 256 * 1024;

/// Most endorsement files beside one bundle. Source: ours; a fleet of four platform models with 16 collaterals each.
pub(crate) const MAX_ENDORSEMENTS: usize = 64;

/// Most bytes in all of them. Source: ours; 64 genuine collaterals have about 1.4 MiB.
pub(crate) const MAX_ENDORSEMENT_BYTES: usize = 4 * 1024 * 1024;

/// Most files of a store of the Verifier's own. Source: ours; a VEK certificate for each of 4,000 chips. What is tried for
/// one piece of evidence stays bounded by the numbers below.
pub(crate) const MAX_STORE_FILES: usize = 4_096;

/// Most bytes in all of them. Source: ours; 4,096 genuine VEK certificates have about 6 MiB, a list may have one.
pub(crate) const MAX_STORE_BYTES: usize = 64 * 1024 * 1024;

/// Most collateral files of one platform model that are tried for one quote. Source: ours; an archive holds the early
/// and the standard TCB evaluation of a few months, and each try costs about ten signatures.
pub(crate) const MAX_COLLATERAL_CANDIDATES: usize = 16;

/// Most device chains that are remembered as sound. Source: ours; the devices of a large fleet, 32 bytes each.
pub(crate) const MAX_KNOWN_CHAINS: usize = 16_384;

/// Longest anchor file. Source: ours; one P-384 certificate in PEM has about 800 bytes.
pub(crate) const MAX_ANCHOR_FILE_BYTES: usize = 16 * 1024;

/// Longest anchor name: it is printed on every line of a report. Source: ours.
pub(crate) const MAX_ANCHOR_NAME_BYTES: usize = 120;

/// Longest revocation list. Source: EVIDENCE §0 rule 5.
pub(crate) const MAX_CRL_BYTES: usize = 1024 * 1024;

/// Most VEK certificates that are tried for one report. Source: ours; a chip has one per TCB, and KDS dates each answer
/// anew.
pub(crate) const MAX_VEK_CANDIDATES: usize = 16;

/// Most authorities of one name whose signature is tried. Source: ours; AMD has one per name, and each try costs an RSA
/// signature per VEK.
pub(crate) const MAX_NAMESAKES: usize = 4;

/// Longest event log. Source: firmware keeps 64 to 256 KiB for it (CCEL, `log area minimum length`); dstack's JSON is shorter.
pub(crate) const MAX_EVENT_LOG_BYTES: usize = 512 * 1024;

/// Most events of one log. Source: ours; a genuine boot has some fifty, and each costs a digest.
pub(crate) const MAX_EVENTS: usize = 4096;

/// Longest HCL blob. Source: EVIDENCE §0 rule 5; the NV index of genuine ones has 2,600 bytes, older ones 2,048.
pub(crate) const MAX_HCL_BYTES: usize = 4 * 1024;

/// Longest `TPMS_ATTEST` of a quote. Source: the TPM 2.0 library bounds a TPM2B_ATTEST to 2,304 bytes; quotes have 100 to 200.
pub(crate) const MAX_TPM_ATTEST_BYTES: usize = 2304;

/// Most certificates and lists in a host's certificate table. Source: ours; the format's own document knows five kinds.
pub(crate) const MAX_TABLE_ENTRIES: usize = 16;
/// Longest reference manifest (RIM). Source: EVIDENCE §0 rule 5; genuine ones have 18 to 26 KiB.
pub(crate) const MAX_RIM_BYTES: usize = 256 * 1024;

/// Deepest element of a manifest. Source: the profile's deepest element, a Transform, is the sixth.
pub(crate) const MAX_XML_DEPTH: usize = 8;

/// Most elements of a manifest. Source: genuine ones have 85: 64 measurements, the signature, four certificates.
pub(crate) const MAX_XML_ELEMENTS: usize = 160;

/// Most attributes of one element. Source: genuine ones have at most 13; canonical form adds four declarations.
pub(crate) const MAX_XML_ATTRIBUTES: usize = 32;

/// Most attributes of a whole manifest. Source: genuine ones have about 600.
pub(crate) const MAX_XML_ATTRIBUTES_IN_ALL: usize = 1_536;

/// Most alternatives of one measurement. Source: ours; genuine manifests have at most four.
pub(crate) const MAX_RIM_ALTERNATIVES: usize = 16;

/// Most manifests of one version that are tried for one report. Source: ours; a manifest is signed anew every two years.
pub(crate) const MAX_RIM_CANDIDATES: usize = 8;

/// Longest OCSP response. Source: ours; one answer with its responder's certificate has about 2 KiB, and a responder may
/// answer for all devices of an authority at once.
pub(crate) const MAX_OCSP_BYTES: usize = 64 * 1024;

/// Most OCSP answers or revocation lists that are tried for one certificate. Source: ours; each costs two signatures.
pub(crate) const MAX_STATUS_CANDIDATES: usize = 8;

/// Longest text in a report. Source: genuine ones have at most 11 bytes with their final zero.
pub(crate) const MAX_NVIDIA_TEXT_BYTES: usize = 64;
