//! **Duty.** Which piece is next: one whose inputs are finished and whose proof fits beside those in the making.
//! **Knows** numbers. **Does not know** threads or proofs: a year of proving is tested in a millisecond.

/// A piece as the schedule sees it.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Positions of what it takes.
    pub(super) inputs: Vec<usize>,
    /// Memory while it is made.
    pub(super) bytes: u64,
    /// Weight in the progress.
    pub(super) cost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody needs it: what it would be for is finished.
    Idle,
    Waiting,
    Running,
    Finished,
}

/// What is to be done, what is being done, what is done.
#[derive(Debug)]
pub(super) struct Schedule {
    pieces: Vec<Piece>,
    states: Vec<State>,
    /// Memory for proofs in the making, and how much of it is taken.
    budget: u64,
    taken: u64,
    /// Nothing in front of it waits any more.
    first_waiting: usize,
    /// Pieces that wait or run, and their cost.
    open: usize,
    open_cost: u64,
}

impl Schedule {
    /// `is_finished` is asked from the last piece down, and only about pieces that something needs.
    pub(super) fn new<E>(
        pieces: Vec<Piece>,
        budget: u64,
        mut is_finished: impl FnMut(usize) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut states = vec![State::Idle; pieces.len()];
        let mut needed: Vec<usize> = pieces.len().checked_sub(1).into_iter().collect();
        while let Some(piece) = needed.pop() {
            if states[piece] != State::Idle {
                continue;
            }
            states[piece] = State::Waiting;
            if is_finished(piece)? {
                states[piece] = State::Finished;
            } else {
                needed.extend(&pieces[piece].inputs);
            }
        }
        let open = || states.iter().zip(&pieces).filter(|(state, _)| **state == State::Waiting);
        let (open, open_cost) = (open().count(), open().map(|(_, piece)| piece.cost).sum());
        Ok(Self { pieces, states, budget, taken: 0, first_waiting: 0, open, open_cost })
    }

    /// Takes the first piece that can be made now.
    pub(super) fn take(&mut self) -> Option<usize> {
        while self.states.get(self.first_waiting).is_some_and(|state| *state != State::Waiting) {
            self.first_waiting += 1;
        }
        let next = (self.first_waiting..self.pieces.len()).find(|&piece| self.can_start(piece))?;
        self.states[next] = State::Running;
        self.taken += self.pieces[next].bytes;
        Some(next)
    }

    fn can_start(&self, piece: usize) -> bool {
        let is_ready = || self.pieces[piece].inputs.iter().all(|&input| self.states[input] == State::Finished);
        let fits = || self.taken == 0 || self.taken + self.pieces[piece].bytes <= self.budget;
        self.states[piece] == State::Waiting && fits() && is_ready()
    }

    /// A piece was made.
    pub(super) fn finish(&mut self, piece: usize) {
        self.states[piece] = State::Finished;
        self.taken = self.taken.saturating_sub(self.pieces[piece].bytes);
        self.open -= 1;
        self.open_cost -= self.pieces[piece].cost;
    }

    /// Whether nothing waits or runs.
    pub(super) const fn is_over(&self) -> bool {
        self.open == 0
    }

    /// Pieces that need not be made, and all of them.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.pieces.len() - self.open, self.pieces.len())
    }

    /// Cost of what waits or runs.
    pub(super) const fn cost_left(&self) -> u64 {
        self.open_cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(inputs: &[usize], bytes: u64) -> Piece {
        Piece { inputs: inputs.to_vec(), bytes, cost: bytes }
    }

    /// Two leaves with a wrap each, a fold, a threshold.
    fn tree() -> Vec<Piece> {
        vec![piece(&[], 4), piece(&[0], 2), piece(&[], 4), piece(&[2], 2), piece(&[1, 3], 2), piece(&[4], 3)]
    }

    fn fresh(budget: u64) -> Schedule {
        Schedule::new::<()>(tree(), budget, |_| Ok(false)).unwrap()
    }

    #[test]
    fn pieces_are_made_in_order_and_within_the_budget() {
        let mut one = fresh(4);
        let mut order = Vec::new();
        while let Some(next) = one.take() {
            assert_eq!(one.take(), None, "one at a time");
            one.finish(next);
            order.push(next);
        }
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert!(one.is_over());
        let mut two = fresh(8);
        assert_eq!((two.take(), two.take(), two.take()), (Some(0), Some(2), None));
        two.finish(2);
        assert_eq!((two.take(), two.take()), (Some(3), None));
        assert_eq!(two.counts(), (1, 6));
        assert_eq!(two.cost_left(), 13);
    }

    #[test]
    fn a_piece_over_the_budget_is_made_alone() {
        let mut tight = fresh(1);
        assert_eq!((tight.take(), tight.take()), (Some(0), None));
    }

    #[test]
    fn what_a_finished_piece_was_made_of_is_not_made_again() {
        // The first wrap is there: its leaf is not even looked for.
        let mut asked = Vec::new();
        let found = Schedule::new::<()>(tree(), 8, |piece| {
            asked.push(piece);
            Ok(piece == 1)
        });
        let mut found = found.unwrap();
        assert!(!asked.contains(&0));
        assert_eq!(found.counts(), (2, 6));
        assert_eq!((found.take(), found.take()), (Some(2), None));
        // All of it is there.
        let all = Schedule::new::<()>(tree(), 8, |piece| Ok(piece == 5)).unwrap();
        assert!(all.is_over());
        assert_eq!(all.counts(), (6, 6));
        assert!(Schedule::new(tree(), 8, |_| Err(())).is_err());
    }
}
