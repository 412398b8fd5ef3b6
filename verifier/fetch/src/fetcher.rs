//! **Duty.** Asking politely: one request for all who want the same, a queue per host, another try after a pause that grows
//! or that the service names. **Knows** statuses. **Does not know** what is asked for.
//! **Spec.** ECOSYSTEM §3 (2, 13); RFC 9110 §10.2.3 (Retry-After).

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::clock::Clock;
use crate::error::FetchError;
use crate::http::{Ask, HttpError, Reply, Transport};
use crate::pace::Queue;

/// How patient to be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Tries in all.
    pub tries: u32,
    /// Pause after the first failure; it doubles.
    pub first_pause: Duration,
    /// Longest pause, also one that a service asks for.
    pub longest_pause: Duration,
    /// Pause between two requests to one host, by the end of its name.
    pub host_pauses: Vec<(String, Duration)>,
}

/// What everybody who asked gets: one answer, or why there is none.
pub type Answer = Result<Arc<Reply>, Arc<FetchError>>;

/// Asks.
#[derive(Debug)]
pub struct Fetcher {
    transport: Box<dyn Transport>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    queue: Queue,
    /// Requests that somebody is making now, and those that were answered.
    flights: Mutex<BTreeMap<String, Arc<Flight>>>,
}

/// One request that several may wait for.
#[derive(Debug, Default)]
struct Flight {
    answer: Mutex<Option<Answer>>,
    landed: Condvar,
}

impl Fetcher {
    /// Over a transport, with time from a clock.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { transport, clock, limits, queue: Queue::default(), flights: Mutex::default() }
    }

    /// Time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The answer to a request: that of the one who asks for the same right now, or a fresh one.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn get(&self, ask: &Ask) -> Answer {
        // What makes two requests the same is all of them, and that is what stands here.
        let name = format!("{ask:?}");
        let (flight, is_mine) = {
            let mut flights = lock(&self.flights);
            match flights.get(&name) {
                Some(flight) => (Arc::clone(flight), false),
                None => (Arc::clone(flights.entry(name.clone()).or_default()), true),
            }
        };
        if !is_mine {
            return flight.wait();
        }
        let answer: Answer = self.ask(ask).map(Arc::new).map_err(Arc::new);
        // One command asks for each thing once, so answers are kept. After a failure somebody may ask anew; whoever waits
        // now gets the failure.
        if answer.is_err() {
            lock(&self.flights).remove(&name);
        }
        flight.land(answer.clone());
        answer
    }

    fn ask(&self, ask: &Ask) -> Result<Reply, FetchError> {
        let mut pause = self.limits.first_pause;
        let mut tries = 0;
        loop {
            tries += 1;
            self.queue.wait(ask.host(), self.host_pause(ask.host()), self.clock());
            let (failure, asked_for) = match self.transport.exchange(ask) {
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply),
                Ok(reply) if is_passing(reply.status) => {
                    let asked_for = reply.retry_after.as_deref().and_then(|text| self.retry_after(text));
                    (FetchError::Busy { url: ask.url.clone(), status: reply.status, tries }, asked_for)
                }
                Ok(reply) if (300..400).contains(&reply.status) => {
                    let why = format!("it points elsewhere (status {}), and nobody follows", reply.status);
                    return Err(FetchError::Answer { url: ask.url.clone(), why });
                }
                Ok(reply) => return Err(FetchError::NotThere { url: ask.url.clone(), status: reply.status }),
                Err(source) => {
                    let lasting = matches!(source, HttpError::TooLong(_) | HttpError::Refused(_));
                    let failure = FetchError::NoAnswer { url: ask.url.clone(), tries, source };
                    if lasting {
                        return Err(failure);
                    }
                    (failure, None)
                }
            };
            if tries >= self.limits.tries {
                return Err(failure);
            }
            let wait = asked_for.unwrap_or(pause);
            if wait > self.limits.longest_pause {
                return Err(FetchError::Wait { url: ask.url.clone(), seconds: wait.as_secs() });
            }
            // Everybody else at this host waits as well: they would be told the same.
            self.queue.hold(ask.host(), self.clock().monotonic().saturating_add(wait));
            pause = pause.saturating_mul(2).min(self.limits.longest_pause);
        }
    }

    fn host_pause(&self, host: &str) -> Duration {
        let name = host.split(':').next().unwrap_or(host);
        let pauses = self.limits.host_pauses.iter();
        let mut pauses = pauses.filter(|(end, _)| host.ends_with(end.as_str()) || name.ends_with(end.as_str()));
        pauses.next().map_or(Duration::ZERO, |(_, pause)| *pause)
    }

    /// Seconds, or a date.
    fn retry_after(&self, text: &str) -> Option<Duration> {
        if let Ok(seconds) = text.trim().parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?.unix_timestamp();
        let now = self.clock().wall().0 / 1_000;
        Some(Duration::from_secs(u64::try_from(until).ok()?.saturating_sub(now)))
    }
}

impl Flight {
    fn wait(&self) -> Answer {
        let mut answer = lock(&self.answer);
        loop {
            if let Some(answer) = answer.as_ref() {
                return answer.clone();
            }
            answer = self.landed.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn land(&self, answer: Answer) {
        *lock(&self.answer) = Some(answer);
        self.landed.notify_all();
    }
}

/// A thread that panicked left whole values.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Statuses that another try may change.
const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests;
