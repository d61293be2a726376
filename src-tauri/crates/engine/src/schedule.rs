//! Learning rate over the run: warm-up, then cosine, linear or constant, as transformers has them.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The shape after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// Half a cosine down to the minimum.
    Cosine,
    /// A straight line down to the minimum.
    Linear,
    /// No change.
    Constant,
}

impl Schedule {
    /// Factor on the learning rate at optimiser step `step`, counted from 1, of `total`. During
    /// `warmup` steps it rises from 0 in equal parts, so the first of them changes nothing.
    pub fn factor(self, step: u64, warmup: u64, total: u64, minimum: f64) -> f64 {
        let done = step - 1;
        if done < warmup {
            return done as f64 / warmup as f64;
        }
        let progress = (done - warmup) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
        let factor = match self {
            Self::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
            Self::Linear => (1.0 - progress).max(0.0),
            Self::Constant => return 1.0,
        };
        minimum + (1.0 - minimum) * factor
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn warms_up_and_comes_down() {
        let cosine: Vec<f64> = (1..=10)
            .map(|step| Schedule::Cosine.factor(step, 2, 10, 0.0))
            .collect();
        assert_eq!(cosine[..3], [0.0, 0.5, 1.0]);
        assert!(
            (cosine[6] - 0.5).abs() < 1e-12,
            "halfway between step 3 and the step after the last"
        );
        assert!(cosine.windows(2).skip(2).all(|pair| pair[0] > pair[1]));
        assert!((Schedule::Linear.factor(6, 0, 10, 0.0) - 0.5).abs() < 1e-12);
        assert!((Schedule::Linear.factor(6, 0, 10, 0.1) - 0.55).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(9, 2, 10, 0.0), 1.0);
    }
}
