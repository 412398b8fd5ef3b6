//! **Duty.** Knows NVIDIA's manifests, OCSP responses and revocation lists by their content, and reads them. **Does not
//! know** whether NVIDIA signed them. **Spec.** EVIDENCE §0 rule 5, §1.5, §1.7.

use super::ocsp::{self, OcspFile};
use super::rim::Rim;
use crate::budget::MAX_CRL_BYTES;
use crate::crl::RevocationList;
use crate::endorsements::Endorsements;
use crate::error::Failure;

const DER_SEQUENCE: u8 = 0x30;
/// The root of every manifest.
const MANIFEST: &[u8] = b"SoftwareIdentity";
/// In the name of every authority of NVIDIA's.
const VENDOR: &[u8] = b"NVIDIA";

/// One file.
#[derive(Debug)]
pub(crate) enum NvidiaFile {
    /// A reference manifest.
    Rim(Box<Rim>),
    /// An OCSP response.
    Ocsp(Box<OcspFile>),
    /// A revocation list.
    Crl(RevocationList),
}

/// `None`: not NVIDIA's.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Result<NvidiaFile, Failure>> {
    if bytes.trim_ascii_start().starts_with(b"<") && contains(bytes, MANIFEST) {
        return Some(Rim::parse(bytes).map(|rim| NvidiaFile::Rim(Box::new(rim))));
    }
    if ocsp::looks_like(bytes) {
        return Some(OcspFile::parse(bytes).map(|response| NvidiaFile::Ocsp(Box::new(response))));
    }
    let may_be_list = bytes.first() == Some(&DER_SEQUENCE) && bytes.len() <= MAX_CRL_BYTES && contains(bytes, VENDOR);
    let list = may_be_list.then(|| RevocationList::read(bytes)).flatten()?;
    contains(list.issuer(), VENDOR).then_some(Ok(NvidiaFile::Crl(list)))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The files that came along, by what they are.
#[derive(Debug, Default)]
pub(super) struct Given<'e> {
    pub(super) rims: Vec<&'e Rim>,
    pub(super) responses: Vec<&'e OcspFile>,
    pub(super) lists: Vec<&'e RevocationList>,
    /// All of them were handed over for this one piece of evidence.
    pub(super) addressed: bool,
}

impl<'e> Given<'e> {
    pub(super) fn read(endorsements: &'e Endorsements) -> Self {
        let mut given = Self { addressed: endorsements.are_addressed(), ..Self::default() };
        for file in endorsements.readable_as::<NvidiaFile>() {
            match file {
                NvidiaFile::Rim(rim) => given.rims.push(rim),
                NvidiaFile::Ocsp(response) => given.responses.push(response),
                NvidiaFile::Crl(list) => given.lists.push(list),
            }
        }
        given
    }
}
