//! **Duty.** Knows AMD's certificates and revocation lists by their content, in DER, PEM or a host's table, and reads them.
//! **Does not know** whether anybody signed them. **Spec.** EVIDENCE §0 rule 5, §3.2, §3.4.

use weighbridge_attest_types::{Digest32, sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::chain::signs;
use super::table;
use super::vek::{VekFacts, read_facts, signer_of};
use crate::budget::{MAX_CHAIN_BYTES, MAX_CRL_BYTES};
use crate::crl::RevocationList;
use crate::description::VendorStatement;
use crate::error::Failure;
use crate::memo::Memo;
use crate::pem::pem_certificates;
use crate::x509::common_name;

const DER_SEQUENCE: u8 = 0x30;
const PEM: &[u8] = b"-----BEGIN ";
/// Found in every VEK: the arcs 1.3.6.1.4.1.3704.1 of AMD's extensions.
const AMD_ARCS: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];
/// Begins the name of every root key, and of every other key that signs.
const ROOT_PREFIX: &str = "ARK-";
const ISSUER_PREFIX: &str = "SEV-";
/// Found in every other certificate and list, as subject or issuer.
const ROOT_NAMES: [&[u8]; 3] = [b"ARK-Milan", b"ARK-Genoa", b"ARK-Turin"];

/// One file: certificates, a revocation list, or a host's table of both.
#[derive(Debug, Default)]
pub(crate) struct AmdFile {
    /// In the order of the file.
    pub(super) certificates: Vec<AmdCertificate>,
    /// In the order of the file.
    pub(super) lists: Vec<RevocationList>,
}

impl AmdFile {
    /// Each certificate, and each list.
    pub(super) fn describe(&self) -> Vec<VendorStatement> {
        let certificates = self.certificates.iter().map(AmdCertificate::describe);
        certificates.chain(self.lists.iter().map(RevocationList::describe)).collect()
    }
}

/// A certificate, and what it takes to know whether it is the one that a report needs: a bundle has thousands of
/// reports, and certificates of which each needs three.
#[derive(Debug)]
pub(crate) struct AmdCertificate {
    der: Vec<u8>,
    digest: Digest32,
    /// By the digest of another certificate: whether its key signed this one.
    signed_by: Memo<bool>,
    /// By the digest of the certificates above: what `sev` says about the chain that this one ends.
    second_reading: Memo<Result<(), String>>,
    /// As it stands in the certificate.
    pub(super) subject: Vec<u8>,
    pub(super) claims: Claims,
}

/// What a certificate's name says it is.
#[derive(Debug)]
pub(super) enum Claims {
    /// VCEK or VLEK.
    Vek(Result<VekFacts, Failure>),
    /// ARK.
    Root,
    /// ASK or ASVK.
    Issuer,
}

impl AmdCertificate {
    /// A certificate without one of the names that AMD gives is no certificate of AMD's, whatever else is in it.
    fn new(certificate: &X509Certificate<'_>, der: &[u8]) -> Result<Self, Failure> {
        let claims = match (signer_of(certificate), common_name(certificate)) {
            (Some(_), _) => Claims::Vek(read_facts(certificate)),
            (None, Some(name)) if name.starts_with(ROOT_PREFIX) => Claims::Root,
            (None, Some(name)) if name.starts_with(ISSUER_PREFIX) => Claims::Issuer,
            _ => return Err(unreadable("its subject is no name of AMD's (ARK-…, SEV-…)".to_owned())),
        };
        let subject = certificate.subject().as_raw().to_vec();
        let (signed_by, second_reading) = (Memo::default(), Memo::default());
        Ok(Self { der: der.to_vec(), digest: sha256(der), signed_by, second_reading, subject, claims })
    }

    /// Whether the key of `issuer` signed this certificate. Neither time nor anchors have a say in it.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let ask = || self.parse().zip(issuer.parse()).is_some_and(|(own, issuer)| signs(&issuer, &own));
        self.signed_by.get_or(issuer.digest, ask)
    }

    /// What `ask` says about this VEK below `issuer` and `root`, asked once.
    pub(super) fn second_reading(
        &self,
        [issuer, root]: [&Self; 2],
        ask: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        self.second_reading.get_or(sha256(&[issuer.digest.0, root.digest.0].concat()), ask)
    }

    fn describe(&self) -> VendorStatement {
        let statement = VendorStatement::certificate_der("certificate", &self.der);
        match &self.claims {
            Claims::Vek(Ok(facts)) => VendorStatement { about: facts.describe(), ..statement },
            Claims::Vek(Err(_)) | Claims::Root | Claims::Issuer => statement,
        }
    }

    /// Again: it was read once, when it was recognised.
    pub(super) fn parse(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, certificate)| certificate)
    }
}

/// `None`: not AMD's.
pub(super) fn recognise(bytes: &[u8]) -> Option<Result<AmdFile, Failure>> {
    if table::is_table(bytes) {
        return Some(read_table(bytes));
    }
    if bytes.starts_with(PEM) {
        // What is no PEM is nobody's: its content cannot be looked into.
        let ders = pem_certificates(bytes).ok()?;
        return ders.iter().any(|der| is_amds(der)).then(|| read_certificates(&ders));
    }
    is_amds(bytes).then(|| read_der(bytes))
}

/// Every piece must be one of AMD's files; a table holds no further table.
fn read_table(bytes: &[u8]) -> Result<AmdFile, Failure> {
    let mut whole = AmdFile::default();
    for piece in table::pieces(bytes).map_err(|error| Failure::new(error.code(), error.to_string()))? {
        let file = if piece.starts_with(PEM) {
            read_certificates(&pem_certificates(piece).map_err(|error| unreadable(error.to_string()))?)?
        } else {
            read_der(piece)?
        };
        whole.certificates.extend(file.certificates);
        whole.lists.extend(file.lists);
    }
    Ok(whole)
}

fn is_amds(der: &[u8]) -> bool {
    let contains = |wanted: &[u8]| der.windows(wanted.len()).any(|window| window == wanted);
    der.first() == Some(&DER_SEQUENCE) && (contains(AMD_ARCS) || ROOT_NAMES.into_iter().any(contains))
}

fn read_der(bytes: &[u8]) -> Result<AmdFile, Failure> {
    if bytes.len() > MAX_CRL_BYTES {
        return Err(unreadable(format!("{} bytes are over the cap of {MAX_CRL_BYTES}", bytes.len())));
    }
    match RevocationList::read(bytes) {
        Some(list) => Ok(AmdFile { certificates: Vec::new(), lists: vec![list] }),
        None => read_certificates(&[bytes.to_vec()]),
    }
}

fn read_certificates(ders: &[Vec<u8>]) -> Result<AmdFile, Failure> {
    let mut certificates = Vec::with_capacity(ders.len());
    for der in ders {
        if der.len() > MAX_CHAIN_BYTES {
            return Err(unreadable(format!("a certificate of {} bytes is too long", der.len())));
        }
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => certificates.push(AmdCertificate::new(&certificate, der)?),
            Ok(_) => return Err(unreadable("bytes follow the certificate".to_owned())),
            Err(why) => return Err(unreadable(format!("neither a certificate nor a revocation list: {why}"))),
        }
    }
    Ok(AmdFile { certificates, lists: Vec::new() })
}

fn unreadable(message: String) -> Failure {
    Failure::new("amd-endorsement-unreadable", message)
}
