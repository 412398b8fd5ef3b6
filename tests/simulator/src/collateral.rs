//! **Duty.** Collateral as Intel's service answers it: TCB info version 3, QE identity version 2, both revocation
//! lists, gathered as `QuoteCollateralV3` JSON. **Does not know** quotes. **Spec.** EVIDENCE §2.3–2.4.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use weighbridge_attest_types::UnixMillis;

use crate::intel::{FMSPC, IntelPki, PCE_ID, PlatformTcb};
use crate::keys::Seed;
use crate::pki::{self, Validity};
use crate::tdx::{MIN_QE_ISV_SVN, QE_ISV_PROD_ID, qe_mrsigner};

/// A fixed number: simulated collateral has one evaluation.
const EVALUATION_NUMBER: u32 = 18;
/// Advisory of the lower level. No vendor has such a number.
const ADVISORY: &str = "SIMULATED-SA-00001";
const RECENT: &str = "2024-11-13T00:00:00Z";
const OLD: &str = "2024-03-13T00:00:00Z";

/// Who owns each SGX component, in Intel's words.
const SGX_COMPONENTS: [(&str, &str); 8] = [
    ("BIOS", "Early Microcode Update"),
    ("OS/VMM", "SGX Late Microcode Update"),
    ("OS/VMM", "TXT SINIT"),
    ("BIOS", ""),
    ("BIOS", ""),
    ("BIOS", ""),
    ("", ""),
    ("OS/VMM", "SEAMLDR ACM"),
];
/// Who owns each TDX component.
const TDX_COMPONENTS: [(&str, &str); 3] =
    [("OS/VMM", "TDX Module"), ("OS/VMM", "TDX Module"), ("OS/VMM", "TDX Late Microcode Update")];

/// What a breaker may change about collateral without touching a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollateralOptions {
    /// `issueDate` of TCB info and QE identity.
    pub issued: UnixMillis,
    /// `nextUpdate` of TCB info and QE identity.
    pub next_update: UnixMillis,
    /// `thisUpdate` of both revocation lists.
    pub crl_issued: UnixMillis,
    /// `nextUpdate` of both revocation lists.
    pub crl_next_update: UnixMillis,
    /// Serial numbers of revoked PCK certificates ([`TdxPlatform::pck_serial`](crate::TdxPlatform::pck_serial)).
    pub revoked: Vec<Vec<u8>>,
    /// Authorities and signers that the root takes back.
    pub revoked_by_root: Vec<IntelCertificate>,
    /// Dates of one piece alone: from, until.
    pub windows: Vec<(CollateralPiece, UnixMillis, UnixMillis)>,
    /// Changes of the two statements before they are signed: statement, JSON pointer, value.
    pub edits: Vec<(CollateralPiece, &'static str, Value)>,
}

/// A dated piece of collateral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollateralPiece {
    /// Statement about the platform model.
    TcbInfo,
    /// Statement about the Quoting Enclave.
    QeIdentity,
    /// The root's revocation list.
    RootList,
    /// The PCK authority's revocation list.
    PckList,
}

/// A certificate of the Intel-like PKI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntelCertificate {
    /// The root.
    Root,
    /// The PCK Platform CA.
    PlatformAuthority,
    /// A platform's own.
    Pck,
    /// The signer of TCB info and QE identity.
    TcbSigner,
}

impl CollateralOptions {
    fn window(&self, piece: CollateralPiece) -> Validity {
        let common = match piece {
            CollateralPiece::TcbInfo | CollateralPiece::QeIdentity => (self.issued, self.next_update),
            CollateralPiece::RootList | CollateralPiece::PckList => (self.crl_issued, self.crl_next_update),
        };
        let own = self.windows.iter().find(|(of, ..)| *of == piece).map(|(_, from, until)| (*from, *until));
        let (from, until) = own.unwrap_or(common);
        Validity { from: pki::instant(from), until: pki::instant(until) }
    }

    /// A statement as it is signed.
    fn edited(&self, piece: CollateralPiece, mut statement: Value) -> String {
        for (_, pointer, value) in self.edits.iter().filter(|(of, ..)| *of == piece) {
            *statement.pointer_mut(pointer).expect("a field of the statement") = value.clone();
        }
        statement.to_string()
    }
}

