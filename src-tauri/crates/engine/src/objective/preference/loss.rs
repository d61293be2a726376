//! Losses of pairs as functions of log-probabilities, with their slopes. Formulas and names are
//! TRL's.

use serde::{Deserialize, Serialize};

/// What is minimised over pairs of a preferred and another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceLoss {
    /// `DPOTrainer`, `loss_type="sigmoid"` (Rafailov et al., 2023); with `label_smoothing` cDPO
    /// (Mitchell, 2023).
    Dpo,
    /// `DPOTrainer`, `loss_type="hinge"` (SLiC, Zhao et al., 2023).
    Hinge,
    /// `DPOTrainer`, `loss_type="ipo"` (Azar et al., 2023), of mean log-probabilities.
    Ipo,
    /// `DPOTrainer`, `loss_type="kto_pair"` as TRL had it up to 0.8 (Ethayarajh et al., 2024).
    KtoPair,
    /// `CPOTrainer`, `loss_type="sigmoid"` (Xu et al., 2024): no reference, and the preferred
    /// answer is learnt too.
    Cpo,
    /// `CPOTrainer`, `loss_type="simpo"` (Meng et al., 2024), of mean log-probabilities. As in
    /// TRL the preferred answer is learnt too unless `cpo_alpha` is 0, which is the paper's.
    Simpo,
    /// `ORPOTrainer` (Hong et al., 2024): odds of mean log-probabilities, and the prompt with its
    /// preferred answer is learnt too.
    Orpo,
}

/// Settings of a [`PreferenceLoss`]. Names and defaults are TRL's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceOptions {
    /// Which loss.
    pub loss_type: PreferenceLoss,
    /// β: how much a difference of log-probabilities counts; ORPO's λ.
    pub beta: f64,
    /// ε: the share of pairs that are thought to be the wrong way round (DPO, CPO, SimPO).
    pub label_smoothing: f64,
    /// γ: how much the preferred answer should lead by (SimPO).
    pub simpo_gamma: f64,
    /// Weight of the preferred answer's own loss (CPO, SimPO).
    pub cpo_alpha: f64,
}

impl PreferenceOptions {
    /// TRL's defaults.
    pub fn new(loss_type: PreferenceLoss) -> Self {
        Self {
            loss_type,
            beta: 0.1,
            label_smoothing: 0.0,
            simpo_gamma: 0.5,
            cpo_alpha: 1.0,
        }
    }
}

impl PreferenceLoss {
    /// Whether the answers are measured against a reference.
    pub fn needs_reference(self) -> bool {
        match self {
            Self::Dpo | Self::Hinge | Self::Ipo | Self::KtoPair => true,
            Self::Cpo | Self::Simpo | Self::Orpo => false,
        }
    }

    /// Whether an answer's log-probability is the mean over its tokens instead of the sum.
    pub fn averages(self) -> bool {
        matches!(self, Self::Ipo | Self::Simpo | Self::Orpo)
    }

    /// Whether a pair's loss depends on the others of its step.
    pub(crate) fn couples(self) -> bool {
        self == Self::KtoPair
    }
}

/// Log-probabilities of a pair's answers in nats: sums over their tokens, or means where the loss
/// [averages](PreferenceLoss::averages).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairLogProbabilities {
    /// Of the preferred answer.
    pub chosen: f64,
    /// Of the other.
    pub rejected: f64,
    /// Of the preferred answer under the reference; does not count in a loss without one.
    pub reference_chosen: f64,
    /// Of the other under the reference; does not count in a loss without one.
    pub reference_rejected: f64,
}

/// The loss of one pair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairLoss {
    /// Without the loss of the preferred answer itself that some add.
    pub loss: f64,
    /// The slope of all pairs' losses together by this pair's `chosen`.
    pub chosen_slope: f64,
    /// The same by `rejected`.
    pub rejected_slope: f64,
    /// The implicit reward of the preferred answer.
    pub chosen_reward: f64,
    /// That of the other.
    pub rejected_reward: f64,
}

