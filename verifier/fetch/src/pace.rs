//! **Duty.** Requests to one host stand in a queue, with a pause between them that the host asks for. **Knows** hosts and
//! instants. **Does not know** requests. **Spec.** EVIDENCE §3.4: AMD's service answers about one VCEK per 10 s.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// When each host may be asked again.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    free: Mutex<BTreeMap<String, Duration>>,
}

impl Queue {
    /// Takes the next place in a host's queue and waits until it is this request's turn.
    pub(crate) fn wait(&self, host: &str, pause: Duration, clock: &dyn Clock) {
        let now = clock.monotonic();
        let turn = {
            // A thread that panicked left a whole map.
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = free.get(host).copied().unwrap_or_default().max(now);
            free.insert(host.to_owned(), turn.saturating_add(pause));
            turn
        };
        if turn > now {
            clock.sleep(turn.saturating_sub(now));
        }
    }

    /// A host that asked for quiet is left alone by everybody until then.
    pub(crate) fn hold(&self, host: &str, until: Duration) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = free.entry(host.to_owned()).or_default();
        *turn = (*turn).max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::Still;

    #[test]
    fn a_host_is_asked_once_per_pause_and_others_are_not_kept_waiting() {
        let (queue, clock) = (Queue::default(), Still::default());
        let pause = Duration::from_secs(10);
        for host in ["amd", "amd", "intel", "amd"] {
            queue.wait(host, pause, &clock);
        }
        // Ten seconds before the second, then what is left of ten before the third.
        assert_eq!(clock.slept(), [Duration::from_secs(10), Duration::from_secs(10)]);
        queue.hold("intel", Duration::from_secs(100));
        queue.wait("intel", Duration::ZERO, &clock);
        assert_eq!(clock.monotonic(), Duration::from_secs(100));
    }
}
