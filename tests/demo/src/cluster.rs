//! **Duty.** The nodes: real daemon cores in this process, each on its own socket with its own state, over a simulated
//! platform. **Knows** the socket's messages. **Does not know** training or what is proven later.
//! **Spec.** PROTOCOL §3 (in practice: the launcher builds one manifest and posts the same bytes to all).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weighbridge_attest_collect::Collector;
use weighbridge_attest_types::{Culprit, NodeKey, RunManifest, SignedNonce, SignedReceipt};
use weighbridge_daemon::export::{self, Witness, WriteError, witness_name};
use weighbridge_daemon::intervals::Now;
use weighbridge_daemon::{
    Client, ClientError, Clock, ClockError, Config, ServeError, SystemClock, serve, serve_with_clock,
};
use weighbridge_daemon_api::{
    Acknowledged, ChallengeRequest, EndRequest, NodeInfo, ReceiptRequest, RunEnded, RunStartRequest, RunStarted, paths,
};

use crate::ambient::{Stopwatch, random};
use crate::output::Output;

/// A socket's path, its staging name included, has to fit `sun_path` (108 bytes on Linux, man 7 unix).
const MAX_SOCKET_PATH: usize = 100;
/// A node makes its key and opens its store in well under a second.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// A head is quoted at least every so many intervals.
const ATTEST_EVERY: u64 = 8;

/// Why a node did not do its part.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ClusterError {
    /// The runtime, or a folder.
    #[error("node {node}: cannot make its runtime or its folder")]
    Io {
        /// Node.
        node: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The service ended.
    #[error("node {node}: its service ended")]
    Serve {
        /// Node.
        node: usize,
        /// Why.
        #[source]
        source: ServeError,
    },
    /// The service's task is gone, or never answered.
    #[error("node {node}: its service stopped without a reason or did not answer in time")]
    Silent {
        /// Node.
        node: usize,
    },
    /// A request.
    #[error("node {node}: a request was not granted")]
    Request {
        /// Node.
        node: usize,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The clock of a new boot.
    #[error("node {node}: the clock of its new boot cannot be read")]
    Clock {
        /// Node.
        node: usize,
        /// Why.
        #[source]
        source: ClockError,
    },
    /// An export.
    #[error("node {node}: its export was not written")]
    Export {
        /// Node.
        node: usize,
        /// Why.
        #[source]
        source: WriteError,
    },
}

/// Running nodes. Dropping the cluster stops them.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    runtime: Runtime,
    /// Short paths for sockets, where the output folder's are too long.
    _sockets: Option<TempDir>,
}

#[derive(Debug)]
struct Node {
    socket: PathBuf,
    client: Client,
    platform: Arc<dyn Collector>,
    state_dir: PathBuf,
    /// Keys before the one in use, oldest first.
    earlier_keys: Vec<NodeKey>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

/// Where the two exports of one node key lie.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) node: usize,
    pub(crate) public: PathBuf,
    pub(crate) witness: PathBuf,
}

impl ClusterError {
    /// Who has to act.
    #[must_use]
    pub(crate) fn culprit(&self) -> Culprit {
        match self {
            Self::Io { .. } | Self::Clock { .. } => Culprit::Unavailable,
            Self::Serve { source, .. } => source.culprit(),
            Self::Silent { .. } => Culprit::Internal,
            Self::Request { source, .. } => source.culprit(),
            Self::Export { source, .. } => source.culprit(),
        }
    }
}

