//! Lengths in tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Bars of the histogram, at most.
const BINS: usize = 24;

/// How long the conversations are for a model, before any cut unless it is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Lengths {
    /// Tokens at which samples are cut.
    pub max_length: usize,
    /// Conversations that were tokenised.
    pub samples: u64,
    /// Tokens of the shortest.
    pub min: usize,
    /// Half of them have at most as many.
    pub median: usize,
    /// Tokens of all, by their number.
    pub mean: f64,
    /// 95 of 100 have at most as many.
    pub p95: usize,
    /// Tokens of the longest.
    pub max: usize,
    /// Tokens of all.
    pub total: u64,
    /// Tokens of all that are learnt, after cutting.
    pub trained: u64,
    /// Conversations that are cut.
    pub cut: u64,
    /// How many have which length; together the bars hold all.
    pub histogram: Vec<Bin>,
}

/// A bar of the histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Bin {
    /// The least length.
    pub from: usize,
    /// The greatest length.
    pub to: usize,
    /// Conversations.
    pub count: u64,
}

/// Lengths so far: how many conversations have each. There are fewer lengths than rows, and
/// percentiles stay exact.
#[derive(Default)]
pub(super) struct Tally {
    counts: BTreeMap<usize, u64>,
    trained: u64,
}

impl Tally {
    pub(super) fn add(&mut self, length: usize, trained: usize) {
        *self.counts.entry(length).or_default() += 1;
        self.trained += trained as u64;
    }

    pub(super) fn finish(&self, max_length: usize) -> Lengths {
        let samples: u64 = self.counts.values().sum();
        let total = self
            .counts
            .iter()
            .map(|(length, count)| *length as u64 * count)
            .sum();
        let cut = self
            .counts
            .iter()
            .filter(|(length, _)| **length > max_length)
            .map(|(_, count)| count)
            .sum();
        Lengths {
            max_length,
            samples,
            min: self.percentile(samples, 0),
            median: self.percentile(samples, 50),
            mean: total as f64 / samples.max(1) as f64,
            p95: self.percentile(samples, 95),
            max: self.percentile(samples, 100),
            total,
            trained: self.trained,
            cut,
            histogram: self.histogram(),
        }
    }

    /// The least length that `percent` of the conversations do not exceed.
    fn percentile(&self, samples: u64, percent: u64) -> usize {
        let rank = (samples * percent).div_ceil(100).max(1);
        let mut below = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        reached.map_or(0, |(length, _)| *length)
    }

    fn histogram(&self) -> Vec<Bin> {
        let (Some((&min, _)), Some((&max, _))) =
            (self.counts.first_key_value(), self.counts.last_key_value())
        else {
            return Vec::new();
        };
        let width = (max - min + 1).div_ceil(BINS);
        let bin = |from: usize| {
            let to = (from + width - 1).min(max);
            Bin {
                from,
                to,
                count: self.counts.range(from..=to).map(|(_, count)| count).sum(),
            }
        };
        (min..=max).step_by(width).map(bin).collect()
    }
}
