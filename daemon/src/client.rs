//! **Duty.** A small client of the daemon's socket: one connection per request, typed answers or the daemon's own
//! problem. **Does not know** what the messages mean. **Spec.** TRAINING §5; ECOSYSTEM §4 (HTTP).

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use weighbridge_attest_types::{Culprit, MAX_BUNDLE_BYTES};
use weighbridge_daemon_api::Problem;

/// Why a request has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no weighbridged answers on {}; start it, or name its configuration with --config", socket.display())]
    Absent {
        /// Socket.
        socket: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {} broke", socket.display())]
    Broken {
        /// Socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// An answer that is not the message.
    #[error("{} answered with something that is not the message of this path", socket.display())]
    Answer {
        /// Socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Speaks to one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Asks for a message.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.get_bytes(path).await?;
        self.message(&bytes)
    }

    /// Asks for bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Posts a message and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let json = serde_json::to_vec(body).map_err(|source| self.not_the_message(source))?;
        let bytes = self.send(Method::POST, path, json).await?;
        self.message(&bytes)
    }

    /// Puts bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.send(Method::PUT, path, bytes).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let method_is_put = method == Method::PUT;
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| ClientError::Absent { socket: self.socket.clone(), source })?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(HOST, "weighbridged");
        let kind = if method_is_put { "application/octet-stream" } else { "application/json" };
        let request = request.header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| self.broken(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = response.status();
        let limit = usize::try_from(MAX_BUNDLE_BYTES).unwrap_or(usize::MAX);
        let collected =
            Limited::new(response.into_body(), limit).collect().await.map_err(|error| self.broken(error))?;
        drop(sender);
        // The connection ends with its sender; how it ended no longer matters.
        let _ = connection.await;
        let bytes = collected.to_bytes().to_vec();
        if status.is_success() {
            return Ok(bytes);
        }
        Err(ClientError::Problem(Box::new(self.message(&bytes)?)))
    }

    fn message<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|source| self.not_the_message(source))
    }

    fn not_the_message(&self, source: serde_json::Error) -> ClientError {
        ClientError::Answer { socket: self.socket.clone(), source }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), source: source.into() }
    }
}

impl ClientError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Absent { .. } | Self::Broken { .. } => Culprit::Unavailable,
            Self::Problem(problem) => problem.culprit(),
            Self::Answer { .. } => Culprit::Malformed,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Absent { .. } => "socket-absent",
            Self::Broken { .. } => "connection-broken",
            Self::Problem(problem) => &problem.code,
            Self::Answer { .. } => "answer-malformed",
        }
    }
}
