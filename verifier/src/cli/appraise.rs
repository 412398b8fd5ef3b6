//! **Duty.** `weighbridge appraise`: evidence by itself, with everything that was checked and that was not. No network, no
//! file but those that were named. **Does not know** how evidence is judged. **Spec.** PROTOCOL §8.

mod question;
mod view;

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use weighbridge_appraisal::{Appraisal, Asked, MAX_POLICY_BYTES, Roster, parse_policy};
use weighbridge_attest::kinds;
use weighbridge_attest_types::{AppraisalPolicy, Culprit, Device, Digest32, EvidenceKind, TrustAnchors, UnixMillis};

pub(super) use question::Question;

use crate::cli::Format;
use crate::cli::console::Console;
use crate::cli::statement::randomness;
use crate::ear::{self, EarFormat};
use crate::error::CliError;
use crate::evidence::{self, EndorsementFiles};
use crate::statement::keys::{MAX_KEY_BYTES, SigningKey};
use crate::{clock, files, instant, trust_roots};

/// The kind of a file that holds a CPU quote and its accelerators, as bundles and node exports do.
pub(super) const SET: &str = "evidence-set";

/// Judges evidence by itself: is it genuine, does it answer what was asked, does the policy like it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: weighbridge appraise --kind tdx --evidence quote.bin --endorsements collateral.json \
    --report-data 00112233…; weighbridge appraise --kind nvidia-gpu --evidence gpu0.bin --evidence gpu0-chain.pem \
    --nonce 00112233… --format json; weighbridge appraise --kind evidence-set --evidence key --manifest run-manifest \
    --endorsements store"
)]
pub(super) struct AppraiseArgs {
    /// Kind of the evidence
    #[arg(long, value_parser = PossibleValuesParser::new(kinds().chain([SET])))]
    kind: String,
    /// A quote or report, raw, in hex or in base64; a GPU's certificate chain in PEM; or a list of both, as NVIDIA's tools
    /// write it. Several are one set of devices
    #[arg(long, value_name = "FILE", required = true)]
    evidence: Vec<PathBuf>,
    /// A file, or a folder with files, of collateral, certificates and revocation lists; each is known by its content
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,
    #[command(flatten)]
    judged: JudgedArgs,
    /// 64 bytes in hex that a CPU quote must carry
    #[arg(long, value_name = "HEX", value_parser = hex_of::<64>, conflicts_with = "nonce")]
    report_data: Option<[u8; 64]>,
    /// 32 bytes in hex that every device must answer; of an evidence set, its challenge
    #[arg(long, value_name = "HEX", value_parser = hex_of::<32>)]
    nonce: Option<[u8; 32]>,
    /// A device that must have answered, by its identity; repeat it for all of them, and no other may
    #[arg(long, value_name = "HEX", value_parser = device)]
    device: Vec<Device>,
    /// The run that an evidence set belongs to: its node's roster row must fit
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    ear: EarArgs,
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// The result as a token for others.
#[derive(Debug, Args)]
struct EarArgs {
    /// Write the result as a signed EAT Attestation Result, whatever it is
    #[arg(long, value_name = "FILE", requires = "key")]
    ear: Option<PathBuf>,
    /// How the token is written
    #[arg(long, value_enum, default_value_t, requires = "ear")]
    ear_format: EarFormat,
    /// Private key of the token: Ed25519 or ECDSA P-256 in PKCS #8 PEM; see weighbridge statement keygen
    #[arg(long, value_name = "FILE", requires = "ear")]
    key: Option<PathBuf>,
}

/// When, by what and under whom evidence is judged.
#[derive(Debug, Args)]
struct JudgedArgs {
    /// Instant of the judgement: now, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "now|TIME", default_value = "now", value_parser = At::parse)]
    at: At,
    /// Appraisal policy of your own; see weighbridge policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Folder of additional trust anchors (*.anchor.json); results under them carry their grade
    #[arg(long, value_name = "DIR")]
    trust_roots: Option<PathBuf>,
}

/// An instant that a person names.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Now,
    Exactly(UnixMillis),
}

/// What [`JudgedArgs`] name, read.
#[derive(Debug)]
struct Judged {
    at: UnixMillis,
    policy: AppraisalPolicy,
    anchors: TrustAnchors,
}

