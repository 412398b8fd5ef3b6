//! **Duty.** HTTP on a Unix socket: bytes to one action, its answer to bytes. **Does not know** what an action does.
//! **Spec.** TRAINING §5; ECOSYSTEM §4 (HTTP).

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as ProbeStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::net::UnixListener;
use weighbridge_attest_types::Culprit;
use weighbridge_daemon_api::{PROBLEM_MEDIA_TYPE, Problem};

use super::service::{Answer, Service};
use crate::action::Action;

/// A manifest of a thousand nodes fits; everything else is much smaller.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Read and thrown away behind a body that is too large: a connection closed over unread bytes is reset, and its caller
/// would never see why.
const MAX_DRAINED_BYTES: usize = 16 * MAX_BODY_BYTES;
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

/// Binds under another name, sets the mode, then moves into place: at no time can anybody else connect, and a stale
/// socket is replaced only if nobody answers on it.
pub(super) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
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

/// Who is on the other end of a connection, by the kernel's word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    uid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(peer) => {
                tracing::debug!(pid = peer.pid(), uid = peer.uid(), gid = peer.gid(), "connected");
                Self { uid: peer.uid() }
            }
            Err(error) => {
                tracing::warn!(%error, "a peer without credentials");
                Self { uid: u32::MAX }
            }
        }
    }
}

async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    match answer(&service, peer, request).await {
        Ok(Answer::Bytes(bytes)) => bytes.into_response(),
        Ok(message) => axum::Json(message).into_response(),
        Err(problem) => refuse(&problem),
    }
}

async fn answer(service: &Arc<Service>, peer: Peer, request: Request) -> Result<Answer, Box<Problem>> {
    let (parts, body) = request.into_parts();
    let body = read_body(body).await.ok_or_else(|| {
        let detail = format!("the body was cut off or is over {MAX_BODY_BYTES} bytes");
        let remedy = "send one message per request";
        Box::new(Problem::new(Culprit::Malformed, "body-too-large", detail, remedy).with_status(413))
    })?;
    let action = Action::parse(parts.method.as_str(), parts.uri.path(), parts.uri.query(), &body)?;
    let name = action.name();
    service.perform(action, peer.uid).await.map_err(|error| {
        let problem = error.to_problem();
        tracing::warn!(action = name, uid = peer.uid, code = %problem.code, "refused: {}", problem.detail);
        Box::new(problem)
    })
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
