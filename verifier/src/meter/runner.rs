//! **Duty.** Makes the pieces of a plan on threads: takes what the schedule gives, keeps what is finished, says where it
//! stands. The first failure ends the work; what was finished before it stays. **Does not know** how a piece is proven.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weighbridge_circuits::{Job, Plan, Prover};

use super::estimate::{calibration, circuits_bytes, proof_bytes};
use super::schedule::{Piece, Schedule};
use super::store::{Found, Store};
use super::{Event, Prepared};
use crate::clock::Stopwatch;
use crate::error::CliError;

/// What the threads share.
struct Shared<'a> {
    plan: &'a Plan<'a>,
    prover: &'a Prover,
    store: &'a Store,
    state: Mutex<Work>,
    /// A piece was finished, or the work is over.
    changed: Condvar,
}

struct Work {
    schedule: Schedule,
    /// Cost of what this process finished.
    cost_done: u64,
    failure: Option<CliError>,
}

/// Makes what is not finished; the last piece's proof.
pub(super) fn run(prepared: &Prepared<'_>, store: &Store, hear: &mut dyn FnMut(Event)) -> Result<Vec<u8>, CliError> {
    let plan = &prepared.plan;
    let prover = Prover::new().map_err(CliError::Prove)?;
    let mut kinds: Vec<_> = plan.jobs().iter().map(|job| job.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let budget = prepared.memory.saturating_sub(circuits_bytes(&kinds));
    let schedule = Schedule::new(plan.jobs().iter().map(piece).collect(), budget, |position| {
        is_finished(plan, &plan.jobs()[position], &prover, store, hear)
    })?;
    let work = Work { schedule, cost_done: 0, failure: None };
    let shared = Shared { plan, prover: &prover, store, state: Mutex::new(work), changed: Condvar::new() };
    let (tell, events) = channel();
    let began = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..prepared.workers {
            let (tell, shared) = (tell.clone(), &shared);
            scope.spawn(move || shared.labour(began, &tell));
        }
        drop(tell);
        // Ends when the last thread is gone.
        events.into_iter().for_each(&mut *hear);
    });
    let work = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match work.failure {
        Some(failure) => Err(failure),
        None => last_piece(plan, store),
    }
}

fn piece(job: &Job) -> Piece {
    let cost = calibration(job.kind).prove_millis;
    Piece { inputs: job.inputs.clone(), bytes: proof_bytes(job.kind), cost }
}

/// A piece that is there and holds. One that is not what it says is named and made again.
fn is_finished(
    plan: &Plan<'_>,
    job: &Job,
    prover: &Prover,
    store: &Store,
    hear: &mut dyn FnMut(Event),
) -> Result<bool, CliError> {
    let (path, why) = match store.find(job)? {
        Found::Absent => return Ok(false),
        Found::Piece(proof) => match prover.check(plan, job, &proof) {
            Ok(()) => return Ok(true),
            Err(error) => (store.path(job), error.to_string()),
        },
        Found::Foreign(path, why) => (path, why),
    };
    hear(Event::Refused { path, why });
    Ok(false)
}

fn last_piece(plan: &Plan<'_>, store: &Store) -> Result<Vec<u8>, CliError> {
    let last = plan.jobs().last().ok_or(CliError::PieceLost)?;
    read(last, store)
}

fn read(job: &Job, store: &Store) -> Result<Vec<u8>, CliError> {
    match store.find(job)? {
        Found::Piece(proof) => Ok(proof),
        Found::Absent | Found::Foreign(..) => Err(CliError::PieceLost),
    }
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread's life.
    fn labour(&self, began: Stopwatch, tell: &Sender<Event>) {
        while let Some(position) = self.next() {
            let job = &self.plan.jobs()[position];
            self.say(job, began, tell);
            let made = self.make(job);
            let mut work = self.lock();
            match made {
                Ok(()) => {
                    work.cost_done += calibration(job.kind).prove_millis;
                    work.schedule.finish(position);
                }
                Err(failure) => {
                    work.failure.get_or_insert(failure);
                }
            }
            self.changed.notify_all();
        }
    }

    /// Waits for a piece that can be made; `None` when there will be none.
    fn next(&self) -> Option<usize> {
        let mut work = self.lock();
        loop {
            if work.failure.is_some() || work.schedule.is_over() {
                return None;
            }
            if let Some(position) = work.schedule.take() {
                return Some(position);
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make(&self, job: &Job) -> Result<(), CliError> {
        let inputs = job.inputs.iter().map(|&input| read(&self.plan.jobs()[input], self.store));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let proof = self.prover.prove(self.plan, job, &inputs).map_err(CliError::Prove)?;
        self.store.keep(job, &proof)
    }

    fn say(&self, job: &Job, began: Stopwatch, tell: &Sender<Event>) {
        let work = self.lock();
        let (done, of) = work.schedule.counts();
        let left = time_left(began.elapsed(), work.cost_done, work.schedule.cost_left());
        drop(work);
        // Whoever listened is gone only when the work is over.
        let _ = tell.send(Event::Progress { done, of, now: job.kind, left });
    }
}

/// What is left takes as long for its cost as what was done.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    let millis = elapsed.as_millis().checked_mul(u128::from(left))?.checked_div(u128::from(done))?;
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_by_what_was_done() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 0, 5), None);
        assert_eq!(time_left(minute, 10, 5), Some(Duration::from_secs(30)));
        assert_eq!(time_left(minute, 10, 0), Some(Duration::ZERO));
        assert!(time_left(Duration::MAX, 1, u64::MAX).is_none_or(|time| time >= minute));
    }
}