impl Cluster {
    /// Starts one daemon core per platform and waits until each answers.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn start(platforms: Vec<Arc<dyn Collector>>, output: &Output) -> Result<Self, ClusterError> {
        let io = |node| move |source| ClusterError::Io { node, source };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(io(0))?;
        let longest = output.node(platforms.len()).join(SOCKET).as_os_str().len();
        let sockets = if longest > MAX_SOCKET_PATH { Some(short_folder().map_err(io(0))?) } else { None };
        let mut nodes = Vec::new();
        for (number, platform) in platforms.into_iter().enumerate() {
            let folder = output.node(number);
            std::fs::create_dir_all(&folder).map_err(io(number))?;
            let socket = match &sockets {
                Some(short) => short.path().join(format!("{number}.sock")),
                None => folder.join(SOCKET),
            };
            nodes.push(Node::start(&runtime, platform, folder.join("state"), socket, None));
        }
        let mut cluster = Self { nodes, runtime, _sockets: sockets };
        cluster.wait_until_all_answer()?;
        Ok(cluster)
    }

    /// Sockets, in node order.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.nodes.iter().map(|node| node.socket.as_path())
    }

    /// Has every node quote its key under a nonce of its own, and says what is public about each.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn challenge(&self, mut nonce: impl FnMut() -> SignedNonce) -> Result<Vec<NodeInfo>, ClusterError> {
        self.each(|node| {
            let request = ChallengeRequest::Nonce(nonce());
            self.runtime.block_on(node.client.post(paths::CHALLENGE, &request))
        })
    }

    /// Opens the run on every node.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn begin_run(&self, manifest: &RunManifest) -> Result<Vec<RunStarted>, ClusterError> {
        let request = RunStartRequest { manifest: manifest.clone() };
        self.each(|node| self.runtime.block_on(node.client.post(paths::RUN_START, &request)))
    }

    /// Ends the run on every node and hands each its receipt.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn end_run(&self, receipt: impl Fn(&RunEnded) -> SignedReceipt) -> Result<Vec<RunEnded>, ClusterError> {
        self.each(|node| {
            let ended: RunEnded = self.runtime.block_on(node.client.post(paths::END, &EndRequest {}))?;
            let request = ReceiptRequest::Receipt(receipt(&ended));
            let _: Acknowledged = self.runtime.block_on(node.client.post(paths::RECEIPT, &request))?;
            Ok(ended)
        })
    }

    /// Takes a node's service down for a while and starts it again in the same boot.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn interrupt(&mut self, node: usize, down: Duration) -> Result<(), ClusterError> {
        self.relaunch(node, down, |_| Ok(None))
    }

    /// Reboots a node: its service ends, and after a while another begins in a new boot, with a new key. The key is quoted
    /// under a nonce of its own, and joins the run that the manifest announced.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn reboot(
        &mut self,
        node: usize,
        down: Duration,
        nonce: impl FnOnce() -> SignedNonce,
        manifest: &RunManifest,
    ) -> Result<RunStarted, ClusterError> {
        let request = |source| ClusterError::Request { node, source };
        let running = self.nodes.get_mut(node).ok_or(ClusterError::Silent { node })?;
        let key = self.runtime.block_on(running.client.get::<NodeInfo>(paths::NODE)).map_err(request)?.node_key;
        running.earlier_keys.push(key);
        self.relaunch(node, down, |node| {
            let clock = NewBoot::now().map_err(|source| ClusterError::Clock { node, source })?;
            Ok(Some(Arc::new(clock)))
        })?;
        let client = &self.nodes.get(node).ok_or(ClusterError::Silent { node })?.client;
        let challenge = ChallengeRequest::Nonce(nonce());
        let _: NodeInfo = self.runtime.block_on(client.post(paths::CHALLENGE, &challenge)).map_err(request)?;
        let start = RunStartRequest { manifest: manifest.clone() };
        self.runtime.block_on(client.post(paths::RUN_START, &start)).map_err(request)
    }

    fn relaunch(
        &mut self,
        number: usize,
        down: Duration,
        clock: impl FnOnce(usize) -> Result<Option<Arc<dyn Clock>>, ClusterError>,
    ) -> Result<(), ClusterError> {
        let Node { socket, platform, state_dir, earlier_keys, stop, served, client: _ } = self.nodes.remove(number);
        let _ = stop.send(());
        let served = self.runtime.block_on(served).map_err(|_| ClusterError::Silent { node: number })?;
        served.map_err(|source| ClusterError::Serve { node: number, source })?;
        std::thread::sleep(down);
        let started = Node::start(&self.runtime, platform, state_dir, socket, clock(number)?);
        self.nodes.insert(number, Node { earlier_keys, ..started });
        self.wait_until_all_answer()
    }

    /// Writes the public export of every key of every node and, apart, its private witness.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) fn export(&self, output: &Output) -> Result<Vec<Exported>, ClusterError> {
        let mut exported = Vec::new();
        for (node, running) in self.nodes.iter().enumerate() {
            let request = |source| ClusterError::Request { node, source };
            let info: NodeInfo = self.runtime.block_on(running.client.get(paths::NODE)).map_err(request)?;
            for (reboot, key) in running.earlier_keys.iter().copied().chain([info.node_key]).enumerate() {
                let of_key = |path: &str| {
                    self.runtime.block_on(running.client.get_bytes(&format!("{path}?node-key={key}"))).map_err(request)
                };
                let (public, witness) = (of_key(paths::EXPORT)?, of_key(paths::WITNESS)?);
                exported.push(write_export(output, (node, reboot), key, &public, witness)?);
            }
        }
        Ok(exported)
    }

    /// Stops every node in order.
    ///
    /// # Errors
    /// [`ClusterError`] when a node did not end well.
    pub(crate) fn stop(self) -> Result<(), ClusterError> {
        let Self { nodes, runtime, _sockets } = self;
        for (number, node) in nodes.into_iter().enumerate() {
            let _ = node.stop.send(());
            let served = runtime.block_on(node.served).map_err(|_| ClusterError::Silent { node: number })?;
            served.map_err(|source| ClusterError::Serve { node: number, source })?;
        }
        Ok(())
    }

    fn each<T>(&self, mut ask: impl FnMut(&Node) -> Result<T, ClientError>) -> Result<Vec<T>, ClusterError> {
        let answers = self.nodes.iter().enumerate();
        answers.map(|(node, running)| ask(running).map_err(|source| ClusterError::Request { node, source })).collect()
    }

    fn wait_until_all_answer(&mut self) -> Result<(), ClusterError> {
        let waiting = Stopwatch::start();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            while self.runtime.block_on(node.client.get::<NodeInfo>(paths::NODE)).is_err() {
                if node.served.is_finished() {
                    let served = self.runtime.block_on(&mut node.served);
                    return Err(match served {
                        Ok(Err(source)) => ClusterError::Serve { node: number, source },
                        _ => ClusterError::Silent { node: number },
                    });
                }
                if waiting.elapsed() > START_PATIENCE {
                    return Err(ClusterError::Silent { node: number });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Node {
    /// Starts the service under the machine's clock, or under another.
    fn start(
        runtime: &Runtime,
        platform: Arc<dyn Collector>,
        state_dir: PathBuf,
        socket: PathBuf,
        clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let config = Config {
            state_dir: state_dir.clone(),
            socket: socket.clone(),
            attest_every_intervals: ATTEST_EVERY,
            ..Config::default()
        };
        let until = async {
            // A dropped sender stops the node as well.
            let _ = stopped.await;
        };
        let served = match clock {
            None => runtime.spawn(serve(config, Arc::clone(&platform), until)),
            Some(clock) => runtime.spawn(serve_with_clock(config, Arc::clone(&platform), clock, until)),
        };
        let client = Client::new(&socket);
        Self { client, socket, platform, state_dir, earlier_keys: Vec::new(), stop, served }
    }
}

/// The clock of a machine that has just booted: a new boot id, and a monotonic clock that begins at zero. The process
/// itself goes on, so that one machine can stand in for a node that goes down.
#[derive(Debug)]
struct NewBoot {
    machine: SystemClock,
    booted: u64,
    boot_id: [u8; 16],
}

impl NewBoot {
    fn now() -> Result<Self, ClockError> {
        let machine = SystemClock::new()?;
        let booted = machine.now()?.mono;
        Ok(Self { machine, booted, boot_id: random().map_err(ClockError::BootId)? })
    }
}

impl Clock for NewBoot {
    fn now(&self) -> Result<Now, ClockError> {
        let now = self.machine.now()?;
        Ok(Now { mono: now.mono.saturating_sub(self.booted), boot_id: self.boot_id, ..now })
    }
}

const SOCKET: &str = "weighbridged.sock";

fn short_folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("weighbridge-").tempdir()
}

fn write_export(
    output: &Output,
    (node, reboot): (usize, usize),
    node_key: NodeKey,
    public: &[u8],
    witness: Vec<u8>,
) -> Result<Exported, ClusterError> {
    let not_written = |source| ClusterError::Export { node, source };
    export::write_public(public, &output.export(node, reboot)).map_err(not_written)?;
    let witness = Witness { file_name: witness_name(node_key), bytes: witness };
    let witness = export::write_witness(&witness, &output.witness(node)).map_err(not_written)?;
    Ok(Exported { node, public: output.export(node, reboot), witness })
}

#[cfg(test)]
mod tests {
    use weighbridge_tests_simulator::World;

    use super::*;
    use crate::ambient::unix_now;

    fn start(world: &World, root: &Path) -> Cluster {
        let platforms = (0..2).map(|index| Arc::new(world.node(index, 1)) as Arc<dyn Collector>).collect();
        Cluster::start(platforms, &Output::claim(root).unwrap()).unwrap()
    }

    #[test]
    fn nodes_answer_under_a_path_too_long_for_a_socket_and_quote_the_nonce_they_got() {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(7, unix_now());
        let authority = world.time_authority();
        for name in ["short", "a-name-of-fifty-letters-that-makes-any-path-too-long/and-another-one-below-it"] {
            let cluster = start(&world, &folder.path().join(name));
            assert!(cluster.sockets().all(|socket| socket.exists() && socket.as_os_str().len() <= MAX_SOCKET_PATH));
            let nodes = cluster.challenge(|| authority.issue_nonce(unix_now())).unwrap();
            assert!(nodes.iter().all(|node| node.key_quote.is_some()));
            assert_ne!(nodes[0].key_quote, nodes[1].key_quote);
            cluster.stop().unwrap();
        }
    }

    #[test]
    fn a_node_that_refuses_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(7, unix_now());
        let cluster = start(&world, &folder.path().join("out"));
        let authority = world.time_authority();
        let error = cluster.end_run(|end| authority.receipt(unix_now(), end.node_key_digest, end.index, end.head));
        let error = error.unwrap_err();
        assert!(matches!(error, ClusterError::Request { node: 0, .. }), "{error:?}");
        assert_eq!(error.culprit(), Culprit::Usage);
    }
}