/// The whole collateral, signed.
pub(crate) fn collateral_json(intel: &IntelPki, seed: Seed, options: &CollateralOptions) -> Vec<u8> {
    let tcb_info = options.edited(CollateralPiece::TcbInfo, tcb_info(options.window(CollateralPiece::TcbInfo)));
    let identity = qe_identity(seed, options.window(CollateralPiece::QeIdentity));
    let qe_identity = options.edited(CollateralPiece::QeIdentity, identity);
    let by_root: Vec<Vec<u8>> = options.revoked_by_root.iter().map(|which| intel.serial_of(*which)).collect();
    let root_list = intel.root.revocation_list(options.window(CollateralPiece::RootList), &by_root);
    let pck_list = intel.platform.revocation_list(options.window(CollateralPiece::PckList), &options.revoked);
    let collateral = json!({
        "pck_crl_issuer_chain": intel.platform_chain(),
        "root_ca_crl": hex::encode(root_list),
        "pck_crl": hex::encode(pck_list),
        "tcb_info_issuer_chain": intel.tcb_chain(),
        "tcb_info_signature": hex::encode(intel.tcb_key.sign_raw(tcb_info.as_bytes())),
        "tcb_info": tcb_info,
        "qe_identity_issuer_chain": intel.tcb_chain(),
        "qe_identity_signature": hex::encode(intel.tcb_key.sign_raw(qe_identity.as_bytes())),
        "qe_identity": qe_identity,
    });
    collateral.to_string().into_bytes()
}

/// Two levels: `UpToDate`, and below it `OutOfDate`.
fn tcb_info(validity: Validity) -> Value {
    let module = |minimum: u8, date: &str, status: &str, advisories: &[&str]| {
        let level = json!({ "tcb": { "isvsvn": minimum }, "tcbDate": date, "tcbStatus": status });
        with_advisories(level, advisories)
    };
    let identity = |id: &str, levels: Vec<Value>| {
        json!({
            "id": id,
            "mrsigner": "0".repeat(96),
            "attributes": "0".repeat(16),
            "attributesMask": "F".repeat(16),
            "tcbLevels": levels,
        })
    };
    json!({
        "id": "TDX",
        "version": 3,
        "issueDate": date(validity.from),
        "nextUpdate": date(validity.until),
        "fmspc": hex::encode_upper(FMSPC),
        "pceId": hex::encode_upper(PCE_ID),
        "tcbType": 0,
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "tdxModule": { "mrsigner": "0".repeat(96), "attributes": "0".repeat(16), "attributesMask": "F".repeat(16) },
        "tdxModuleIdentities": [
            identity("TDX_03", vec![module(3, RECENT, "UpToDate", &[])]),
            identity("TDX_01", vec![module(6, RECENT, "UpToDate", &[]), module(4, OLD, "OutOfDate", &[ADVISORY])]),
        ],
        "tcbLevels": [
            level(&PlatformTcb::UP_TO_DATE, RECENT, "UpToDate", &[]),
            level(&PlatformTcb::OUT_OF_DATE, OLD, "OutOfDate", &[ADVISORY]),
        ],
    })
}

fn level(tcb: &PlatformTcb, date: &str, status: &str, advisories: &[&str]) -> Value {
    let level = json!({
        "tcb": {
            "sgxtcbcomponents": components(tcb.cpu_svn, &SGX_COMPONENTS),
            "pcesvn": tcb.pce_svn,
            // Components 0 and 1 are judged by the module identities; genuine levels ask for version 5, id 0 here.
            "tdxtcbcomponents": components(tdx_minimum(tcb), &TDX_COMPONENTS),
        },
        "tcbDate": date,
        "tcbStatus": status,
    });
    with_advisories(level, advisories)
}

fn tdx_minimum(tcb: &PlatformTcb) -> [u8; 16] {
    let mut minimum = tcb.tee_tcb_svn;
    (minimum[0], minimum[1]) = (5, 0);
    minimum
}

fn components(svns: [u8; 16], owners: &[(&str, &str)]) -> Vec<Value> {
    let mut all: Vec<Value> = svns.iter().map(|svn| json!({ "svn": svn })).collect();
    for (component, (category, kind)) in all.iter_mut().zip(owners) {
        for (name, text) in [("category", category), ("type", kind)] {
            if !text.is_empty() {
                component[name] = json!(text);
            }
        }
    }
    all
}

/// Attributes: INIT and MODE64BIT, the provisioning bit masked out, as in Intel's own identity.
fn qe_identity(seed: Seed, validity: Validity) -> Value {
    json!({
        "id": "TD_QE",
        "version": 2,
        "issueDate": date(validity.from),
        "nextUpdate": date(validity.until),
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(qe_mrsigner(seed)),
        "isvprodid": QE_ISV_PROD_ID,
        "tcbLevels": [{ "tcb": { "isvsvn": MIN_QE_ISV_SVN }, "tcbDate": RECENT, "tcbStatus": "UpToDate" }],
    })
}

fn with_advisories(mut level: Value, advisories: &[&str]) -> Value {
    if !advisories.is_empty() {
        level["advisoryIDs"] = json!(advisories);
    }
    level
}

fn date(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a year of four digits")
}
