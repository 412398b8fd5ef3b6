//! **Duty.** One HTTP exchange: bounded, timed, without redirects. The only file that names the HTTP client.
//! **Does not know** what is asked or how often.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Where.
    pub url: String,
    /// Media type and bytes to post; `None` gets.
    pub post: Option<(&'static str, Vec<u8>)>,
    /// Most bytes of an answer.
    pub cap: u64,
    /// Headers of the answer that are wanted, in lower case.
    pub headers: Vec<&'static str>,
    /// Whether the access token goes along.
    pub with_token: bool,
}

impl Ask {
    /// Gets a URL.
    #[must_use]
    pub const fn get(url: String, cap: u64) -> Self {
        Self { url, post: None, cap, headers: Vec::new(), with_token: false }
    }

    /// The host and port, for the queue.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as it stands there.
    pub retry_after: Option<String>,
    /// The headers that were wanted, in the order of the request; `None` where one is missing.
    pub headers: Vec<Option<String>>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// More bytes than such an answer has.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
    /// Nothing that time or another try would change.
    #[error("{0}")]
    Refused(String),
    /// No connection, a cut, or too slow.
    #[error("{0}")]
    Failed(String),
}

/// What carries requests: HTTP, or a test.
pub trait Transport: fmt::Debug + Send + Sync {
    /// One exchange.
    ///
    /// # Errors
    /// [`HttpError`]; a status that is no success is an answer.
    fn exchange(&self, ask: &Ask) -> Result<Reply, HttpError>;
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole exchange.
    pub exchange: Duration,
}

/// Over the network, with the roots of the public web compiled in.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
    token: Option<String>,
}

/// Bytes of all headers of an answer. Source: Intel's issuer chains have about 3 KiB, URL-encoded.
const MAX_HEADER_BYTES: usize = 32 << 10;

impl Http {
    /// A client. `token` goes to requests that ask for it.
    #[must_use]
    pub fn new(timeouts: Timeouts, token: Option<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A vendor's answer comes from where it was asked, or not at all: no way from https to http.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEADER_BYTES)
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.exchange))
            .user_agent(concat!("weighbridge-fetch/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: ureq::Agent::new_with_config(config), token }
    }
}

impl Transport for Http {
    fn exchange(&self, ask: &Ask) -> Result<Reply, HttpError> {
        let token = self.token.as_ref().filter(|_| ask.with_token).map(|token| format!("Bearer {token}"));
        let sent = match &ask.post {
            None => {
                let request = self.agent.get(&ask.url);
                match token {
                    Some(token) => request.header("authorization", token).call(),
                    None => request.call(),
                }
            }
            Some((media_type, body)) => self.agent.post(&ask.url).header("content-type", *media_type).send(body),
        };
        let mut answer = sent.map_err(of_client)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_after = header("retry-after");
        let headers = ask.headers.iter().map(|name| header(name)).collect();
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ask.cap.saturating_add(1)).read_to_vec();
        let body = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => HttpError::TooLong(ask.cap),
            other => of_client(other),
        })?;
        if body.len() as u64 > ask.cap {
            return Err(HttpError::TooLong(ask.cap));
        }
        Ok(Reply { status, retry_after, headers, body })
    }
}

fn of_client(error: ureq::Error) -> HttpError {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl | ureq::Error::Tls(_) => {
            HttpError::Refused(error.to_string())
        }
        other => HttpError::Failed(other.to_string()),
    }
}
