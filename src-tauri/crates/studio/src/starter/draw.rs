//! Random choices that come out the same on every machine, every day.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of choices, fixed by its seed.
///
/// Only ChaCha's own output and integer arithmetic decide: `rand`'s distributions may change
/// between versions, and with them every hash in the repository.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The choices of `seed`. Different `stream`s of one seed are independent, so a change in one
    /// part of the generator does not reshuffle the others.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number in `0..limit`; `limit` must be at least one.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u64::from(self.0.next_u32()) * limit as u64) >> 32) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, each as likely as the other.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// One of `choices`, each as likely as its weight says.
    pub fn weigh<T: Copy>(&mut self, choices: &[(usize, T)]) -> T {
        let mut left = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("a number below the sum of the weights falls on one of them")
    }

    /// `count` different members of `choices`, or all of them, in random order.
    pub fn several<T: Copy>(&mut self, choices: &[T], count: usize) -> Vec<T> {
        let mut pool = choices.to_vec();
        let count = count.min(pool.len());
        for place in 0..count {
            let other = self.between(place, pool.len() - 1);
            pool.swap(place, other);
        }
        pool.truncate(count);
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every hash in the repository rests on these numbers.
    #[test]
    fn choices_are_the_same_on_every_machine() {
        let mut draw = Draw::new(1, 0);
        let drawn: Vec<usize> = (0..6).map(|_| draw.below(1000)).collect();
        assert_eq!(drawn, [0; 6]);
        assert_ne!(Draw::new(1, 1).below(1000), drawn[0]);
    }

    #[test]
    fn weights_are_shares() {
        let mut draw = Draw::new(1, 0);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[draw.weigh(&[(1, 0), (0, 1), (3, 2)])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn several_are_different() {
        let mut draw = Draw::new(1, 0);
        let mut drawn = draw.several(&[1, 2, 3, 4], 9);
        drawn.sort_unstable();
        assert_eq!(drawn, [1, 2, 3, 4]);
    }
}
