//! **Duty.** What an event log says about the run-time registers of a TD, once it was replayed. **Does not know** formats
//! of logs or registers of other TEEs. **Spec.** EVIDENCE §2.7.

use std::sync::Arc;

use serde::Serialize;

use crate::digest::{as_hex, as_list};

/// Whether a log stands behind what is said about the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventLogState {
    /// None was given.
    Missing,
    /// One was given, and every register that it speaks of has the value that it gives.
    Replayed,
    /// What was given does not lead to these registers: nothing of it counts.
    Untrusted,
}

/// Events of one type in one register. Registers cover digests alone: a type is what the log calls it, but for events
/// whose digest also covers their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EventCount {
    /// RTMR 0 to 3.
    pub register: u8,
    /// As the log has it (TCG PC Client event types, and vendors' own).
    pub event_type: u32,
    /// How many.
    pub count: u32,
    /// Of how many of these the content stands in the log with the digest that was extended.
    pub bound: u32,
}

/// A run-time event whose digest covers type, name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedEvent {
    /// RTMR 0 to 3.
    pub register: u8,
    /// Its name.
    pub name: String,
    /// Its content.
    #[serde(serialize_with = "as_hex")]
    pub payload: Vec<u8>,
}

/// What is known about the registers. Events are shared: one log may stand behind thousands of quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventLogClaims {
    /// Whether a log counts.
    pub state: EventLogState,
    /// Of each register, whether the log's events lead exactly to its value; a register that nobody extended is zero, and
    /// a log without events for it explains it.
    pub explained: [bool; 4],
    /// Ascending by register and type.
    #[serde(serialize_with = "as_list")]
    pub events: Arc<[EventCount]>,
    /// In the order of the log.
    #[serde(serialize_with = "as_list")]
    pub named: Arc<[NamedEvent]>,
}

impl EventLogClaims {
    /// Nothing is known.
    #[must_use]
    pub fn none(state: EventLogState) -> Self {
        Self { state, explained: [false; 4], events: Arc::default(), named: Arc::default() }
    }

    /// Whether every register is explained.
    #[must_use]
    pub fn explains_all(&self) -> bool {
        self.explained.iter().all(|explained| *explained)
    }
}
