//! A matrix that tasks fill together, each its own rows and columns.

use crate::storage::from_written;
use candle_core::{Result, Tensor};
use std::marker::PhantomData;

/// Memory for a matrix, not yet written.
pub(super) struct Room {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Room {
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows * columns),
            rows,
            columns,
        }
    }

    pub(super) fn fill(&mut self) -> Filling<'_> {
        Filling {
            values: self.values.as_mut_ptr(),
            rows: self.rows,
            columns: self.columns,
            room: PhantomData,
        }
    }

    /// # Safety
    /// Every element was written.
    pub(super) unsafe fn filled(self) -> Result<Tensor> {
        // SAFETY: the caller's.
        unsafe { from_written(self.values, (self.rows, self.columns)) }
    }
}

/// Lets several tasks write.
pub(super) struct Filling<'a> {
    values: *mut f32,
    rows: usize,
    columns: usize,
    room: PhantomData<&'a mut Room>,
}

// SAFETY: see `Filling::put`: no two tasks write the same element, and none reads.
unsafe impl Sync for Filling<'_> {}

impl Filling<'_> {
    /// Writes the rows of `part`, `width` wide each, from this row and column on.
    ///
    /// # Safety
    /// No other task writes these elements.
    pub(super) unsafe fn put(&self, row: usize, column: usize, part: &[f32], width: usize) {
        let rows = part.len() / width;
        assert!(row + rows <= self.rows && column + width <= self.columns);
        for (index, part) in part.chunks_exact(width).enumerate() {
            // SAFETY: the assertion bounds row and column; the elements are the caller's alone.
            unsafe {
                let to = self.values.add((row + index) * self.columns + column);
                to.copy_from_nonoverlapping(part.as_ptr(), width);
            }
        }
    }
}