/// The losses of `pairs`, whose mean is what a step minimises.
pub fn preference_losses(
    options: &PreferenceOptions,
    pairs: &[PairLogProbabilities],
) -> Vec<PairLoss> {
    if options.loss_type == PreferenceLoss::KtoPair {
        return kto_pair(options.beta, pairs);
    }
    let counts = if options.loss_type.needs_reference() {
        1.0
    } else {
        0.0
    };
    let one = |pair: &PairLogProbabilities| {
        let chosen = pair.chosen - counts * pair.reference_chosen;
        let rejected = pair.rejected - counts * pair.reference_rejected;
        let (loss, chosen_slope, rejected_slope) = separate(options, chosen, rejected);
        PairLoss {
            loss,
            chosen_slope,
            rejected_slope,
            chosen_reward: options.beta * chosen,
            rejected_reward: options.beta * rejected,
        }
    };
    pairs.iter().map(one).collect()
}

/// Loss and slopes of a pair that depends on no other, by the log-probabilities of its answers
/// beyond the reference's.
fn separate(options: &PreferenceOptions, chosen: f64, rejected: f64) -> (f64, f64, f64) {
    let beta = options.beta;
    let difference = chosen - rejected;
    let even = |(loss, slope): (f64, f64)| (loss, slope, -slope);
    match options.loss_type {
        PreferenceLoss::Dpo | PreferenceLoss::Cpo => even(smoothed(options, difference)),
        PreferenceLoss::Simpo => even(smoothed(options, difference - options.simpo_gamma / beta)),
        PreferenceLoss::Hinge => {
            let loss = 1.0 - beta * difference;
            even(if loss > 0.0 {
                (loss, -beta)
            } else {
                (0.0, 0.0)
            })
        }
        PreferenceLoss::Ipo => {
            let error = difference - 1.0 / (2.0 * beta);
            even((error * error, 2.0 * error))
        }
        PreferenceLoss::Orpo => {
            // 1 - p of a token is 1 - e^x; kept above 0, where an answer has become certain.
            let rest = |x: f64| (-x.exp_m1()).max(1e-300);
            let log_odds = difference - (rest(chosen).ln() - rest(rejected).ln());
            let slope = -beta * sigmoid(-log_odds);
            (
                -beta * log_sigmoid(log_odds),
                slope / rest(chosen),
                -slope / rest(rejected),
            )
        }
        PreferenceLoss::KtoPair => unreachable!("its pairs depend on each other"),
    }
}

/// `-(1 - ε) · ln σ(β · x) - ε · ln σ(-β · x)` and its slope.
fn smoothed(options: &PreferenceOptions, x: f64) -> (f64, f64) {
    let (beta, epsilon) = (options.beta, options.label_smoothing);
    let loss = -log_sigmoid(beta * x) * (1.0 - epsilon) - log_sigmoid(-beta * x) * epsilon;
    let slope = beta * (sigmoid(beta * x) * epsilon - sigmoid(-beta * x) * (1.0 - epsilon));
    (loss, slope)
}

/// Each half is measured against the mean of the other: equation 7 of the KTO report, the mean of
/// the two answers' losses. The means have slopes too, as in TRL.
fn kto_pair(beta: f64, pairs: &[PairLogProbabilities]) -> Vec<PairLoss> {
    let count = pairs.len().max(1) as f64;
    let chosen = |pair: &PairLogProbabilities| pair.chosen - pair.reference_chosen;
    let rejected = |pair: &PairLogProbabilities| pair.rejected - pair.reference_rejected;
    let chosen_mean = pairs.iter().map(chosen).sum::<f64>() / count;
    let rejected_mean = pairs.iter().map(rejected).sum::<f64>() / count;
    let (chosen_kl, rejected_kl) = (chosen_mean.max(0.0), rejected_mean.max(0.0));
    let halves = |pair: &PairLogProbabilities| {
        let liked = sigmoid(beta * (chosen(pair) - rejected_kl));
        let disliked = sigmoid(beta * (chosen_kl - rejected(pair)));
        (liked, disliked)
    };
    let bend = |value: f64| beta * value * (1.0 - value) / 2.0;
    // How all losses together move with each mean, shared out among the pairs it is of.
    let of_chosen_kl: f64 = pairs.iter().map(|pair| -bend(halves(pair).1)).sum();
    let of_rejected_kl: f64 = pairs.iter().map(|pair| bend(halves(pair).0)).sum();
    let share = |slope: f64, mean: f64| if mean >= 0.0 { slope / count } else { 0.0 };
    let one = |pair: &PairLogProbabilities| {
        let (liked, disliked) = halves(pair);
        PairLoss {
            loss: f64::midpoint(1.0 - liked, 1.0 - disliked),
            chosen_slope: -bend(liked) + share(of_chosen_kl, chosen_mean),
            rejected_slope: bend(disliked) + share(of_rejected_kl, rejected_mean),
            chosen_reward: beta * chosen(pair),
            rejected_reward: beta * rejected(pair),
        }
    };
    pairs.iter().map(one).collect()
}

