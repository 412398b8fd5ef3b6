//! **Duty.** The signed statement of a verified bundle: an in-toto Statement whose subjects are the bundle and its
//! checkpoints, in a DSSE envelope. **Knows** the report's fields that a reader decides on. **Does not know** files.
//! **Spec.** docs/predicates/compute-threshold-v1.md; in-toto Statement v1; PROTOCOL §6 (signed report).

pub(crate) mod dsse;
pub(crate) mod keys;
mod verdicts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use weighbridge_attest_types::{BracketLine, Culprit, Digest32, Flops, Grade, PeriodLine, ThresholdReport, sha256};

use crate::instant;
use crate::strict;

pub(crate) use verdicts::{StatedClock, StatedVerdict};

/// `_type` of a Statement v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Our predicate.
pub(crate) const PREDICATE_TYPE: &str = "urn:weighbridge:predicate:compute-threshold:v1";
/// Name of the subject that is the bundle itself.
const BUNDLE: &str = "bundle";

/// Why a statement is not made or not believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not one PEM block of this kind.
    #[error("this is not one PEM block `{label}`")]
    Pem {
        /// The label that was expected.
        label: &'static str,
    },
    /// Another kind of private key.
    #[error("this private key is neither Ed25519 nor ECDSA P-256 in PKCS #8")]
    PrivateKey,
    /// Another kind of public key.
    #[error("this public key is neither Ed25519 nor uncompressed ECDSA P-256")]
    PublicKey,
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// Not an envelope.
    #[error("this is not a DSSE envelope")]
    Envelope(#[source] serde_json::Error),
    /// Another type of payload.
    #[error("the payload has the type `{0}`, not `application/vnd.in-toto+json`")]
    PayloadType(String),
    /// No signature, or too many.
    #[error("the envelope has {0} signatures; it may have 1 to 16")]
    SignatureCount(usize),
    /// Not base64.
    #[error("the envelope's base64 is not the standard one with padding")]
    Base64(#[source] base64::DecodeError),
    /// Nobody signed this with this key.
    #[error("no signature of the envelope is by the key {key}")]
    Signature {
        /// Id of the key.
        key: String,
    },
    /// Genuine, but no statement of ours.
    #[error("the signed payload is not a compute-threshold statement")]
    Payload(#[source] serde_json::Error),
    /// A statement of another type.
    #[error("the statement has the {what} `{found}`, not `{expected}`")]
    Type {
        /// Which field.
        what: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// Fields that a signer of ours never writes.
    #[error("the statement contradicts itself: {0}")]
    Contradiction(&'static str),
    /// About another bundle.
    #[error("the statement is not what this bundle says; it differs in: {0}")]
    OtherBundle(String),
}

impl StatementError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Pem { .. } | Self::PrivateKey | Self::PublicKey => Culprit::Usage,
            Self::Random => Culprit::Unavailable,
            Self::PayloadType(_) | Self::Type { .. } => Culprit::Unsupported,
            Self::Envelope(_)
            | Self::SignatureCount(_)
            | Self::Base64(_)
            | Self::Payload(_)
            | Self::Contradiction(_) => Culprit::Malformed,
            Self::Signature { .. } | Self::OtherBundle(_) => Culprit::Untrusted,
        }
    }

    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pem { .. } | Self::PrivateKey | Self::PublicKey => "key-refused",
            Self::Random => "no-randomness",
            Self::Signature { .. } => "statement-signature",
            Self::OtherBundle(_) => "statement-differs",
            _ => "statement-malformed",
        }
    }

    /// What the person can do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Pem { .. } | Self::PrivateKey | Self::PublicKey => {
                "make a key with `weighbridge statement keygen`, or turn yours into PKCS #8: openssl pkcs8 -topk8 -nocrypt"
            }
            Self::Random => "try again on a system whose random source works",
            Self::Signature { .. } => {
                "ask the signer which key is theirs, over another way than the one this file came"
            }
            Self::OtherBundle(_) => "ask the signer for the bundle that they signed for",
            _ => "ask the signer for a fresh copy; other payloads need another program",
        }
    }
}

/// Names of hash functions with hexadecimal values (in-toto `DigestSet`).
type DigestSet = BTreeMap<String, String>;

/// in-toto Statement v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(deserialize_with = "strict::objects")]
    pub(crate) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(deserialize_with = "strict::object")]
    pub(crate) predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    pub(crate) name: String,
    digest: DigestSet,
}

/// The grade stands first: whoever shows a verdict of this statement has passed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Predicate {
    pub(crate) grade: Grade,
    pub(crate) warning: String,
    bundle: DigestSet,
    report: DigestSet,
    run: Digest32,
    appraised_at: String,
    policy: String,
    anchors: Vec<String>,
    #[serde(deserialize_with = "strict::optional_object")]
    period: Option<StatedPeriod>,
    #[serde(deserialize_with = "strict::object")]
    bracket: Bracket,
    #[serde(deserialize_with = "strict::optional_object")]
    checkpoints: Option<StatedCheckpoints>,
    #[serde(deserialize_with = "strict::objects")]
    pub(crate) verdicts: Vec<StatedVerdict>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bracket {
    grade: Grade,
    lower: Flops,
    upper: Option<Flops>,
}

/// The period that was weighed. The hosts' own clocks alone may have ended it early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedPeriod {
    from: String,
    to: String,
    clock: PeriodClock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PeriodClock {
    /// Somebody else's time stands at both ends.
    External,
    Host,
}

/// The subjects that are checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedCheckpoints {
    /// The weakest of them.
    grade: Grade,
    count: u64,
}

