//! Token embedding: rows of a table; its gradient adds rows back.

use crate::operand::Operand;
use crate::storage::{as_f32, on_cpu, update, view};
use candle_core::{Result, Tensor};

/// The rows `tokens` of `table (V, H)`, widened to f32: `(N, H)`, on the device of the table, or on
/// the CPU if it is quantised.
pub fn embedding<'a>(table: impl Into<Operand<'a>>, tokens: &[u32]) -> Result<Tensor> {
    let table = match table.into() {
        Operand::Tensor(table) => table,
        Operand::Quantised(table) => return table.select_rows(tokens),
    };
    let tokens = Tensor::new(tokens, table.device())?;
    as_f32(&table.index_select(&tokens, 0)?)
}

/// Adds each row of `dy (N, H)` to the row of its token in `gradient (V, H)`.
pub fn embedding_backward(gradient: &mut Tensor, tokens: &[u32], dy: &Tensor) -> Result<()> {
    if on_cpu(dy) {
        let width = dy.dim(1)?;
        let dy = view(dy)?;
        return update(gradient, |gradient| {
            for (token, dy) in tokens.iter().zip(dy.chunks_exact(width)) {
                let row = &mut gradient[*token as usize * width..][..width];
                row.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
        });
    }
    let tokens = Tensor::new(tokens, dy.device())?;
    *gradient = gradient.index_add(&tokens, dy, 0)?;
    Ok(())
}
