//! **Duty.** Two views of one list: the state machine can push effects and cannot drain them; the shell can drain them.
//! **Does not know** what performing an effect takes. **Spec.** HOUSE §9 example 7.

use weighbridge_attest_types::{IntervalPublic, Reading};

/// An interval whose facts are fixed. Its reading never leaves the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedInterval {
    /// Public facts.
    pub public: IntervalPublic,
    /// Private reading.
    pub reading: Reading,
}

/// What the shell has to do, in this order, in one durable transaction; quotes come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Keep the state durably before anybody hears an acknowledgement.
    Keep,
    /// Acknowledge; `counted` is false for a repetition.
    Acknowledge {
        /// Whether this call changed anything.
        counted: bool,
    },
    /// Sign, append and keep a sealed interval.
    Append(Box<SealedInterval>),
    /// Quote the head of this interval, off the training job's path.
    Quote {
        /// Index of the interval.
        index: u64,
    },
}

/// The view that can push.
#[derive(Debug, Default)]
pub struct EffectSink(Vec<Effect>);

/// The view that can drain.
#[derive(Debug, Default)]
pub struct Effects(EffectSink);

impl EffectSink {
    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }
}

impl Effects {
    /// The view for the state machine.
    pub fn sink(&mut self) -> &mut EffectSink {
        &mut self.0
    }

    /// All effects, in order.
    #[must_use]
    pub fn drain(self) -> Vec<Effect> {
        self.0.0
    }
}
