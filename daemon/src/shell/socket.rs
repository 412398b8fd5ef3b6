//! **Duty.** HTTP on a Unix socket: bytes to one action, its answer to bytes. **Does not know** what an action does.
//! **Spec.** TRAINING §5; ECOSYSTEM §4 (HTTP).

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as ProbeStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use http_body_util::BodyExt as _;
use listenfd::ListenFd;
use thiserror::Error;
use tokio::net::UnixListener;
use weighbridge_attest_types::Culprit;
use weighbridge_daemon_api::{PROBLEM_MEDIA_TYPE, Problem};

use super::access::{Peer, admit};
use super::metrics::{self, count};
use super::service::{Answer, Service};
use crate::action::Action;

/// A manifest of a thousand nodes fits; everything else is much smaller.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Read and thrown away behind a body that is too large: a connection closed over unread bytes is reset, and its caller
/// would never see why.
const MAX_DRAINED_BYTES: usize = 16 * MAX_BODY_BYTES;
/// A message arrives in one piece on a socket of this machine; whoever takes longer has stopped.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// Owner and group: training jobs are in the group.
const SOCKET_MODE: u32 = 0o660;

/// Why the socket cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Somebody answers there.
    #[error("another service answers on {}; stop it, or set another `socket`", path.display())]
    Taken {
        /// Path.
        path: PathBuf,
    },
    /// Something else lies there.
    #[error("{} is there and is not a socket; move it away, or set another `socket`", path.display())]
    NotASocket {
        /// Path.
        path: PathBuf,
    },
    /// systemd handed over something else than one listening Unix socket.
    #[error("systemd handed over what is not one listening Unix socket; weighbridged.socket has one ListenStream=")]
    Handed(#[source] Option<io::Error>),
    /// The operating system refused.
    #[error("the socket {} cannot be made; its folder must be there and writable for the service", path.display())]
    Io {
        /// Path.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

impl SocketError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Usage
    }
}

/// A listener, and whether its file is ours to remove.
pub(super) struct Listening {
    pub(super) listener: UnixListener,
    pub(super) is_ours: bool,
}

/// The socket that systemd made for us, or one of our own.
pub(super) fn listen(path: &Path) -> Result<Listening, SocketError> {
    let mut handed = ListenFd::from_env();
    match handed.len() {
        0 => Ok(Listening { listener: bind(path)?, is_ours: true }),
        1 => {
            let refused = |error| SocketError::Handed(Some(error));
            let listener = handed.take_unix_listener(0).map_err(refused)?.ok_or(SocketError::Handed(None))?;
            listener.set_nonblocking(true).map_err(refused)?;
            Ok(Listening { listener: UnixListener::from_std(listener).map_err(refused)?, is_ours: false })
        }
        _ => Err(SocketError::Handed(None)),
    }
}

/// Binds under another name, sets the mode, then moves into place: at no time can anybody else connect, and a stale
/// socket is replaced only if nobody answers on it.
fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let refused = |source| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket { path: path.to_owned() }),
        Ok(_) if ProbeStream::connect(path).is_ok() => return Err(SocketError::Taken { path: path.to_owned() }),
        _ => {}
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let staging = PathBuf::from(name);
    match fs::remove_file(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&staging).map_err(refused)?;
    fs::set_permissions(&staging, fs::Permissions::from_mode(SOCKET_MODE)).map_err(refused)?;
    fs::rename(&staging, path).map_err(refused)?;
    Ok(listener)
}

/// One handler for everything: paths and methods are the action's to judge.
pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(handle).with_state(service)
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(peer) => {
                tracing::debug!(pid = peer.pid(), uid = peer.uid(), gid = peer.gid(), "connected");
                Self { uid: peer.uid(), gid: peer.gid() }
            }
            Err(error) => {
                tracing::warn!(event = "peer-unknown", %error, "a peer without credentials");
                Self::UNKNOWN
            }
        }
    }
}

async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    count(&service.counters.requests);
    match answer(&service, peer, request).await {
        Ok(Answer::Bytes(bytes)) => bytes.into_response(),
        Ok(Answer::Page(page)) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], page).into_response(),
        Ok(message) => axum::Json(message).into_response(),
        Err(problem) => {
            count(&service.counters.refusals);
            if let Some(held_back) = service.refusals.tell(peer.uid, &problem.code, service.mono()) {
                let (event, uid, code) = ("request-refused", peer.uid, &problem.code);
                tracing::warn!(event, uid, %code, held_back, "refused: {}", problem.detail);
            }
            refuse(&problem)
        }
    }
}

async fn answer(service: &Arc<Service>, peer: Peer, request: Request) -> Result<Answer, Box<Problem>> {
    admit(peer, &*service.config().map_err(|error| error.to_problem())?)?;
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_PATIENCE, read_body(body)).await.map_err(|_| slow_body())?;
    let body = body.ok_or_else(|| {
        let detail = format!("the body was cut off or is over {MAX_BODY_BYTES} bytes");
        let remedy = "send one message per request";
        Box::new(Problem::new(Culprit::Malformed, "body-too-large", detail, remedy).with_status(413))
    })?;
    let action = Action::parse(parts.method.as_str(), parts.uri.path(), parts.uri.query(), &body)?;
    service.perform(action, peer).await.map_err(|error| Box::new(error.to_problem()))
}

fn slow_body() -> Box<Problem> {
    let detail = format!("the body did not arrive within {} s", BODY_PATIENCE.as_secs());
    let remedy = "send the whole message at once, with its length";
    Box::new(Problem::new(Culprit::Usage, "body-slow", detail, remedy).with_status(408))
}

/// `None`: cut off, or too large.
async fn read_body(mut body: Body) -> Option<Vec<u8>> {
    let (mut kept, mut read) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        read = read.saturating_add(data.len());
        if read <= MAX_BODY_BYTES {
            kept.extend_from_slice(&data);
        } else if read > MAX_DRAINED_BYTES {
            return None;
        }
    }
    (read <= MAX_BODY_BYTES).then_some(kept)
}

fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(problem)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    response
}
