//! **Duty.** Vendors' statements that came along, recognised by content and parsed once, however much evidence they are
//! then held against. **Knows** the table of schemes. **Does not know** whether a statement is signed: what is here is
//! still a rumour. **Spec.** EVIDENCE §0 rule 5, §2.3.

use std::any::{Any, TypeId};

use crate::budget::{MAX_ENDORSEMENT_BYTES, MAX_ENDORSEMENTS, MAX_STORE_BYTES, MAX_STORE_FILES};
use crate::description::VendorStatement;
use crate::error::{EvidenceError, Failure};
use crate::known_chains::KnownChains;
use crate::scheme::Scheme;
use crate::schemes::recognise;

/// Endorsement files, parsed.
#[derive(Debug, Default)]
pub struct Endorsements {
    recognised: Vec<Recognised>,
    unrecognised: Vec<usize>,
    too_many: Option<Failure>,
    /// Handed over for one piece of evidence, not for a fleet.
    addressed: bool,
    known_chains: KnownChains,
}

/// A file that some scheme knows as its own.
#[derive(Debug)]
pub(crate) struct Recognised {
    /// The scheme's type of endorsement, also where it could not be read.
    of: TypeId,
    kind: &'static str,
    index: usize,
    content: Result<Box<dyn Any + Send + Sync>, Failure>,
    describe: fn(&dyn Any) -> Vec<VendorStatement>,
}

impl Endorsements {
    /// Asks every scheme about every file. Beyond 64 files or 4 MiB nothing is read, and whatever is held against these
    /// endorsements is untrusted.
    #[must_use]
    pub fn recognise(files: &[Vec<u8>]) -> Self {
        Self::recognise_within(files, MAX_ENDORSEMENTS, MAX_ENDORSEMENT_BYTES)
    }

    /// The same for a store of the Verifier's own, which serves a whole fleet: 4,096 files or 64 MiB.
    #[must_use]
    pub fn recognise_store(files: &[Vec<u8>]) -> Self {
        Self::recognise_within(files, MAX_STORE_FILES, MAX_STORE_BYTES)
    }

    fn recognise_within(files: &[Vec<u8>], most: usize, most_bytes: usize) -> Self {
        let mut found = Self::default();
        let total = files.iter().fold(0usize, |total, file| total.saturating_add(file.len()));
        if files.len() > most || total > most_bytes {
            let count = files.len();
            let message =
                format!("{count} endorsements of {total} bytes; give at most {most} of {most_bytes} bytes in all");
            found.too_many = Some(Failure::new("endorsements-too-many", message));
            return found;
        }
        for (index, bytes) in files.iter().enumerate() {
            match recognise(bytes) {
                Some(recognised) => found.recognised.push(recognised.at(index)),
                None => found.unrecognised.push(index),
            }
        }
        found
    }

    /// The same, handed over for one piece of evidence: a statement that is about something else is then no neighbour's,
    /// and is refused where what it should have endorsed stays open.
    #[must_use]
    pub const fn addressed(mut self) -> Self {
        self.addressed = true;
        self
    }

    /// Whether all were handed over for one piece of evidence.
    pub(crate) const fn are_addressed(&self) -> bool {
        self.addressed
    }

    /// Places of the files that no scheme knows: junk, or for a technology that nothing here has learned.
    #[must_use]
    pub fn unrecognised(&self) -> &[usize] {
        &self.unrecognised
    }

    /// Files that a scheme knows as its own and cannot read, each with its place.
    pub fn unreadable(&self) -> impl Iterator<Item = &Failure> {
        self.recognised.iter().filter_map(|item| item.content.as_ref().err())
    }

    /// What each file that some scheme knows says about itself, in the order given: its place, the kind of evidence it is
    /// for, and its statements, or why it cannot be read.
    pub fn described(&self) -> impl Iterator<Item = (usize, &'static str, Result<Vec<VendorStatement>, &Failure>)> {
        self.recognised.iter().map(|item| (item.index, item.kind, item.statements()))
    }

