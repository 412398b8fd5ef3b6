//! **Duty.** All-reduce among rank threads. **Knows** buffers and channels. **Does not know** what is averaged.
//! Channels rather than a barrier: a rank that fails drops its ends and the others learn it instead of waiting forever.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use thiserror::Error;

/// Another rank is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("another rank stopped before the all-reduce was complete")]
pub(crate) struct PeerLost;

/// One rank's end of the collective.
#[derive(Debug)]
pub(crate) struct Member {
    /// One channel to every rank, this one included, in rank order.
    to: Vec<Sender<Arc<[f32]>>>,
    from: Vec<Receiver<Arc<[f32]>>>,
}

impl Member {
    /// The ends of all ranks, in rank order.
    pub(crate) fn of(ranks: usize) -> Vec<Self> {
        let mut members: Vec<Self> = (0..ranks).map(|_| Self { to: Vec::new(), from: Vec::new() }).collect();
        for source in 0..ranks {
            for target in 0..ranks {
                let (to, from) = channel();
                members[source].to.push(to);
                members[target].from.push(from);
            }
        }
        members
    }

    /// Element by element mean over all ranks. Summed in rank order, so every rank gets the same bits.
    ///
    /// # Errors
    /// [`PeerLost`].
    pub(crate) fn mean(&self, own: Vec<f32>) -> Result<Vec<f32>, PeerLost> {
        let own: Arc<[f32]> = own.into();
        let mut sum = vec![0f32; own.len()];
        for to in &self.to {
            to.send(Arc::clone(&own)).map_err(|_| PeerLost)?;
        }
        for from in &self.from {
            let other = from.recv().map_err(|_| PeerLost)?;
            sum.iter_mut().zip(other.iter()).for_each(|(total, value)| *total += value);
        }
        let share = 1.0 / self.from.len() as f32;
        sum.iter_mut().for_each(|total| *total *= share);
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_gets_the_same_mean_and_a_lost_rank_is_noticed() {
        let mut members = Member::of(2);
        let (second, first) = (members.remove(1), members.remove(0));
        let other = std::thread::spawn(move || second.mean(vec![1.0, 5.0]));
        assert_eq!(first.mean(vec![3.0, 5.0]), Ok(vec![2.0, 5.0]));
        assert_eq!(other.join().unwrap(), Ok(vec![2.0, 5.0]));
        // The other rank's ends went with its thread.
        assert_eq!(first.mean(vec![0.0]), Err(PeerLost));
    }
}
