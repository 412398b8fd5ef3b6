//! **Duty.** The key of a tile: where in a run it was computed. **Does not know** what was computed there.
//! **Spec.** PROTOCOL §3 (FLOP tree).
//!
//! Three elements of 56 bits, in the order of the run: attempt 16 | step 40, rank 20 | micro-batch 16 | operation 20,
//! tile row 28 | tile column 28. Comparing the elements in order compares the keys.

use thiserror::Error;

/// Where a tile stands: keys ascend along a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    attempt: u16,
    step: u64,
    rank: u32,
    micro_batch: u16,
    operation: u32,
    tile_row: u32,
    tile_col: u32,
}

/// A place that no key has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{part} {value} does not fit into {bits} bits of a key")]
pub struct KeyError {
    /// Which part.
    pub part: &'static str,
    /// Its value.
    pub value: u64,
    /// The room that it has.
    pub bits: u32,
}

const STEP_BITS: u32 = 40;
const RANK_BITS: u32 = 20;
const OPERATION_BITS: u32 = 20;
const TILE_BITS: u32 = 28;

impl Key {
    /// A key, if every part fits.
    ///
    /// # Errors
    /// [`KeyError`] names the first part that does not.
    pub fn new(
        (attempt, step): (u16, u64),
        (rank, micro_batch, operation): (u32, u16, u32),
        (tile_row, tile_col): (u32, u32),
    ) -> Result<Self, KeyError> {
        let parts = [
            ("step", step, STEP_BITS),
            ("rank", u64::from(rank), RANK_BITS),
            ("operation", u64::from(operation), OPERATION_BITS),
            ("tile row", u64::from(tile_row), TILE_BITS),
            ("tile column", u64::from(tile_col), TILE_BITS),
        ];
        match parts.into_iter().find(|(_, value, bits)| value.checked_shr(*bits).is_none_or(|over| over != 0)) {
            Some((part, value, bits)) => Err(KeyError { part, value, bits }),
            None => Ok(Self { attempt, step, rank, micro_batch, operation, tile_row, tile_col }),
        }
    }

    /// Attempt of the run.
    #[must_use]
    pub const fn attempt(self) -> u16 {
        self.attempt
    }

    /// Rank.
    #[must_use]
    pub const fn rank(self) -> u32 {
        self.rank
    }

    /// The key of the work unit: the same place without operation and tile.
    #[must_use]
    pub const fn unit(self) -> Self {
        Self { operation: 0, tile_row: 0, tile_col: 0, ..self }
    }

    /// The key of the operation: the same place without tile.
    #[must_use]
    pub const fn operation(self) -> Self {
        Self { tile_row: 0, tile_col: 0, ..self }
    }

    /// The same operation at another tile.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn with_tile(self, (tile_row, tile_col): (u32, u32)) -> Result<Self, KeyError> {
        let Self { attempt, step, rank, micro_batch, operation, .. } = self;
        Self::new((attempt, step), (rank, micro_batch, operation), (tile_row, tile_col))
    }

    /// Row and column of the tile, counted in tiles.
    #[must_use]
    pub const fn tile(self) -> (u32, u32) {
        (self.tile_row, self.tile_col)
    }

    /// Its parts by name, for people.
    #[must_use]
    pub fn parts(self) -> [(&'static str, u64); 7] {
        let Self { attempt, step, rank, micro_batch, operation, tile_row, tile_col } = self;
        [
            ("attempt", u64::from(attempt)),
            ("step", step),
            ("rank", u64::from(rank)),
            ("micro_batch", u64::from(micro_batch)),
            ("operation", u64::from(operation)),
            ("tile_row", u64::from(tile_row)),
            ("tile_column", u64::from(tile_col)),
        ]
    }

    /// The key with these elements.
    ///
    /// # Errors
    /// [`KeyError`] where they are no key's.
    pub fn from_elements([unit, place, tile]: [u64; 3]) -> Result<Self, KeyError> {
        let low = |value: u64, bits: u32| value & 1u64.checked_shl(bits).unwrap_or_default().saturating_sub(1);
        let high = |value: u64, bits: u32| value.checked_shr(bits).unwrap_or_default();
        let attempt = u16::try_from(high(unit, STEP_BITS));
        let attempt = attempt.map_err(|_| KeyError { part: "attempt", value: high(unit, STEP_BITS), bits: 16 })?;
        let part = |part, value: u64, bits| u32::try_from(value).map_err(|_| KeyError { part, value, bits });
        let micro_batch = u16::try_from(low(high(place, OPERATION_BITS), 16)).unwrap_or(u16::MAX);
        Self::new(
            (attempt, low(unit, STEP_BITS)),
            (
                part("rank", high(place, 36), RANK_BITS)?,
                micro_batch,
                part("operation", low(place, OPERATION_BITS), OPERATION_BITS)?,
            ),
            (
                part("tile row", high(tile, TILE_BITS), TILE_BITS)?,
                part("tile column", low(tile, TILE_BITS), TILE_BITS)?,
            ),
        )
    }

    /// As it is hashed and compared: three elements below 2⁵⁶.
    #[must_use]
    pub fn elements(self) -> [u64; 3] {
        let Self { attempt, step, rank, micro_batch, operation, tile_row, tile_col } = self;
        [
            (u64::from(attempt) << STEP_BITS) | step,
            (u64::from(rank) << 36) | (u64::from(micro_batch) << OPERATION_BITS) | u64::from(operation),
            (u64::from(tile_row) << TILE_BITS) | u64::from(tile_col),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = Key> {
        let unit = (any::<u16>(), 0..1u64 << STEP_BITS);
        let place = (0..1u32 << RANK_BITS, any::<u16>(), 0..1u32 << OPERATION_BITS);
        (unit, place, (0..1u32 << TILE_BITS, 0..1u32 << TILE_BITS)).prop_map(|(a, b, c)| Key::new(a, b, c).unwrap())
    }

    proptest! {
        #[test]
        fn elements_are_in_the_order_of_keys_and_below_two_to_the_56(a in any_key(), b in any_key()) {
            prop_assert_eq!(a.cmp(&b), a.elements().cmp(&b.elements()));
            prop_assert!(a.elements().iter().all(|element| element >> 56 == 0));
            prop_assert_eq!(Key::from_elements(a.elements()), Ok(a));
        }
    }

    #[test]
    fn a_part_that_does_not_fit_is_named() {
        let refused = Key::new((0, 1 << 40), (0, 0, 0), (0, 0)).unwrap_err();
        assert_eq!(refused.to_string(), "step 1099511627776 does not fit into 40 bits of a key");
        assert_eq!(Key::new((0, 0), (1 << 20, 0, 0), (0, 0)).unwrap_err().part, "rank");
        assert_eq!(Key::new((0, 0), (0, 0, 1 << 20), (0, 0)).unwrap_err().part, "operation");
        assert_eq!(Key::new((0, 0), (0, 0, 0), (1 << 28, 0)).unwrap_err().part, "tile row");
        assert_eq!(Key::new((0, 0), (0, 0, 0), (0, 1 << 28)).unwrap_err().part, "tile column");
        for at in 0..3 {
            let mut elements = [0; 3];
            elements[at] = 1 << 56;
            assert!(Key::from_elements(elements).is_err(), "element {at}");
        }
    }
}