/// `1 / (1 + e^-x)`
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln σ(x)`, without overflow.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [PreferenceLoss; 7] = [
        PreferenceLoss::Dpo,
        PreferenceLoss::Hinge,
        PreferenceLoss::Ipo,
        PreferenceLoss::KtoPair,
        PreferenceLoss::Cpo,
        PreferenceLoss::Simpo,
        PreferenceLoss::Orpo,
    ];

    /// Five pairs; the means of both sides beyond the reference are above or below zero.
    fn pairs(shift: f64) -> Vec<PairLogProbabilities> {
        let numbers = [
            [-1.1, -2.3, -1.6, -1.9],
            [-0.7, -0.4, -1.2, -0.9],
            [-3.1, -2.9, -2.2, -3.6],
            [-0.2, -5.0, -0.9, -4.1],
            [-1.9, -1.4, -2.5, -1.3],
        ];
        let pair = |[chosen, rejected, reference_chosen, reference_rejected]: [f64; 4]| {
            PairLogProbabilities {
                chosen,
                rejected,
                reference_chosen: reference_chosen - shift,
                reference_rejected: reference_rejected - shift,
            }
        };
        numbers.map(pair).to_vec()
    }

    /// The slopes of every loss at every log-probability, others of the batch included.
    #[test]
    fn slopes_are_finite_differences() {
        for loss_type in LOSSES {
            for shift in [-1.0, 0.7] {
                let options = PreferenceOptions {
                    beta: 0.4,
                    label_smoothing: 0.15,
                    ..PreferenceOptions::new(loss_type)
                };
                let pairs = pairs(shift);
                let total = |pairs: &[PairLogProbabilities]| {
                    let losses = preference_losses(&options, pairs);
                    losses.iter().map(|pair| pair.loss).sum::<f64>()
                };
                let losses = preference_losses(&options, &pairs);
                for index in 0..pairs.len() {
                    let numeric = |change: fn(&mut PairLogProbabilities) -> &mut f64| {
                        let at = |step: f64| {
                            let mut moved = pairs.clone();
                            *change(&mut moved[index]) += step;
                            total(&moved)
                        };
                        (at(1e-5) - at(-1e-5)) / 2e-5
                    };
                    let found = losses[index];
                    let of_chosen = numeric(|pair| &mut pair.chosen);
                    let of_rejected = numeric(|pair| &mut pair.rejected);
                    assert!(
                        (found.chosen_slope - of_chosen).abs() < 1e-8
                            && (found.rejected_slope - of_rejected).abs() < 1e-8,
                        "{loss_type:?}: {found:?}, by differences {of_chosen} and {of_rejected}"
                    );
                }
            }
        }
    }

    /// Far from zero nothing overflows, nor where an answer has become certain.
    #[test]
    fn extremes_stay_numbers() {
        let certain = PairLogProbabilities {
            rejected: -3.0,
            ..PairLogProbabilities::default()
        };
        let orpo = PreferenceOptions::new(PreferenceLoss::Orpo);
        let found = preference_losses(&orpo, &[certain])[0];
        assert!(found.loss.abs() < 1e-9 && found.chosen_slope.is_finite());
        for loss_type in [PreferenceLoss::Dpo, PreferenceLoss::KtoPair] {
            for far in [-1e6, 1e6] {
                let pair = PairLogProbabilities {
                    chosen: far,
                    ..PairLogProbabilities::default()
                };
                let found = preference_losses(&PreferenceOptions::new(loss_type), &[pair])[0];
                assert!(found.loss.is_finite() && found.chosen_slope.is_finite());
            }
        }
    }
}
