//! **Duty.** One thread for one device: its calls come one after the other, and an answer that does not come by its
//! deadline is an error while the call hangs on. Until it comes back the device answers nothing else, at once: a driver
//! that hangs takes one thread, never the daemon. **Knows** threads. **Does not know** drivers. **Spec.** EVIDENCE §5.3.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::CollectError;

/// A thread that performs jobs of type `J`.
pub(crate) struct Lane<J> {
    what: &'static str,
    /// Whoever holds it has the turn.
    jobs: Mutex<Sender<J>>,
    unanswered: Unanswered,
}

/// What the thread was asked last, as long as it has not answered.
type Unanswered = Arc<Mutex<Option<&'static str>>>;

/// Where a job leaves its answer.
pub(crate) struct Reply<T> {
    to: Option<SyncSender<T>>,
    unanswered: Unanswered,
}

/// Jobs of a lane that knows nothing about them.
pub(crate) type AnyJob = Box<dyn FnOnce() + Send>;

impl<J: Send + 'static> Lane<J> {
    /// Starts the thread; `work` performs jobs until there can be no more.
    pub(crate) fn start(
        what: &'static str,
        name: &str,
        work: impl FnOnce(Receiver<J>) + Send + 'static,
    ) -> Result<Self, CollectError> {
        let (sender, receiver) = channel();
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(receiver));
        started.map_err(|error| CollectError::Unavailable {
            what,
            why: format!("no thread for it could be started ({error})"),
            remedy: "raise TasksMax= of the service",
        })?;
        Ok(Self { what, jobs: Mutex::new(sender), unanswered: Unanswered::default() })
    }

    /// Has one job done and waits for its answer, at most `limit`.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        asked: &'static str,
        limit: Duration,
        job: impl FnOnce(Reply<T>) -> J,
    ) -> Result<T, CollectError> {
        // A call holds the turn for its deadline at most, so that whoever waits here waits not for ever.
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hanging) = *locked(&self.unanswered) {
            return Err(self.late(format!("{asked}: it has not answered {hanging} yet")));
        }
        let (to, answer) = sync_channel(1);
        *locked(&self.unanswered) = Some(asked);
        let reply = Reply { to: Some(to), unanswered: Arc::clone(&self.unanswered) };
        let sent = jobs.send(job(reply));
        match sent.map_err(|_| RecvTimeoutError::Disconnected).and_then(|()| answer.recv_timeout(limit)) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.late(format!("{asked}: no answer within {} s", limit.as_secs_f32())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.late(format!("{asked}: its thread is gone"))),
        }
    }

    fn late(&self, why: String) -> CollectError {
        let remedy = "look at `dmesg` for the driver; when the call comes back the device is used again, else reset it";
        CollectError::Unavailable { what: self.what, why, remedy }
    }
}

impl Lane<AnyJob> {
    /// A lane of jobs that need nothing but themselves.
    pub(crate) fn plain(what: &'static str, name: &str) -> Result<Self, CollectError> {
        Self::start(what, name, |jobs: Receiver<AnyJob>| jobs.into_iter().for_each(|job| job()))
    }

    /// Has it done on the lane's thread.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        asked: &'static str,
        limit: Duration,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CollectError> {
        self.ask(asked, limit, |reply| Box::new(move || reply.give(act())))
    }
}

impl<T> Reply<T> {
    /// The answer. Whoever asked may have left; the device is free again all the same.
    pub(crate) fn give(mut self, answer: T) {
        *locked(&self.unanswered) = None;
        if let Some(to) = self.to.take() {
            let _ = to.send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // A job that ended without an answer hangs no longer.
        if self.to.is_some() {
            *locked(&self.unanswered) = None;
        }
    }
}

fn locked(unanswered: &Unanswered) -> std::sync::MutexGuard<'_, Option<&'static str>> {
    unanswered.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn lane() -> Lane<AnyJob> {
        Lane::plain("the device", "test").unwrap()
    }

    #[test]
    fn a_call_that_hangs_is_given_up_and_refuses_others_until_it_comes_back() {
        let lane = lane();
        let (release, held) = channel::<()>();
        let hung = lane.run("a report", SHORT, move || held.recv().is_ok()).unwrap_err().to_string();
        assert!(hung.starts_with("the device is unavailable: a report: no answer within 0.02 s; "), "{hung}");
        let refused = lane.run("a counter", LONG, || 5).unwrap_err().to_string();
        assert!(refused.contains("a counter: it has not answered a report yet"), "{refused}");
        release.send(()).unwrap();
        while locked(&lane.unanswered).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(lane.run("a counter", LONG, || 5).unwrap(), 5);
    }

    #[test]
    fn calls_of_one_lane_never_overlap() {
        let lane = Arc::new(lane());
        let inside = Arc::new(Mutex::new(0));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (lane, inside) = (Arc::clone(&lane), Arc::clone(&inside));
                std::thread::spawn(move || {
                    let act = move || {
                        let free = inside.try_lock().map(|mut inside| *inside += 1);
                        std::thread::yield_now();
                        free.is_ok()
                    };
                    lane.run("a report", LONG, act).unwrap()
                })
            })
            .collect();
        assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
        assert_eq!(*inside.lock().unwrap(), 4);
    }

    #[test]
    fn a_job_that_panics_ends_its_lane_and_nothing_else() {
        let lane = lane();
        let gone = lane.run("a report", LONG, || panic!("as if the driver did")).map(|(): ()| ()).unwrap_err();
        assert!(gone.to_string().contains("a report: its thread is gone"), "{gone}");
        assert!(lane.run("a report", LONG, || ()).is_err());
    }
}