    /// Whether all were read.
    ///
    /// # Errors
    /// [`EvidenceError::Untrusted`] (`endorsements-too-many`).
    pub fn within_budget(&self) -> Result<(), EvidenceError> {
        match &self.too_many {
            Some(failure) => Err(EvidenceError::Untrusted(failure.clone().into())),
            None => Ok(()),
        }
    }

    /// Chains of devices that were held against an anchor before.
    pub(crate) const fn known_chains(&self) -> &KnownChains {
        &self.known_chains
    }

    /// Those of one scheme that could be read.
    pub(crate) fn readable_as<T: Any>(&self) -> impl Iterator<Item = &T> {
        self.recognised.iter().filter_map(|item| item.content.as_ref().ok()?.downcast_ref())
    }

    /// Those of one scheme that could not.
    pub(crate) fn unreadable_as<T: Any>(&self) -> impl Iterator<Item = &Failure> {
        let ours = self.recognised.iter().filter(|item| item.of == TypeId::of::<T>());
        ours.filter_map(|item| item.content.as_ref().err())
    }
}

impl Recognised {
    /// What a scheme says about a file of its own.
    pub(crate) fn new<S: Scheme>(content: Result<S::Endorsement, Failure>) -> Self {
        let content = content.map(|content| Box::new(content) as Box<dyn Any + Send + Sync>);
        let (of, describe) = (TypeId::of::<S::Endorsement>(), describe_as::<S> as fn(&dyn Any) -> _);
        Self { of, kind: S::KIND, index: 0, content, describe }
    }

    fn at(self, index: usize) -> Self {
        let named = |failure: Failure| Failure::new(failure.code, format!("endorsement {index}: {}", failure.message));
        Self { content: self.content.map_err(named), index, ..self }
    }

    fn statements(&self) -> Result<Vec<VendorStatement>, &Failure> {
        self.content.as_ref().map(|content| (self.describe)(content.as_ref()))
    }
}

fn describe_as<S: Scheme>(content: &dyn Any) -> Vec<VendorStatement> {
    content.downcast_ref().map(S::describe).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::Culprit;

    use super::*;

    #[test]
    fn files_are_known_by_content_and_junk_by_its_place() {
        let files = [&b"junk"[..], b" {\"tcb_info\": 3}", b"{}", b"", b"[\"tcb_info\"]"].map(<[u8]>::to_vec);
        let found = Endorsements::recognise(&files);
        assert_eq!(found.unrecognised(), [0, 2, 3, 4]);
        assert_eq!(found.within_budget(), Ok(()));
        let unreadable: Vec<&Failure> = found.unreadable().collect();
        assert_eq!((unreadable.len(), unreadable[0].code), (1, "collateral-unreadable"));
        assert!(unreadable[0].message.starts_with("endorsement 1: "), "{unreadable:?}");
        assert_eq!(found.unreadable_as::<u8>().count(), 0);
        assert_eq!(found.readable_as::<u8>().count(), 0);
    }

    #[test]
    fn beyond_the_caps_nothing_is_read() {
        let over = |files: &[Vec<u8>]| {
            let found = Endorsements::recognise(files);
            let error = found.within_budget().err()?;
            assert_eq!((found.recognised.len(), found.unrecognised().len()), (0, 0));
            Some((error.code(), error.culprit()))
        };
        let refused = Some(("endorsements-too-many", Culprit::Untrusted));
        assert_eq!(over(&vec![vec![]; MAX_ENDORSEMENTS]), None);
        assert_eq!(over(&vec![vec![]; MAX_ENDORSEMENTS + 1]), refused);
        assert_eq!(over(&[vec![0; MAX_ENDORSEMENT_BYTES]]), None);
        assert_eq!(over(&[vec![0; MAX_ENDORSEMENT_BYTES], vec![0]]), refused);
    }
}
