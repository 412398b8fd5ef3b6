//! **Duty.** One appraisal to be made, from files to result: the same for `appraise` and for the cases of a policy.
//! **Does not know** why it is made.

use std::path::PathBuf;

use weighbridge_appraisal::{Appraisal, Asked, EvidenceGrounds, Roster, appraise_devices, appraise_set};
use weighbridge_attest_types::{AppraisalPolicy, Canonical as _, EvidenceKind, RunManifest, TrustAnchors, UnixMillis};

use super::SET;
use crate::error::CliError;
use crate::evidence::{self, EndorsementFiles};
use crate::files;

/// Longest run manifest. The cap of a bundle's members is larger than any manifest with a full roster.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// What is asked.
#[derive(Debug)]
pub(in crate::cli) struct Question {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) evidence: Vec<PathBuf>,
    pub(in crate::cli) asked: Option<Asked>,
    pub(in crate::cli) roster: Option<Roster>,
    pub(in crate::cli) manifest: Option<PathBuf>,
}

impl Question {
    /// Reads the evidence and judges it.
    pub(in crate::cli) fn appraise(
        &self,
        endorsements: &mut EndorsementFiles,
        policy: &AppraisalPolicy,
        anchors: &TrustAnchors,
        at: UnixMillis,
    ) -> Result<Appraisal, CliError> {
        let roster = self.roster.as_ref();
        if self.kind == SET {
            let (set, digest) = evidence::read_set(&self.evidence)?;
            let manifest = self.read_manifest()?;
            let grounds = EvidenceGrounds { endorsements: &endorsements.recognised, anchors, policy, at };
            let appraisal = appraise_set(&set, digest, self.asked, roster, manifest.as_ref(), &grounds);
            return Ok(appraisal.with_unread(&endorsements.unread()));
        }
        if self.manifest.is_some() {
            return Err(CliError::ManifestWithoutSet);
        }
        let kind = EvidenceKind::new(&self.kind);
        let mut found = evidence::read_evidence(&kind, &self.evidence)?;
        found.chains.extend(endorsements.chains.iter().cloned());
        endorsements.are_for(found.pieces.len());
        let grounds = EvidenceGrounds { endorsements: &endorsements.recognised, anchors, policy, at };
        let appraisal = appraise_devices(&kind, &found.pieces, &found.chains, self.asked, roster, &grounds);
        Ok(appraisal.with_unread(&endorsements.unread()))
    }

    fn read_manifest(&self) -> Result<Option<RunManifest>, CliError> {
        let Some(path) = &self.manifest else { return Ok(None) };
        let bytes = files::read_capped(path, MAX_MANIFEST_BYTES)?;
        let part = "run-manifest";
        let refused = |source| CliError::Part { path: path.clone(), part, source };
        RunManifest::from_bytes(&bytes).map(Some).map_err(refused)
    }
}
