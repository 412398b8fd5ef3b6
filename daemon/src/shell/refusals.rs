//! **Duty.** Lets each refusal into the log once a minute for each user: a job that asks wrongly ten thousand times a second
//! must not fill the journal. **Does not know** what was refused. **Spec.** the node's own floor: nothing is silent, and
//! nothing drowns the rest.

use std::collections::BTreeMap;
use std::sync::Mutex;

const QUIET_MILLIS: u64 = 60_000;
/// More kinds of refusal than that at once are logged one and all.
const MAX_KINDS: usize = 256;

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(u32, String), Told>>);

#[derive(Debug)]
struct Told {
    at: u64,
    held_back: u64,
}

impl Refusals {
    /// Whether to log this one now, and how many of its kind were held back since the last.
    pub(super) fn tell(&self, uid: u32, code: &str, mono: u64) -> Option<u64> {
        let Ok(mut kinds) = self.0.lock() else { return Some(0) };
        kinds.retain(|_, told| told.held_back > 0 || mono.saturating_sub(told.at) < QUIET_MILLIS);
        match kinds.get_mut(&(uid, code.to_owned())) {
            Some(told) if mono.saturating_sub(told.at) < QUIET_MILLIS => {
                told.held_back = told.held_back.saturating_add(1);
                None
            }
            Some(told) => {
                told.at = mono;
                Some(std::mem::take(&mut told.held_back))
            }
            None => {
                if kinds.len() < MAX_KINDS {
                    kinds.insert((uid, code.to_owned()), Told { at: mono, held_back: 0 });
                }
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_says_how_many_there_were() {
        let refusals = Refusals::default();
        assert_eq!(refusals.tell(1, "a-b", 1_000), Some(0));
        for at in 0..500 {
            assert_eq!(refusals.tell(1, "a-b", 1_001 + at), None);
        }
        assert_eq!(refusals.tell(2, "a-b", 1_001), Some(0));
        assert_eq!(refusals.tell(1, "c-d", 1_001), Some(0));
        assert_eq!(refusals.tell(1, "a-b", 61_000), Some(500));
        assert_eq!(refusals.tell(1, "a-b", 61_001), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let refusals = Refusals::default();
        for uid in 0..10_000 {
            assert_eq!(refusals.tell(uid, "a-b", 5), Some(0));
        }
        assert_eq!(refusals.0.lock().unwrap().len(), MAX_KINDS);
    }
}
