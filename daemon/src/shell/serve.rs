//! **Duty.** The life of the service: identity, store, node, socket, loop, and an orderly end. **Does not know** which
//! platform it runs on; the caller brings it, and there is no other. **Spec.** HOUSE §7 rule 6.

use std::fs;
use std::future::Future;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use weighbridge_attest_collect::{CollectError, Collector};
use weighbridge_attest_types::Culprit;

use super::access::Peer;
use super::clock::{Clock, SystemClock};
use super::randomness::fresh_secrets;
use super::service::Service;
use super::socket::{Listening, SocketError};
use super::{collect_loop, notify, socket};
use crate::config::Config;
use crate::error::NodeError;
use crate::node::{Node, NodeIdentity};
use crate::store::Store;

/// Why the service did not start or did not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The listener stopped.
    #[error("the socket stopped listening")]
    Listen(#[source] std::io::Error),
}

/// Serves a node on its socket until `shutdown` is ready.
///
/// # Errors
/// [`ServeError`]; without a platform that answers nothing is served.
pub async fn serve(
    config: Config,
    platform: Arc<dyn Collector>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (_, none) = mpsc::channel(1);
    serve_reloading(config, platform, none, shutdown).await
}

/// The same, taking another configuration whenever one comes.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_reloading(
    config: Config,
    platform: Arc<dyn Collector>,
    reloads: mpsc::Receiver<Config>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let clock = SystemClock::new().map_err(NodeError::from)?;
    run(config, platform, Arc::new(clock), reloads, shutdown).await
}

/// The same under a given clock: scenarios move theirs.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_with_clock(
    config: Config,
    platform: Arc<dyn Collector>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (_, none) = mpsc::channel(1);
    run(config, platform, clock, none, shutdown).await
}

async fn run(
    config: Config,
    platform: Arc<dyn Collector>,
    clock: Arc<dyn Clock>,
    reloads: mpsc::Receiver<Config>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let node = open_node(config.clone(), Arc::clone(&platform), Arc::clone(&clock)).await?;
    let service = Service::new(node, platform, clock, config.clone());
    service.recover().await?;
    let Listening { listener, is_ours } = socket::listen(&config.socket)?;
    let (stop, stopped) = watch::channel(false);
    let heartbeat = tokio::spawn(collect_loop::run(Arc::clone(&service), stopped.clone()));
    let sampling = tokio::spawn(collect_loop::sample(Arc::clone(&service), stopped.clone()));
    let reloading = tokio::spawn(take_reloads(Arc::clone(&service), reloads));
    let watching = tokio::spawn(super::watch::run(Arc::clone(&service), stopped.clone()));
    let pushing = tokio::spawn(super::push::run(Arc::clone(&service), stopped.clone()));
    notify::ready();
    tracing::info!(event = "serving", socket = %config.socket.display(), activated = !is_ours, "serving");

    let until = wait_for_end(shutdown, heartbeat, stop);
    let (ended, mut stopped) = (tokio::spawn(until), stopped);
    let app = socket::router(Arc::clone(&service)).into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    let served = served.await;
    notify::stopping();
    tracing::info!(event = "stopping", "stopping");
    reloading.abort();
    if served.is_err() {
        // Nobody told them to stop.
        [&sampling, &watching, &pushing].into_iter().for_each(JoinHandle::abort);
    }
    // Each ends by itself or holds nothing that must be finished: the store is held by what they hold.
    for task in [reloading, watching, pushing] {
        let _ = task.await;
    }
    service.settle().await;
    // The last look ends by its deadline; until then it may hold the store.
    let _ = sampling.await;
    if is_ours {
        // The next start would replace it anyway; a file that nobody answers on only misleads.
        let _ = fs::remove_file(&config.socket);
    }
    served.map_err(ServeError::Listen)?;
    ended.await.map_err(|_| NodeError::Task)??;
    Ok(())
}

/// A configuration that cannot be taken leaves the one before in force.
async fn take_reloads(service: Arc<Service>, mut reloads: mpsc::Receiver<Config>) {
    while let Some(config) = reloads.recv().await {
        if let Err(error) = service.reload(config).await {
            tracing::error!(event = "config-not-reloaded", %error, "the configuration stays as it was");
        }
    }
}

/// Whatever ends first ends both: a loop that failed must not leave a socket that still answers.
async fn wait_for_end(
    shutdown: impl Future<Output = ()>,
    mut heartbeat: JoinHandle<Result<(), NodeError>>,
    stop: watch::Sender<bool>,
) -> Result<(), NodeError> {
    let early = tokio::select! {
        () = shutdown => None,
        ended = &mut heartbeat => Some(ended),
    };
    let _ = stop.send(true);
    let ended = match early {
        Some(ended) => ended,
        None => heartbeat.await,
    };
    ended.map_err(|_| NodeError::Task)?
}

async fn open_node(config: Config, platform: Arc<dyn Collector>, clock: Arc<dyn Clock>) -> Result<Node, NodeError> {
    let opened = spawn_blocking(move || {
        let now = clock.now()?;
        let identity = identity(platform.as_ref())?;
        Node::open(Store::open(&config.state_dir)?, identity, config.limits(), now.boot_id, fresh_secrets()?)
    });
    opened.await.map_err(|_| NodeError::Task)?
}

fn identity(platform: &dyn Collector) -> Result<NodeIdentity, CollectError> {
    let mut devices = platform.devices()?;
    devices.sort_by_key(|identity| identity.device);
    Ok(NodeIdentity { cpu: platform.cpu()?, devices })
}

impl ServeError {
    /// Who has to act.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Node(error) => error.culprit(),
            Self::Socket(error) => error.culprit(),
            Self::Listen(_) => Culprit::Unavailable,
        }
    }

    /// Stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Node(error) => error.code(),
            Self::Socket(_) => "socket",
            Self::Listen(_) => "socket-stopped",
        }
    }

    /// What to do; empty where the message says it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Node(error) => error.remedy(),
            Self::Socket(_) => "",
            Self::Listen(_) => "look at the service's log and start it again",
        }
    }
}
