//! **Duty.** The arguments that `verify` and `report` share: which bundle, at which instant, under which anchors.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use weighbridge_appraisal::{AppraisalTime, Outcome, VerifyOptions, verify_bundle};
use weighbridge_attest_types::{Culprit, MAX_BUNDLE_BYTES, ThresholdProfile, UnixMillis};

use crate::cli::profiles;
use crate::error::CliError;
use crate::{clock, files, instant, trust_roots};

/// For evidence under other roots than the built-in ones.
pub(super) const HINT_ANCHORS: &str = "if it was made under development roots, name their folder: --trust-roots DIR";

/// When the bundle is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At the instant that the bundle names: an old report verifies in ten years.
    Archived,
    /// By this machine's clock.
    Now,
    /// At this instant.
    Exactly(UnixMillis),
}

#[derive(Debug, Args)]
pub(super) struct Judgement {
    /// The bundle; `-` reads standard input
    bundle: PathBuf,
    /// Instant of the judgement: archived (the one the bundle names), now, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "archived|now|TIME", default_value = "archived", value_parser = At::from_str)]
    at: At,
    /// Folder of additional trust anchors (*.anchor.json); verdicts under them carry their grade
    #[arg(long, value_name = "DIR")]
    trust_roots: Option<PathBuf>,
}

/// Thresholds that are not in the bundle's own report.
#[derive(Debug, Args)]
pub(super) struct OwnProfiles {
    /// Threshold profiles of your own: files, or folders of *.json files. The run is weighed against them as well
    #[arg(long, value_name = "PATH", num_args = 1..)]
    profiles: Vec<PathBuf>,
}

impl OwnProfiles {
    /// The reader's own thresholds; one more file may have been named elsewhere.
    pub(super) fn load(&self, more: Option<&PathBuf>) -> Result<Vec<ThresholdProfile>, CliError> {
        let paths: Vec<PathBuf> = self.profiles.iter().chain(more).cloned().collect();
        profiles::load(&paths)
    }
}

impl Judgement {
    /// Reads the bundle and goes through all of it.
    pub(super) fn verify(&self) -> Result<Outcome, CliError> {
        self.verify_with_bytes().map(|(outcome, _)| outcome)
    }

    /// The same with the bytes that were judged: whoever goes on with them reads no file twice.
    pub(super) fn verify_with_bytes(&self) -> Result<(Outcome, Vec<u8>), CliError> {
        verify_file(&self.bundle, self.trust_roots.as_deref(), self.at)
    }

    pub(super) fn path(&self) -> &Path {
        &self.bundle
    }

    /// What else a person may try who meets a refusal of this class.
    pub(super) fn hints(&self, culprit: Culprit) -> Vec<&'static str> {
        let mut hints = Vec::new();
        if culprit == Culprit::Untrusted && self.trust_roots.is_none() {
            hints.push(HINT_ANCHORS);
        }
        if self.at != At::Archived {
            hints.push("it was judged at the instant of --at; --at archived judges it at the one that it names");
        }
        hints
    }
}

/// Reads a bundle and goes through all of it.
pub(super) fn verify_file(path: &Path, trust_roots: Option<&Path>, at: At) -> Result<(Outcome, Vec<u8>), CliError> {
    let anchors = trust_roots::load(trust_roots)?;
    let at = at.appraisal_time()?;
    let bytes = files::read_capped(path, MAX_BUNDLE_BYTES)?;
    Ok((verify_bundle(&bytes, &VerifyOptions { anchors, at }), bytes))
}

/// The same of a bundle that was read.
pub(super) fn verify_bytes(bytes: &[u8], trust_roots: Option<&Path>, at: At) -> Result<Outcome, CliError> {
    let anchors = trust_roots::load(trust_roots)?;
    Ok(verify_bundle(bytes, &VerifyOptions { anchors, at: at.appraisal_time()? }))
}

impl At {
    fn appraisal_time(self) -> Result<AppraisalTime, CliError> {
        Ok(match self {
            Self::Archived => AppraisalTime::Archived,
            Self::Now => AppraisalTime::At(clock::now()?),
            Self::Exactly(instant) => AppraisalTime::At(instant),
        })
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "archived" => Ok(Self::Archived),
            "now" => Ok(Self::Now),
            _ => instant::parse(text).map(Self::Exactly).map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_say_when() {
        assert_eq!("archived".parse(), Ok(At::Archived));
        assert_eq!("now".parse(), Ok(At::Now));
        assert_eq!("1970-01-01T00:00:02Z".parse(), Ok(At::Exactly(UnixMillis(2_000))));
        let refused = "`soon` is not a time; write it as RFC 3339, such as 2026-03-01T12:00:00Z";
        assert_eq!("soon".parse::<At>(), Err(refused.to_owned()));
    }
}
