//! **Duty.** Event logs of TDs: read, replayed once, and held against the run-time registers of a quote. **Knows** two
//! formats: the TCG log of CCEL and dstack's JSON. **Does not know** quotes: nobody vouches for a log but the registers
//! that it leads to. **Spec.** EVIDENCE §2.7; docs/decisions/0036.

mod dstack;
mod tcg;

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{SHA384, digest};
use weighbridge_attest_types::{EventCount, EventLogClaims, EventLogState, NamedEvent};

use crate::budget::{MAX_EVENT_LOG_BYTES, MAX_EVENTS};
use crate::error::Failure;

/// RTMR0 to RTMR3.
const REGISTERS: usize = 4;

/// A log as far as registers can tell whether it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventLog {
    /// What the events lead to; `None` for a register without events.
    values: [Option<[u8; 48]>; REGISTERS],
    events: Arc<[EventCount]>,
    named: Arc<[NamedEvent]>,
}

/// Knows a log by its first bytes, or by its keys. What is recognised must also be readable.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Result<EventLog, Failure>> {
    let read: fn(&[u8], &mut Replay) -> Result<(), String> = if tcg::is_log(bytes) {
        tcg::read
    } else if dstack::is_log(bytes) {
        dstack::read
    } else {
        return None;
    };
    let mut replay = Replay::default();
    let read = match bytes.len() {
        0..=MAX_EVENT_LOG_BYTES => read(bytes, &mut replay),
        longer => Err(format!("{longer} bytes are over the cap of {MAX_EVENT_LOG_BYTES}")),
    };
    Some(read.map(|()| replay.finish()).map_err(|why| Failure::new("event-log-unreadable", why)))
}

impl EventLog {
    /// How many events stand in it, for people who keep such files.
    pub(crate) fn describe(&self) -> String {
        let count = self.events.iter().fold(0u32, |count, event| count.saturating_add(event.count));
        format!("{count} events of run-time registers")
    }

    /// What the log says about these registers. Every register that it speaks of must have the value that it gives;
    /// otherwise nothing of it counts.
    pub(crate) fn against(&self, rtmr: &[[u8; 48]; REGISTERS]) -> EventLogClaims {
        let told = self.values.iter().zip(rtmr);
        if told.clone().any(|(value, register)| value.is_some_and(|value| value != *register)) {
            return EventLogClaims::none(EventLogState::Untrusted);
        }
        let mut explained = [false; REGISTERS];
        for (explained, (value, register)) in explained.iter_mut().zip(told) {
            *explained = value.is_some() || *register == [0; 48];
        }
        EventLogClaims {
            state: EventLogState::Replayed,
            explained,
            events: self.events.clone(),
            named: self.named.clone(),
        }
    }
}

/// The registers as they are extended, event by event.
#[derive(Debug, Default)]
struct Replay {
    values: [Option<[u8; 48]>; REGISTERS],
    counts: BTreeMap<(u8, u32), (u32, u32)>,
    named: Vec<NamedEvent>,
    total: usize,
}

impl Replay {
    /// `value = SHA-384(old ‖ digest)`, from zero.
    fn extend(&mut self, register: u8, event_type: u32, event: [u8; 48], is_bound: bool) -> Result<(), String> {
        let value = self.values.get_mut(usize::from(register));
        let value = value.ok_or_else(|| format!("there is no RTMR{register}"))?;
        *value = Some(sha384(&[value.unwrap_or([0; 48]), event].concat()));
        let (count, bound) = self.counts.entry((register, event_type)).or_default();
        *count = count.saturating_add(1);
        *bound = bound.saturating_add(u32::from(is_bound));
        self.count()
    }

    /// One more event, whether it extends a register or not.
    fn count(&mut self) -> Result<(), String> {
        self.total = self.total.saturating_add(1);
        if self.total > MAX_EVENTS { Err(format!("more than {MAX_EVENTS} events")) } else { Ok(()) }
    }

    fn finish(self) -> EventLog {
        let count = |((register, event_type), (count, bound))| EventCount { register, event_type, count, bound };
        let events = self.counts.into_iter().map(count).collect();
        EventLog { values: self.values, events, named: self.named.into() }
    }
}

fn sha384(bytes: &[u8]) -> [u8; 48] {
    let mut value = [0; 48];
    value.copy_from_slice(digest(&SHA384, bytes).as_ref());
    value
}

#[cfg(test)]
mod tests;
