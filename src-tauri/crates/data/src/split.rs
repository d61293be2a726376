//! Which conversations are trained on and which are kept to measure with.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// `(train, validation)`, each ascending; together every index below `count` once.
///
/// `validation_fraction` of the conversations, rounded, is drawn with `seed`. Where it is above
/// zero and there are two conversations or more, each side gets at least one.
pub fn split(count: usize, validation_fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let wanted = (count as f64 * validation_fraction.clamp(0.0, 1.0)).round() as usize;
    let amount = match count {
        _ if validation_fraction <= 0.0 => 0,
        0 | 1 => 0,
        _ => wanted.clamp(1, count - 1),
    };
    let mut held_out = vec![false; count];
    for chosen in index::sample(&mut ChaCha8Rng::seed_from_u64(seed), count, amount) {
        held_out[chosen] = true;
    }
    (0..count).partition(|&conversation| !held_out[conversation])
}

#[cfg(test)]
mod tests {
    use super::split;
    use proptest::prelude::*;

    /// Changing these numbers changes which rows every existing experiment is measured on.
    #[test]
    fn the_draw_is_the_same_for_ever() {
        assert_ne!(split(1000, 0.3, 7).1, split(1000, 0.3, 8).1);
        assert_eq!(split(12, 0.25, 42).1, [1, 2, 7]);
    }

    #[test]
    fn one_conversation_is_trained_on() {
        assert_eq!(split(1, 0.5, 0), (vec![0], vec![]));
        assert_eq!(split(0, 0.5, 0), (vec![], vec![]));
    }

    proptest! {
        #[test]
        fn every_index_once_and_both_sides_filled(count in 0usize..500, fraction in 0.0f64..=1.0, seed: u64) {
            let (train, validation) = split(count, fraction, seed);
            let mut all = [train.clone(), validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            prop_assert!(train.is_sorted() && validation.is_sorted());
            if count >= 2 && fraction > 0.0 {
                prop_assert!(!train.is_empty() && !validation.is_empty());
            }
        }
    }
}
