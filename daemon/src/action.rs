//! **Duty.** All a caller may ask, and when it is legal. Parsing ends here: behind it there are no strings and no bytes.
//! **Does not know** how anything is done. **Spec.** HOUSE §9 example 9.

use serde::de::DeserializeOwned;
use weighbridge_attest_types::{Culprit, NodeKey, RunManifest};
use weighbridge_daemon_api::{
    ChallengeRequest, CheckpointRequest, EndRequest, GapReport, NodeState, Problem, ReceiptRequest, RunStartRequest,
    StepReport, WindowReport, WorkUnitReport, paths,
};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell all that is public.
    Describe,
    /// Quote under a nonce or a beacon round: the key before a run, a fresh head in one.
    Challenge(ChallengeRequest),
    /// Open the chain.
    StartRun(Box<RunManifest>),
    /// A step was completed.
    Step(StepReport),
    /// A work unit was completed.
    WorkUnit(WorkUnitReport),
    /// The job lost reports.
    Gap(GapReport),
    /// A checkpoint was written.
    Checkpoint(CheckpointRequest),
    /// A window of an audit was closed.
    Window(WindowReport),
    /// Seal and quote the last interval.
    End,
    /// Keep the receipt or the timestamp over the last head.
    Receipt(ReceiptRequest),
    /// Hand out the public export.
    Export(Option<NodeKey>),
    /// Hand out the private witness, to the daemon's own user and root.
    Witness(Option<NodeKey>),
    /// Tell what happened since the start, for Prometheus.
    Metrics,
}

impl Action {
    /// Parses one request.
    ///
    /// # Errors
    /// A [`Problem`]: no such path (404), another method (405), a body that is not the message (400).
    pub fn parse(method: &str, path: &str, query: Option<&str>, body: &[u8]) -> Result<Self, Box<Problem>> {
        let wanted = match path {
            paths::NODE | paths::EXPORT | paths::WITNESS | paths::METRICS => "GET",
            paths::CHALLENGE | paths::RUN_START | paths::STEP | paths::WORK_UNIT | paths::GAP => "POST",
            paths::CHECKPOINT | paths::WINDOW | paths::END | paths::RECEIPT => "POST",
            _ if is_other_version(path) => return Err(other_version(path)),
            _ => return Err(no_such_path(path)),
        };
        if method != wanted {
            return Err(other_method(path, wanted));
        }
        match path {
            paths::NODE => Ok(Self::Describe),
            paths::EXPORT => Ok(Self::Export(node_key(query)?)),
            paths::WITNESS => Ok(Self::Witness(node_key(query)?)),
            paths::METRICS => Ok(Self::Metrics),
            paths::GAP => message(body).map(Self::Gap),
            paths::CHALLENGE => message(body).map(Self::Challenge),
            paths::RUN_START => message(body).map(|RunStartRequest { manifest }| Self::StartRun(Box::new(manifest))),
            paths::STEP => message(body).map(Self::Step),
            paths::WORK_UNIT => message(body).map(Self::WorkUnit),
            paths::CHECKPOINT => message(body).map(Self::Checkpoint),
            paths::WINDOW => message(body).map(Self::Window),
            paths::END => message(body).map(|EndRequest {}| Self::End),
            paths::RECEIPT => message(body).map(Self::Receipt),
            _ => Err(no_such_path(path)),
        }
    }

    /// The name used in messages and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Challenge(_) => "challenge",
            Self::StartRun(_) => "run start",
            Self::Step(_) => "step",
            Self::WorkUnit(_) => "work unit",
            Self::Gap(_) => "gap",
            Self::Checkpoint(_) => "checkpoint",
            Self::Window(_) => "window",
            Self::End => "end",
            Self::Receipt(_) => "receipt",
            Self::Export(_) => "export",
            Self::Witness(_) => "witness",
            Self::Metrics => "metrics",
        }
    }

    /// Whether this may be asked in that state. Repeating what was answered before is legal: callers retry.
    #[must_use]
    pub const fn is_legal(&self, state: NodeState) -> bool {
        match self {
            Self::Describe | Self::Export(_) | Self::Witness(_) | Self::Metrics => true,
            Self::Challenge(_) | Self::StartRun(_) => matches!(state, NodeState::Waiting | NodeState::Running),
            Self::Step(_) | Self::WorkUnit(_) | Self::Gap(_) | Self::Checkpoint(_) | Self::Window(_) => {
                matches!(state, NodeState::Running)
            }
            Self::End => matches!(state, NodeState::Running | NodeState::Ended),
            Self::Receipt(_) => matches!(state, NodeState::Ended),
        }
    }
}

fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Problem>> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is not the message of this path: {error}");
        let remedy = "send the JSON message that the API page shows";
        Box::new(Problem::new(Culprit::Malformed, "body-malformed", detail, remedy))
    })
}

fn node_key(query: Option<&str>) -> Result<Option<NodeKey>, Box<Problem>> {
    let Some(query) = query else { return Ok(None) };
    let bytes = query.strip_prefix("node-key=").and_then(|text| hex::decode(text).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).map(|key| Some(NodeKey(key))).ok_or_else(|| {
        let detail = format!("the query `{query}` is not `node-key=` and 64 hex digits");
        Box::new(Problem::new(Culprit::Usage, "query-malformed", detail, "name a node key, or leave the query out"))
    })
}

/// `/v2/…`: a client of another age.
fn is_other_version(path: &str) -> bool {
    let version = path.strip_prefix("/v").and_then(|rest| rest.split('/').next());
    version.is_some_and(|version| version != "1" && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()))
}

fn other_version(path: &str) -> Box<Problem> {
    let detail = format!("{path} is of a version that this service does not speak; it speaks /v1");
    let remedy = "use a client of this service's version, or update the service";
    Box::new(Problem::new(Culprit::Unsupported, "version-unknown", detail, remedy).with_status(404))
}

fn no_such_path(path: &str) -> Box<Problem> {
    let detail = format!("there is nothing at {path}");
    Box::new(Problem::new(Culprit::Usage, "no-such-path", detail, "use the paths below /v1").with_status(404))
}

fn other_method(path: &str, wanted: &str) -> Box<Problem> {
    let detail = format!("{path} takes {wanted}");
    Box::new(Problem::new(Culprit::Usage, "other-method", detail, "use that method").with_status(405))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed_once_and_refused_by_reason() {
        assert_eq!(Action::parse("GET", "/v1/node", None, b""), Ok(Action::Describe));
        assert_eq!(Action::parse("POST", "/v1/end", None, b"{}"), Ok(Action::End));
        let step = Action::parse("POST", "/v1/step", None, br#"{"attempt":1,"step":2}"#);
        assert_eq!(step, Ok(Action::Step(StepReport { attempt: 1, step: 2 })));
        let problem = |method, path, body| Action::parse(method, path, None, body).unwrap_err();
        let unknown = problem("GET", "/v2/node", b"");
        assert_eq!((unknown.status, unknown.code.as_str()), (404, "version-unknown"));
        for path in ["/v1/nodes", "/v/node", "/vx/node", "/", "/v1"] {
            assert_eq!(problem("GET", path, b"").code, "no-such-path", "{path}");
        }
        assert_eq!(problem("GET", "/v1/step", b"").detail, "/v1/step takes POST");
        let malformed = problem("POST", "/v1/step", br#"{"attempt":1,"stop":2}"#);
        assert_eq!((malformed.status, malformed.code.as_str()), (400, "body-malformed"));
        assert!(malformed.detail.contains("unknown field `stop`"), "{}", malformed.detail);
    }

    #[test]
    fn a_node_key_in_the_query_is_64_hex_digits() {
        let query = format!("node-key={}", "ab".repeat(32));
        let parsed = Action::parse("GET", "/v1/export", Some(&query), b"");
        assert_eq!(parsed, Ok(Action::Export(Some(NodeKey([0xab; 32])))));
        assert_eq!(Action::parse("GET", "/v1/export", Some("key=1"), b"").unwrap_err().code, "query-malformed");
    }

    #[test]
    fn work_is_legal_only_in_a_run_and_a_receipt_only_after_it() {
        let step = Action::Step(StepReport { attempt: 0, step: 0 });
        let legal = |action: &Action| {
            [NodeState::Waiting, NodeState::Running, NodeState::Ended].map(|state| action.is_legal(state))
        };
        assert_eq!(legal(&step), [false, true, false]);
        assert_eq!(legal(&Action::End), [false, true, true]);
        assert_eq!(legal(&Action::Describe), [true; 3]);
    }
}