/// Envelope, signature under a public key in PEM, and the statement's own form.
///
/// # Errors
/// [`StatementError`].
pub(crate) fn read(envelope: &[u8], key_pem: &[u8]) -> Result<(), StatementError> {
    let payload = dsse::open(envelope, &keys::VerifyingKey::from_pem(key_pem)?)?;
    Statement::from_bytes(&payload).map(drop)
}

impl Statement {
    /// What a verified bundle says. `report_member` are the bytes of its report.
    pub(crate) fn of(report: &ThresholdReport, bundle: &[u8], report_member: &[u8]) -> Self {
        let digests = |bytes: &[u8]| DigestSet::from([("sha256".to_owned(), sha256(bytes).to_string())]);
        let mut subject = vec![Subject { name: BUNDLE.to_owned(), digest: digests(bundle) }];
        for line in &report.checkpoints {
            let roots = [
                ("weighbridge-fast-v1".to_owned(), line.fast_root.to_string()),
                ("weighbridge-algebraic-v1".to_owned(), line.algebraic_root.to_string()),
            ];
            let name = format!("checkpoint/{}/attempt/{}/step/{}", line.node_key, line.attempt, line.step);
            subject.push(Subject { name, digest: DigestSet::from(roots) });
        }
        let BracketLine { grade, lower, upper, .. } = report.bracket;
        let count = u64::try_from(report.checkpoints.len()).unwrap_or(u64::MAX);
        let weakest = report.checkpoints.iter().map(|line| line.grade).min();
        let mut predicate = Predicate {
            grade,
            warning: report.warning.text.clone(),
            bundle: digests(bundle),
            report: digests(report_member),
            run: report.genesis,
            appraised_at: instant::rfc3339(report.appraised_at),
            policy: report.policy.clone(),
            anchors: report.anchors.clone(),
            period: report.period.as_ref().map(StatedPeriod::of),
            bracket: Bracket { grade, lower, upper },
            checkpoints: weakest.map(|grade| StatedCheckpoints { grade, count }),
            verdicts: report.profiles.iter().map(StatedVerdict::of).collect(),
        };
        predicate.grade = predicate.weakest();
        Self { kind: STATEMENT_TYPE.to_owned(), subject, predicate_type: PREDICATE_TYPE.to_owned(), predicate }
    }

    /// The bytes that are signed.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        serde_json::to_vec(self).map_err(StatementError::Payload)
    }

    /// Reads a payload whose signature held.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        let statement: Self = strict::from_slice(bytes).map_err(StatementError::Payload)?;
        let types =
            [("_type", &statement.kind, STATEMENT_TYPE), ("predicateType", &statement.predicate_type, PREDICATE_TYPE)];
        for (what, found, expected) in types {
            if found != expected {
                return Err(StatementError::Type { what, found: found.clone(), expected });
            }
        }
        let predicate = &statement.predicate;
        if predicate.weakest() != predicate.grade {
            return Err(StatementError::Contradiction("its grade is not the weakest of its figures"));
        }
        let checkpoints = u64::try_from(statement.subject.len().saturating_sub(1)).unwrap_or(u64::MAX);
        if predicate.checkpoints.as_ref().map_or(0, |line| line.count) != checkpoints {
            return Err(StatementError::Contradiction("its subjects are not the checkpoints that it counts"));
        }
        match statement.subject.first() {
            Some(first) if first.name == BUNDLE && first.digest == predicate.bundle => Ok(statement),
            _ => Err(StatementError::Contradiction("the first subject is not the bundle of the predicate")),
        }
    }

    /// Refuses another statement than `expected`, and names the fields that differ.
    pub(crate) fn is_that_of(&self, expected: &Self) -> Result<(), StatementError> {
        let fields = |statement: &Self| {
            let mut fields = BTreeMap::from([("subject".to_owned(), serde_json::to_value(&statement.subject).ok())]);
            if let Ok(serde_json::Value::Object(predicate)) = serde_json::to_value(&statement.predicate) {
                fields.extend(predicate.into_iter().map(|(name, value)| (format!("predicate.{name}"), Some(value))));
            }
            fields
        };
        let theirs = fields(self);
        let differs = |(name, value): (String, _)| (theirs.get(&name) != Some(&value)).then_some(name);
        let names: Vec<String> = fields(expected).into_iter().filter_map(differs).collect();
        if self == expected { Ok(()) } else { Err(StatementError::OtherBundle(names.join(", "))) }
    }
}

impl Predicate {
    /// A statement is as good as the weakest of its figures, the provider's included.
    fn weakest(&self) -> Grade {
        let verdicts = self.verdicts.iter().flat_map(StatedVerdict::grades);
        let checkpoints = self.checkpoints.iter().map(|line| line.grade);
        verdicts.chain(checkpoints).fold(self.bracket.grade, Grade::min)
    }

    /// The period in words.
    pub(crate) fn weighed(&self) -> String {
        match &self.period {
            None => "not known".to_owned(),
            Some(period) => {
                let clock = match period.clock {
                    PeriodClock::External => "",
                    PeriodClock::Host => ", by the hosts' own clocks only",
                };
                format!("{} to {}{clock}", period.from, period.to)
            }
        }
    }
}

impl StatedPeriod {
    fn of(line: &PeriodLine) -> Self {
        let clock = if line.charged_millis.is_some() { PeriodClock::External } else { PeriodClock::Host };
        Self { from: instant::rfc3339(line.from), to: instant::rfc3339(line.to), clock }
    }
}

#[cfg(test)]
mod tests;
