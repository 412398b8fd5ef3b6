//! **Duty.** One statement wanted: is a good one there already, else fetch it, look whether it is what was asked for, and
//! put it into the store. **Knows** keys and windows. **Does not know** whether what came is signed; schemes check that
//! whenever it is used. **Spec.** ECOSYSTEM §3 (13, 15).

use std::sync::Arc;

use serde::Serialize;
use weighbridge_attest_types::{Digest32, SnpTcb, UnixMillis, sha256};
use weighbridge_endorsements::{FileStatus, Key, State, Store, status};

use crate::error::FetchError;
use crate::fetcher::Fetcher;
use crate::http::Ask;
use crate::services::{Services, amd, intel, nvidia, ocsp};

/// One statement that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Whom it is about.
    pub key: Key,
    /// The OCSP question, where it is one.
    pub question: Option<Vec<u8>>,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Name in the store.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// SHA-256 of the file.
    pub sha256: Digest32,
    /// Until when all it says holds; `None` where it does not say, or nothing here can read it.
    #[serde(skip)]
    pub until: Option<UnixMillis>,
}

/// Whether it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A good one was there.
    Kept,
    /// It came from the vendor.
    Fetched,
}

impl Job {
    /// A question about a certificate.
    ///
    /// # Errors
    /// [`FetchError::Words`] when the two do not belong together.
    pub fn ocsp(certificate: &[u8], issuer: &[u8], nonce: [u8; 32]) -> Result<Self, FetchError> {
        let question = ocsp::request(certificate, issuer, nonce).map_err(FetchError::Words)?;
        Ok(Self { key: Key::NvidiaOcsp { certificate: sha256(certificate).0 }, question: Some(question) })
    }
}

impl From<Key> for Job {
    fn from(key: Key) -> Self {
        Self { key, question: None }
    }
}

/// Does a job. What lies in the store is kept while it goes on holding for `ahead_millis`, unless `refresh` is set.
///
/// # Errors
/// [`FetchError`].
pub fn fetch(
    job: &Job,
    store: &Store,
    services: &Services,
    fetcher: &Fetcher,
    refresh: bool,
    ahead_millis: u64,
) -> Result<Fetched, Arc<FetchError>> {
    let name = job.key.name();
    let of_store = |source| Arc::new(FetchError::Store(source));
    let now = fetcher.clock().wall();
    if !refresh && let Some(bytes) = store.get(&job.key).map_err(of_store)? {
        let row = look(&name, &bytes, now, ahead_millis);
        if row.state == State::Valid {
            return Ok(Fetched { name, outcome: Outcome::Kept, sha256: sha256(&bytes), until: row.until() });
        }
    }
    let (url, bytes) = ask(job, services, fetcher)?;
    let row = look(&name, &bytes, now, 0);
    check(job, &row).map_err(|why| Arc::new(FetchError::Answer { url, why }))?;
    store.put(&job.key, &bytes).map_err(of_store)?;
    Ok(Fetched { name, outcome: Outcome::Fetched, sha256: sha256(&bytes), until: row.until() })
}

/// The bytes that belong into the store, and where they came from.
fn ask(job: &Job, services: &Services, fetcher: &Fetcher) -> Result<(String, Vec<u8>), Arc<FetchError>> {
    let get = |ask: Ask| fetcher.get(&ask).map(|reply| (ask.url, reply.body.clone()));
    let refused = |url: &str, why| Arc::new(FetchError::Answer { url: url.to_owned(), why });
    match &job.key {
        Key::IntelTdx { fmspc, authority, update } => {
            let collateral = intel::collateral(*fmspc, *authority, *update, services, fetcher)?;
            Ok((services.intel.clone(), collateral))
        }
        Key::AmdChain { product, signer } => get(amd::chain(*product, *signer, services)),
        Key::AmdList { product, signer } => get(amd::list(*product, *signer, services)),
        Key::AmdVcek { product, chip, tcb } => get(amd::vcek(*product, chip, *tcb, services)),
        Key::NvidiaRim { id } => {
            let (url, answer) = get(nvidia::rim(id, services))?;
            let file = nvidia::rim_file(id, &answer).map_err(|why| refused(&url, why))?;
            Ok((url, file))
        }
        Key::NvidiaOcsp { .. } => {
            let question = job.question.clone().unwrap_or_default();
            let (url, answer) = get(nvidia::ocsp(question, services))?;
            ocsp::check_answer(&answer).map_err(|why| refused(&url, why))?;
            Ok((url, answer))
        }
    }
}

fn look(name: &str, bytes: &[u8], now: UnixMillis, ahead_millis: u64) -> FileStatus {
    let mut rows = status(&[(name.to_owned(), bytes.to_vec())], now, ahead_millis);
    // One file gives one row.
    rows.pop().unwrap_or(FileStatus {
        name: name.to_owned(),
        kind: None,
        statements: Vec::new(),
        unreadable: None,
        state: State::Unknown,
    })
}

/// A page of a captive portal, another chip's certificate or a list that has ended does not enter the store: whatever is
/// put there, schemes will be handed.
fn check(job: &Job, row: &FileStatus) -> Result<(), String> {
    if let Some(why) = &row.unreadable {
        return Err(why.clone());
    }
    let about = |wanted: &str| row.statements.iter().any(|statement| statement.about.contains(wanted));
    let is = |kind: &str, wanted: String| match (row.kind == Some(kind), about(&wanted)) {
        (false, _) => Err(format!("it is nothing that evidence of kind {kind} knows")),
        (true, false) => Err(format!("it is not about {wanted}")),
        (true, true) => Ok(()),
    };
    match &job.key {
        Key::IntelTdx { fmspc, .. } => is("tdx", format!("FMSPC {}", hex::encode(fmspc)))?,
        Key::AmdChain { product, .. } | Key::AmdList { product, .. } => {
            is("sev-snp", format!("ARK-{}", product.as_str()))?
        }
        Key::AmdVcek { chip, tcb, .. } => {
            is("sev-snp", format!("chip {}", hex::encode(chip)))?;
            let SnpTcb { fmc: _, bootloader, tee, snp, microcode } = tcb;
            is("sev-snp", format!("bootloader {bootloader} tee {tee} snp {snp} microcode {microcode},"))?;
        }
        // An id is no word of the file; a manifest of other firmware is compared with nothing.
        Key::NvidiaRim { .. } => is("nvidia-gpu", "measurements".to_owned())?,
        Key::NvidiaOcsp { .. } => is("nvidia-gpu", "serial".to_owned())?,
    }
    match row.state {
        State::Ended => Err("what it says has ended".to_owned()),
        State::NotYet => Err("what it says does not hold yet; check this machine's clock".to_owned()),
        _ => Ok(()),
    }
}
