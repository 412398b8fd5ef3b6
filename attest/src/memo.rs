//! **Duty.** An answer that costs a signature is worked out once for each key that could have signed, however much
//! evidence asks. **Does not know** what is asked.

use std::sync::{Mutex, PoisonError};

use weighbridge_attest_types::Digest32;

/// Answers by the digest of what they depend on. There are no more of those than endorsements.
#[derive(Debug)]
pub(crate) struct Memo<T> {
    answers: Mutex<Vec<(Digest32, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { answers: Mutex::default() }
    }
}

impl<T: Clone> Memo<T> {
    /// The answer of before, or a new one.
    pub(crate) fn get_or(&self, key: Digest32, ask: impl FnOnce() -> T) -> T {
        // A thread that panicked has left whole answers, or none.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = answers.iter().find(|(known, _)| *known == key) {
            return known.clone();
        }
        let answer = ask();
        answers.push((key, answer.clone()));
        answer
    }

    /// How often something was worked out.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_asked_once() {
        let memo = Memo::default();
        let ask = |key: u8, answer: u8| memo.get_or(Digest32([key; 32]), || answer);
        assert_eq!((ask(1, 10), ask(2, 20), ask(1, 11), ask(2, 21)), (10, 20, 10, 20));
        assert_eq!(memo.asked(), 2);
    }
}
