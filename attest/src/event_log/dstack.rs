//! **Duty.** The JSON log of dstack: firmware's events, and run-time events whose digest covers type, name and content. As
//! a list, or inside an answer that also carries the quote. **Does not know** what an event means for an application.
//! **Spec.** EVIDENCE §2.7; dstack's event log format.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use weighbridge_attest_types::NamedEvent;

use super::{Replay, sha384};
use crate::budget::MAX_EVENTS;

/// Event type of everything that dstack extends at run time.
const RUN_TIME: u32 = 0x0800_0001;

/// The key that every event has, also where the list is a string inside JSON.
const KEYS: [&[u8]; 2] = [b"\"imr\"", b"\\\"imr\\\""];

pub(super) fn is_log(bytes: &[u8]) -> bool {
    let begins = matches!(bytes.trim_ascii_start().first(), Some(b'[' | b'{'));
    begins && KEYS.iter().any(|key| bytes.windows(key.len()).any(|window| window == *key))
}

pub(super) fn read(bytes: &[u8], replay: &mut Replay) -> Result<(), String> {
    let is_list = bytes.trim_ascii_start().starts_with(b"[");
    let events = match is_list {
        true => serde_json::from_slice::<Events>(bytes).map_err(|why| why.to_string())?,
        false => serde_json::from_slice::<Answer>(bytes).map_err(|why| why.to_string())?.event_log,
    };
    events.0.into_iter().try_for_each(|event| event.replay(replay))
}

/// An answer of dstack's guest agent; its quote is not read here.
#[derive(Deserialize)]
struct Answer {
    event_log: Events,
}

/// A list, or a string that holds one.
struct Events(Vec<Event>);

#[derive(Deserialize)]
struct Event {
    imr: u8,
    event_type: u32,
    digest: Digest48,
    event: String,
    event_payload: Hex,
}

struct Digest48([u8; 48]);

struct Hex(Vec<u8>);

impl Event {
    fn replay(self, replay: &mut Replay) -> Result<(), String> {
        let Self { imr, event_type, digest: Digest48(digest), event: name, event_payload: Hex(payload) } = self;
        if event_type != RUN_TIME {
            return replay.extend(imr, event_type, digest, sha384(&payload) == digest);
        }
        // The digest covers `type:name:content`: with a colon in the name, one digest would have several readings.
        if name.contains(':') {
            return Err(format!("run-time event {name:?}: a name with a colon cannot be told from its content"));
        }
        let covered = [&event_type.to_le_bytes()[..], b":", name.as_bytes(), b":", &payload].concat();
        if sha384(&covered) != digest {
            return Err(format!("run-time event {name:?}: the digest is not that of its name and content"));
        }
        replay.extend(imr, event_type, digest, true)?;
        replay.named.push(NamedEvent { register: imr, name, payload });
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventsVisitor { may_be_text: true })
    }
}

struct EventsVisitor {
    may_be_text: bool,
}

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = Events;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events, or a string that holds one")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Events, E> {
        if !self.may_be_text {
            return Err(E::custom("a list of events inside two strings"));
        }
        let mut inner = serde_json::Deserializer::from_str(text);
        let events = inner.deserialize_any(Self { may_be_text: false }).map_err(E::custom)?;
        inner.end().map_err(E::custom)?;
        Ok(events)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Events, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = list.next_element()? {
            if events.len() == MAX_EVENTS {
                return Err(A::Error::custom(format!("more than {MAX_EVENTS} events")));
            }
            events.push(event);
        }
        Ok(Events(events))
    }
}

impl<'de> Deserialize<'de> for Digest48 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Hex(bytes) = Hex::deserialize(deserializer)?;
        bytes.try_into().map(Self).map_err(|_| D::Error::custom("a digest of 48 bytes is expected"))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map(Self).map_err(|why| D::Error::custom(format!("not hex: {why}")))
    }
}
