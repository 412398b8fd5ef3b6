//! **Duty.** Carries a rank's events to its node from a thread of its own. **Knows** the socket's messages. **Does not
//! know** training. The queue is bounded and full means dropped and counted: a rank never waits for its node.
//! **Spec.** TRAINING §5.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;
use weighbridge_attest_types::{CheckpointCommitment, Culprit};
use weighbridge_daemon::{Client, ClientError};
use weighbridge_daemon_api::{Acknowledged, CheckpointRequest, NodeInfo, StepReport, WorkUnitReport, paths};

use crate::audit::{AuditError, Auditor};
use crate::ranks::JobEvent;

/// About twenty seconds of reports at the demo's pace.
const QUEUE: usize = 256;

/// Why a node did not get everything that a rank reported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ReportError {
    /// The node refused, or is gone.
    #[error("a report was not taken")]
    Refused(#[from] ClientError),
    /// The audit.
    #[error("the audit of the job came to nothing")]
    Audit(#[from] AuditError),
    /// The queue was full.
    #[error("{0} reports were dropped because the node was slower than the job; the ledger would lack their FLOP")]
    Dropped(u64),
    /// No thread or no runtime.
    #[error("the reporter's thread did not start")]
    Start(#[source] std::io::Error),
    /// The thread died.
    #[error("the reporter's thread panicked")]
    Panicked,
}

/// A rank's queue to its node.
#[derive(Debug)]
pub(crate) struct Reporter {
    queue: SyncSender<JobEvent>,
    dropped: u64,
    thread: JoinHandle<Result<Reported, ReportError>>,
}

/// What a node took.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    pub(crate) messages: u64,
    pub(crate) checkpoints: Vec<CheckpointCommitment>,
    /// What was committed and answered of audited steps.
    pub(crate) auditor: Option<Auditor>,
}

impl ReportError {
    /// Who has to act.
    #[must_use]
    pub(crate) fn culprit(&self) -> Culprit {
        match self {
            Self::Refused(error) => error.culprit(),
            Self::Audit(error) => error.culprit(),
            Self::Dropped(_) | Self::Start(_) => Culprit::Unavailable,
            Self::Panicked => Culprit::Internal,
        }
    }
}

impl Reporter {
    /// Starts the thread for one attempt of the job.
    ///
    /// # Errors
    /// [`ReportError::Start`].
    pub(crate) fn start(socket: &Path, attempt: u16, auditor: Option<Auditor>) -> Result<Self, ReportError> {
        let (queue, events) = sync_channel(QUEUE);
        let client = Client::new(socket);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ReportError::Start)?;
        let work = move || runtime.block_on(carry(&client, attempt, auditor, &events));
        let thread = std::thread::Builder::new().name("reporter".to_owned()).spawn(work).map_err(ReportError::Start)?;
        Ok(Self { queue, dropped: 0, thread })
    }

    /// Queues an event, or drops it; never waits.
    pub(crate) fn report(&mut self, event: JobEvent) {
        if self.queue.try_send(event).is_err() {
            self.dropped += 1;
        }
    }

    /// Waits until the node has everything.
    ///
    /// # Errors
    /// [`ReportError`]; one dropped report is too many for a demo.
    pub(crate) fn finish(self) -> Result<Reported, ReportError> {
        let Self { queue, dropped, thread } = self;
        drop(queue);
        // A node's refusal comes first: it is why the queue filled.
        let reported = thread.join().map_err(|_| ReportError::Panicked)??;
        if dropped > 0 { Err(ReportError::Dropped(dropped)) } else { Ok(reported) }
    }
}

async fn carry(
    client: &Client,
    attempt: u16,
    mut auditor: Option<Auditor>,
    events: &Receiver<JobEvent>,
) -> Result<Reported, ReportError> {
    let mut reported = Reported::default();
    if let Some(auditor) = &mut auditor {
        let node: NodeInfo = client.get(paths::NODE).await?;
        auditor.under(node.genesis.ok_or(AuditError::NoRun)?, node.node_key)?;
    }
    while let Ok(event) = events.recv() {
        match event {
            JobEvent::WorkUnit { step, rank, micro_batch, flop } => {
                let unit = WorkUnitReport { attempt, step, rank, micro_batch, flop };
                let _: Acknowledged = client.post(paths::WORK_UNIT, &unit).await?;
            }
            JobEvent::Step { step } => {
                let _: Acknowledged = client.post(paths::STEP, &StepReport { attempt, step }).await?;
            }
            JobEvent::Trace(captured) => {
                let Some(auditor) = &mut auditor else { continue };
                auditor.take(captured)?;
                if !auditor.is_full() {
                    continue;
                }
                commit_and_answer(client, auditor).await?;
            }
            JobEvent::Checkpoint { step, files } => {
                let request = CheckpointRequest { attempt, step, files };
                reported.checkpoints.push(client.post(paths::CHECKPOINT, &request).await?);
            }
        }
        reported.messages += 1;
    }
    if let Some(auditor) = &mut auditor {
        commit_and_answer(client, auditor).await?;
    }
    Ok(Reported { auditor, ..reported })
}

/// The root goes to the node first; only then is anything drawn.
async fn commit_and_answer(client: &Client, auditor: &mut Auditor) -> Result<(), ReportError> {
    let Some(closing) = auditor.close()? else { return Ok(()) };
    let _: Acknowledged = client.post(paths::WINDOW, &closing.report).await?;
    Ok(auditor.answer(closing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_there_is_the_reason_and_the_job_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut reporter = Reporter::start(&folder.path().join("absent.sock"), 0, None).unwrap();
        for step in 0..2_000 {
            reporter.report(JobEvent::Step { step });
        }
        let error = reporter.finish().unwrap_err();
        assert!(matches!(error, ReportError::Refused(ClientError::Absent { .. })), "{error:?}");
        assert_eq!(error.culprit(), Culprit::Unavailable);
    }

    #[test]
    fn a_slow_node_costs_reports_and_they_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("mute.sock");
        // Accepts by its backlog and answers nothing until it is closed.
        let mute = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut reporter = Reporter::start(&socket, 0, None).unwrap();
        for step in 0..QUEUE as u64 + 50 {
            reporter.report(JobEvent::Step { step });
        }
        assert!((49..=50).contains(&reporter.dropped), "{}", reporter.dropped);
        drop(mute);
        assert!(matches!(reporter.finish(), Err(ReportError::Refused(_))));
    }
}