impl AppraiseArgs {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let Judged { at, policy, anchors } = self.judged.read()?;
        let key = self.ear.read_key()?;
        let mut endorsements = evidence::read_endorsements(&self.endorsements)?;
        let appraisal = self.question().appraise(&mut endorsements, &policy, &anchors, at)?;
        if let (Some(key), Some(path)) = (&key, &self.ear.ear) {
            self.ear.write(&appraisal, &endorsements, key, path)?;
        }
        let hints = self.hints(&appraisal);
        match self.format {
            Format::Text => console.print(&view::text(&appraisal, &endorsements, &hints, console.out_paint()))?,
            Format::Json => {
                console.tell(&view::summary(&appraisal, &hints, console.err_paint()))?;
                view::object(&appraisal, &endorsements).print(console)?;
            }
        }
        Ok(appraisal.culprit().map_or(0, Culprit::exit_code))
    }

    fn question(&self) -> Question {
        Question {
            kind: self.kind.clone(),
            evidence: self.evidence.clone(),
            asked: self.report_data.map(Asked::ReportData).or(self.nonce.map(Asked::Nonce)),
            roster: (!self.device.is_empty()).then(|| Roster::Devices(self.device.clone())),
            manifest: self.manifest.clone(),
        }
    }

    /// What else a person may try who meets a refusal.
    fn hints(&self, appraisal: &Appraisal) -> Vec<String> {
        let mut hints = Vec::new();
        match appraisal.culprit() {
            Some(Culprit::Malformed | Culprit::Unsupported) if self.kind != SET => hints.extend(self.other_kinds()),
            Some(Culprit::Untrusted) if self.judged.trust_roots.is_none() => {
                hints.push(super::judgement::HINT_ANCHORS.to_owned());
            }
            Some(Culprit::Unavailable) => {
                hints.push("give what the vendor says about this chip with --endorsements".to_owned());
            }
            _ => {}
        }
        let dates = ["expired", "not-yet-valid"];
        let mut findings = appraisal.devices().iter().flat_map(|device| device.findings());
        if findings.any(|finding| dates.contains(&finding.code.as_str())) {
            hints.push(
                "endorsements of another time may fit; --at judges at the time that the evidence is of".to_owned(),
            );
        }
        hints
    }

    /// The kinds as which the evidence parses. Read again: only a refusal asks.
    fn other_kinds(&self) -> Option<String> {
        let kind = EvidenceKind::new(&self.kind);
        let found = evidence::read_evidence(&kind, &self.evidence).ok()?;
        let others: Vec<&str> = found.pieces.iter().flat_map(|piece| evidence::parses_as(&piece.body)).collect();
        let other = others.first().filter(|other| **other != self.kind)?;
        Some(format!("the bytes parse as another kind: --kind {other}"))
    }
}

impl EarArgs {
    /// Read before anything is judged: a wrong key costs no work.
    fn read_key(&self) -> Result<Option<SigningKey>, CliError> {
        let read = |path: &PathBuf| {
            let pem = files::read_capped(path, MAX_KEY_BYTES)?;
            SigningKey::from_pem(&pem, &randomness())
                .map_err(|source| CliError::Statement { path: path.clone(), source })
        };
        self.key.as_ref().map(read).transpose()
    }

    fn write(
        &self,
        appraisal: &Appraisal,
        endorsements: &EndorsementFiles,
        key: &SigningKey,
        path: &Path,
    ) -> Result<(), CliError> {
        let digests: Vec<Digest32> = endorsements.digests.iter().map(|(_, digest)| *digest).collect();
        let signed = ear::sign(appraisal, &digests, key, &randomness(), self.ear_format);
        let token = signed.map_err(|source| CliError::Statement { path: path.to_owned(), source })?;
        files::write_atomically(path, &token)
    }
}

impl JudgedArgs {
    fn read(&self) -> Result<Judged, CliError> {
        let anchors = trust_roots::load(self.trust_roots.as_deref())?;
        let policy = self.policy.as_deref().map(policy_at).transpose()?.unwrap_or_else(AppraisalPolicy::built_in);
        Ok(Judged { at: self.at.instant()?, policy, anchors })
    }
}

/// Reads a policy file.
pub(super) fn policy_at(path: &Path) -> Result<AppraisalPolicy, CliError> {
    let bytes = files::read_capped(path, MAX_POLICY_BYTES as u64)?;
    parse_policy(&bytes).map_err(|source| CliError::Policy { path: path.to_owned(), source })
}

impl At {
    /// This machine's time, or the one that was named.
    pub(super) fn instant(self) -> Result<UnixMillis, CliError> {
        match self {
            Self::Now => clock::now(),
            Self::Exactly(at) => Ok(at),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            _ => instant::parse(text).map(Self::Exactly).map_err(|error| error.to_string()),
        }
    }
}

/// Exactly `N` bytes: a shorter expectation would match more than was meant.
pub(super) fn hex_of<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).map_err(|error| format!("not hex: {error}"))?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| format!("{found} bytes; it must be {N} bytes, {} hex digits", N * 2))
}

fn device(text: &str) -> Result<Device, String> {
    hex_of::<32>(text).map(|bytes| Device(Digest32(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_has_its_length() {
        assert_eq!(hex_of::<2>("0xAb01"), Ok([0xab, 1]));
        assert_eq!(hex_of::<2>("ab"), Err("1 bytes; it must be 2 bytes, 4 hex digits".to_owned()));
        assert!(hex_of::<2>("abc").is_err() && hex_of::<2>("").is_err() && hex_of::<2>("zz00").is_err());
    }
}
