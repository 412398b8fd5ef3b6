//! **Duty.** A view of a stored tensor: an offset, a shape and strides, in elements. Transposing, splitting heads, slicing
//! and broadcasting are views with other strides. **Knows** index arithmetic, checked. **Does not know** bytes.
//! **Spec.** docs/trace-format.md (Operands).

use thiserror::Error;

/// Most dimensions of a view: attention with a batch, heads and two grouped axes has six.
pub const MAX_VIEW_RANK: usize = 8;
/// Elements of a view stay below this, so that each place is one packed field element.
const MAX_ELEMENTS: u64 = 1 << 56;

/// Which elements of a stored tensor, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    offset: u64,
    shape: Vec<u64>,
    strides: Vec<u64>,
}

/// A view that its tensor does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Shape and strides do not go together.
    #[error("it has {shape} dimensions and {strides} strides")]
    Ranks {
        /// Dimensions.
        shape: usize,
        /// Strides.
        strides: usize,
    },
    /// Too many dimensions.
    #[error("it has {found} dimensions; a view has at most {MAX_VIEW_RANK}")]
    Rank {
        /// Dimensions.
        found: usize,
    },
    /// No element, or too many to count.
    #[error("it has no element, or more than can be counted")]
    Elements,
    /// It leaves its tensor.
    #[error("its last element is {last}, and the tensor has {elements}")]
    Outside {
        /// Place of the farthest element.
        last: u64,
        /// Elements of the tensor.
        elements: u64,
    },
}

impl View {
    /// A view of a tensor of `elements` elements.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn new(offset: u64, shape: Vec<u64>, strides: Vec<u64>, elements: u64) -> Result<Self, ViewError> {
        if shape.len() != strides.len() {
            return Err(ViewError::Ranks { shape: shape.len(), strides: strides.len() });
        }
        if shape.len() > MAX_VIEW_RANK {
            return Err(ViewError::Rank { found: shape.len() });
        }
        count(&shape).ok_or(ViewError::Elements)?;
        let reach = shape.iter().zip(&strides).try_fold(offset, |last, (extent, stride)| {
            last.checked_add(extent.saturating_sub(1).checked_mul(*stride)?)
        });
        match reach {
            Some(last) if last < elements => Ok(Self { offset, shape, strides }),
            reach => Err(ViewError::Outside { last: reach.unwrap_or(u64::MAX), elements }),
        }
    }

    /// Elements one after the other, from `offset` on.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn contiguous(offset: u64, shape: Vec<u64>, elements: u64) -> Result<Self, ViewError> {
        count(&shape).ok_or(ViewError::Elements)?;
        let strides = strides_of(&shape);
        Self::new(offset, shape, strides, elements)
    }

    /// Dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Steps in the tensor for one step in each dimension.
    #[must_use]
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }

    /// First element in the tensor.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        count(&self.shape).unwrap_or_default()
    }

    /// Whether it shows each element of a tensor of `elements` once, in the order of the tensor.
    #[must_use]
    pub fn is_whole(&self, elements: u64) -> bool {
        let unit = |(extent, (stride, wanted)): (&u64, (&u64, &u64))| *extent == 1 || stride == wanted;
        let wanted = strides_of(&self.shape);
        let in_order = self.shape.iter().zip(self.strides.iter().zip(&wanted)).all(unit);
        self.offset == 0 && self.elements() == elements && in_order
    }

    /// Place in the tensor of the `index`-th element, counted row by row; `None` past the end.
    #[must_use]
    pub fn place(&self, index: u64) -> Option<u64> {
        let mut rest = index;
        let mut place = self.offset;
        for (extent, stride) in self.shape.iter().zip(&self.strides).rev() {
            place = place.checked_add(rest.checked_rem(*extent)?.checked_mul(*stride)?)?;
            rest = rest.checked_div(*extent)?;
        }
        (rest == 0).then_some(place)
    }

    /// Place in the tensor of the element at these coordinates; `None` outside.
    #[must_use]
    pub fn at(&self, coordinates: &[u64]) -> Option<u64> {
        if coordinates.len() != self.shape.len() {
            return None;
        }
        coordinates.iter().zip(self.shape.iter().zip(&self.strides)).try_fold(
            self.offset,
            |place, (at, (extent, stride))| {
                if at >= extent { None } else { place.checked_add(at.checked_mul(*stride)?) }
            },
        )
    }
}

/// Number of elements of a shape; `None` when it is 0 or not below 2⁵⁶.
pub(super) fn count(shape: &[u64]) -> Option<u64> {
    let product = shape.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent))?;
    (1..MAX_ELEMENTS).contains(&product).then_some(product)
}

/// Strides of elements one after the other.
fn strides_of(shape: &[u64]) -> Vec<u64> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut step = 1u64;
    for extent in shape.iter().rev() {
        strides.push(step);
        step = step.saturating_mul(*extent);
    }
    strides.reverse();
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_view_walks_columns() {
        let view = View::new(0, vec![3, 2], vec![1, 3], 6).unwrap();
        let places: Vec<u64> = (0..6).map(|index| view.place(index).unwrap()).collect();
        assert_eq!(places, [0, 3, 1, 4, 2, 5]);
        assert_eq!((view.place(6), view.at(&[2, 1]), view.at(&[3, 0])), (None, Some(5), None));
        assert!(!view.is_whole(6));
    }

    #[test]
    fn a_view_stays_in_its_tensor() {
        assert_eq!(View::new(0, vec![3, 2], vec![2, 1], 5), Err(ViewError::Outside { last: 5, elements: 5 }));
        assert_eq!(View::new(0, vec![2], vec![u64::MAX], 5), Err(ViewError::Outside { last: u64::MAX, elements: 5 }));
        assert_eq!(View::new(0, vec![2, 0], vec![1, 1], 5), Err(ViewError::Elements));
        assert_eq!(View::new(0, vec![1 << 40, 1 << 40], vec![0, 0], 5), Err(ViewError::Elements));
        assert_eq!(View::new(0, vec![1; 9], vec![0; 9], 5), Err(ViewError::Rank { found: 9 }));
        assert_eq!(View::new(0, vec![1], vec![], 5), Err(ViewError::Ranks { shape: 1, strides: 0 }));
    }

    #[test]
    fn whole_is_every_element_once_in_order() {
        assert!(View::contiguous(0, vec![2, 3], 6).unwrap().is_whole(6));
        assert!(View::contiguous(0, vec![6, 1], 6).unwrap().is_whole(6));
        assert!(View::contiguous(0, vec![], 1).unwrap().is_whole(1));
        assert!(!View::contiguous(0, vec![2, 2], 6).unwrap().is_whole(6));
        assert!(!View::contiguous(1, vec![5], 6).unwrap().is_whole(6));
        assert!(!View::new(0, vec![2, 3], vec![0, 1], 6).unwrap().is_whole(6));
        assert!(View::new(0, vec![1, 6], vec![0, 1], 6).unwrap().is_whole(6));
    }
}
