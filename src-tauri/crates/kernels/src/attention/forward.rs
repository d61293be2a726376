//! Softmax of the scores, and the values mixed by it.

use super::filled::Room;
use super::{Attention, Block, Sequence, product};
use crate::gemm::Matrix;
use crate::softmax::exponentials;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

impl Attention {
    /// Runs every block of every key head; the results of all sequences lie end to end.
    pub(super) fn run(&self, sequences: &[Sequence<'_>]) -> Result<(Tensor, Tensor)> {
        let total: usize = sequences.iter().map(|sequence| sequence.n).sum();
        let mut start = 0;
        let mut blocks = Vec::new();
        for sequence in sequences {
            for head in 0..self.key_value_heads {
                let here = self.blocks(sequence, head).into_iter();
                blocks.extend(here.map(|block| (sequence, start, block)));
            }
            start += sequence.n;
        }
        let mut o = Room::new(total, self.query_width());
        let mut log_sum_exp = Room::new(total, self.query_heads);
        let (to_o, to_sums) = (o.fill(), log_sum_exp.fill());
        let (group, d) = (self.group(), self.head_dim);
        blocks.par_iter().for_each(|(sequence, start, block)| {
            let (part, sums) = self.forward_block(sequence, block);
            let (row, head) = (start + block.first, block.key_head * group);
            // SAFETY: no other block has these rows of these heads.
            unsafe {
                to_o.put(row, head * d, &part, group * d);
                to_sums.put(row, head, &sums, group);
            }
        });
        // SAFETY: the blocks cover every position of every sequence, for every head.
        unsafe { Ok((o.filled()?, log_sum_exp.filled()?)) }
    }

    /// One block: its values `(rows, head_dim)` and log-sum-exps `(rows)`.
    fn forward_block(&self, sequence: &Sequence<'_>, block: &Block) -> (Vec<f32>, Vec<f32>) {
        let (rows, d) = (block.positions * self.group(), self.head_dim);
        let q = self.rows_of(sequence.q, block);
        let mut p = self.scores(sequence, block, Matrix::new(&q, rows, d, d));
        let width = block.keys.len();
        let sums: Vec<(f32, f32)> = p
            .chunks_exact_mut(width)
            .enumerate()
            .map(|(row, scores)| softmax(scores, self.visible_in(sequence, block, row)))
            .collect();
        let p = Matrix::new(&p, rows, width, width);
        let v = self.keys_of(sequence.v, block);
        let mut o = product(1.0, p, v, self.compute.alone());
        for (o, (_, sum)) in o.chunks_exact_mut(d).zip(&sums) {
            let factor = 1.0 / sum;
            o.iter_mut().for_each(|o| *o *= factor);
        }
        let log_sum_exp = sums.iter().map(|(max, sum)| max + sum.ln()).collect();
        (o, log_sum_exp)
    }
}

/// Turns the visible scores into probabilities but for a factor, the others into zero; returns the
/// highest score and the sum to divide by.
fn softmax(scores: &mut [f32], visible: Range<usize>) -> (f32, f32) {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    exponentials(&mut scores[visible])
}
