//! **Duty.** A crew of threads that works through a row of jobs and hands the results back in the order of the jobs.
//! **Knows** threads. **Does not know** what a job is, files or clocks. **Spec.** Decision 0012.
//!
//! The caller leads: it makes the jobs, works on one itself whenever enough of them wait, and folds the results. So
//! `threads` is the number of busy threads, and with one thread everything runs in the caller, in order. A lead that
//! pauses (a throttle) pauses the crew: what is in flight is bounded by [`window`].

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, available_parallelism, scope};

/// Beyond this a single reader cannot feed the crew, and buffers would leave the bound on memory.
const MAX_THREADS: usize = 64;
/// Beside a training job: no more than this, whatever the machine.
const MAX_POLITE_THREADS: usize = 16;

/// How many threads a commitment may use. No digest depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    threads: usize,
}

impl Effort {
    /// Beside a training job: half of the processors, at most 16.
    #[must_use]
    pub fn polite() -> Self {
        Self::threads(processors().div_ceil(2).min(MAX_POLITE_THREADS))
    }

    /// Every processor that this process may use, at most 64.
    #[must_use]
    pub fn all_cores() -> Self {
        Self::threads(processors())
    }

    /// That many threads: at least 1, at most 64.
    #[must_use]
    pub fn threads(threads: usize) -> Self {
        Self { threads: threads.clamp(1, MAX_THREADS) }
    }

    /// The number of threads.
    #[must_use]
    pub const fn thread_count(self) -> usize {
        self.threads
    }
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Most jobs that are submitted and not yet handed back.
pub(crate) const fn window(threads: usize) -> usize {
    threads.saturating_mul(4)
}

/// The lead's end of a crew.
pub(crate) struct Crew<'a, J, O> {
    shared: &'a Shared<J, O>,
    work: &'a (dyn Fn(J) -> O + Sync),
    /// Jobs that may wait before the lead works too: one for each helper.
    spare: usize,
    window: u64,
    submitted: u64,
    handed_back: u64,
    early: BTreeMap<u64, O>,
}

struct Shared<J, O> {
    state: Mutex<State<J, O>>,
    work_waits: Condvar,
    result_waits: Condvar,
}

struct State<J, O> {
    queue: VecDeque<(u64, J)>,
    results: Vec<(u64, std::thread::Result<O>)>,
    closed: bool,
}

/// Sends the helpers home, also when the lead returns early or panics.
struct Closing<'a, J, O>(&'a Shared<J, O>);

/// Runs `lead` with a crew of `threads`, itself included.
pub(crate) fn with_crew<J: Send, O: Send, R>(
    threads: usize,
    work: &(dyn Fn(J) -> O + Sync),
    lead: impl FnOnce(&mut Crew<'_, J, O>) -> R,
) -> R {
    let shared = Shared {
        state: Mutex::new(State { queue: VecDeque::new(), results: Vec::new(), closed: false }),
        work_waits: Condvar::new(),
        result_waits: Condvar::new(),
    };
    scope(|scope| {
        let _closing = Closing(&shared);
        // A system that has no thread left still gets its answer, more slowly.
        let helpers = (1..threads).map_while(|_| Builder::new().spawn_scoped(scope, || shared.help(work)).ok()).count();
        lead(&mut Crew {
            shared: &shared,
            work,
            spare: helpers,
            window: window(threads) as u64,
            submitted: 0,
            handed_back: 0,
            early: BTreeMap::new(),
        })
    })
}

impl<J: Send, O: Send> Crew<'_, J, O> {
    /// Adds a job; returns the results that are next in order by now.
    pub(crate) fn submit(&mut self, job: J) -> Vec<O> {
        self.shared.state().queue.push_back((self.submitted, job));
        self.submitted = self.submitted.saturating_add(1);
        self.shared.work_waits.notify_one();
        let (spare, window) = (self.spare, self.window);
        self.advance(|crew, waiting| waiting > spare || crew.submitted.saturating_sub(crew.handed_back) > window)
    }

    /// The results of all jobs that were not handed back yet.
    pub(crate) fn finish(&mut self) -> Vec<O> {
        self.advance(|crew, _| crew.handed_back < crew.submitted)
    }

    /// Works and waits for as long as `more` says so (it hears how many jobs wait in the queue).
    fn advance(&mut self, more: impl Fn(&Self, usize) -> bool) -> Vec<O> {
        let mut in_order = Vec::new();
        let mut state = self.shared.state();
        loop {
            for (number, result) in state.results.drain(..) {
                self.early.insert(number, result.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            while let Some(result) = self.early.remove(&self.handed_back) {
                in_order.push(result);
                self.handed_back = self.handed_back.saturating_add(1);
            }
            if !more(self, state.queue.len()) {
                return in_order;
            }
            match state.queue.pop_front() {
                Some((number, job)) => {
                    drop(state);
                    let result = (self.work)(job);
                    self.early.insert(number, result);
                    state = self.shared.state();
                }
                None if state.results.is_empty() && !self.early.contains_key(&self.handed_back) => {
                    state = self.shared.result_waits.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => {}
            }
        }
    }
}

impl<J, O> Shared<J, O> {
    /// A panic is carried to the lead by the result, so a poisoned lock says nothing.
    fn state(&self) -> MutexGuard<'_, State<J, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn help(&self, work: &(dyn Fn(J) -> O + Sync)) {
        let mut state = self.state();
        while !state.closed {
            let Some((number, job)) = state.queue.pop_front() else {
                state = self.work_waits.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| work(job)));
            state = self.state();
            state.results.push((number, result));
            self.result_waits.notify_one();
        }
    }
}

impl<J, O> Drop for Closing<'_, J, O> {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.state().closed = true;
        shared.work_waits.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_never_more_than_the_window_is_out() {
        for threads in [1, 2, 3, 7] {
            let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = |job: u64| {
                // Later jobs are shorter, so that they overtake.
                (0..(1_000 - job % 100)).fold(job, |sum, i| std::hint::black_box(sum ^ i));
                job
            };
            let results = with_crew(threads, &work, |crew| {
                let mut results = Vec::new();
                for job in 0..2_000 {
                    most.fetch_max(out.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    let back = crew.submit(job);
                    out.fetch_sub(back.len(), Ordering::Relaxed);
                    results.extend(back);
                }
                results.extend(crew.finish());
                results
            });
            assert_eq!(results, (0..2_000).collect::<Vec<_>>(), "{threads} threads");
            assert!(most.into_inner() <= window(threads) + 1, "{threads} threads");
        }
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_lead() {
        let work = |job: u64| if job == 7 { panic!("seven") } else { job };
        let caught = catch_unwind(AssertUnwindSafe(|| {
            with_crew(3, &work, |crew| {
                (0..100).for_each(|job| drop(crew.submit(job)));
                crew.finish().len()
            })
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"seven"));
    }

    #[test]
    fn effort_has_bounds() {
        assert_eq!(Effort::threads(0).thread_count(), 1);
        assert_eq!(Effort::threads(1_000).thread_count(), 64);
        assert!(Effort::polite().thread_count() <= Effort::all_cores().thread_count().div_ceil(2).max(1));
    }
}
