//! Which experts a token passes, by what weights, and the gradient of the router's scores.
//!
//! The numbers are few, one for each token and expert, and decide which rows go where: they are
//! computed here, on the host.

use std::cmp::Ordering;

/// The rows that pass one expert.
pub(super) struct Choice {
    /// In rising order.
    pub(super) rows: Vec<u32>,
    /// What each is weighed by.
    pub(super) weights: Vec<f32>,
}

/// The choice of every expert.
pub(super) struct Routing {
    pub(super) choices: Vec<Choice>,
    /// Softmax of the scores over the experts, row by row.
    probabilities: Vec<f32>,
}

impl Routing {
    /// Takes the `per_token` experts of highest probability for each row of `scores (N, experts)`;
    /// of equal ones the first. A row's weights are their probabilities, brought to sum to one
    /// where `normalised`.
    pub(super) fn choose(scores: &[Vec<f32>], per_token: usize, normalised: bool) -> Self {
        let experts = scores.first().map_or(0, Vec::len);
        let mut choices: Vec<Choice> = (0..experts)
            .map(|_| Choice {
                rows: Vec::new(),
                weights: Vec::new(),
            })
            .collect();
        let mut probabilities = Vec::with_capacity(scores.len() * experts);
        let mut order: Vec<usize> = Vec::with_capacity(experts);
        for (row, scores) in (0..).zip(scores) {
            let row_probabilities = softmax(scores);
            let by_probability = |a: &usize, b: &usize| -> Ordering {
                row_probabilities[*b].total_cmp(&row_probabilities[*a])
            };
            order.clear();
            order.extend(0..experts);
            order.sort_by(by_probability);
            order.truncate(per_token);
            let sum: f32 = if normalised {
                order.iter().map(|expert| row_probabilities[*expert]).sum()
            } else {
                1.0
            };
            for expert in &order {
                choices[*expert].rows.push(row);
                let weight = row_probabilities[*expert] / sum;
                choices[*expert].weights.push(weight);
            }
            probabilities.extend(row_probabilities);
        }
        Self {
            choices,
            probabilities,
        }
    }

    /// The gradient of the scores `(N, experts)`, row by row, from those of each choice's weights.
    pub(super) fn backward(&self, dweights: &[Vec<f32>], normalised: bool) -> Vec<f32> {
        let experts = self.choices.len();
        let rows = self.probabilities.len() / experts.max(1);
        // Of each row, Σ w · dw over its experts.
        let mut means = vec![0.0_f32; rows];
        let each = || self.choices.iter().zip(dweights).enumerate();
        for (_, (choice, dweights)) in each() {
            for ((row, weight), dweight) in choice.rows.iter().zip(&choice.weights).zip(dweights) {
                means[*row as usize] += weight * dweight;
            }
        }
        // Through the softmax over those chosen, or over all: dz = w · (dw - Σ w · dw), where dw
        // of one that was not chosen is zero.
        let mut dscores = vec![0.0_f32; self.probabilities.len()];
        if !normalised {
            for ((row, mean), probabilities) in dscores
                .chunks_exact_mut(experts)
                .zip(&means)
                .zip(self.probabilities.chunks_exact(experts))
            {
                for (dscore, probability) in row.iter_mut().zip(probabilities) {
                    *dscore = -probability * mean;
                }
            }
        }
        for (expert, (choice, dweights)) in each() {
            for ((row, weight), dweight) in choice.rows.iter().zip(&choice.weights).zip(dweights) {
                let row = *row as usize;
                let rest = if normalised { means[row] } else { 0.0 };
                dscores[row * experts + expert] += weight * (dweight - rest);
            }
        }
        dscores
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut values: Vec<f32> = scores.iter().map(|x| (x - highest).exp()).collect();
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    values
}

#[cfg(test)]
mod tests {
    use super::Routing;

    fn scores() -> Vec<Vec<f32>> {
        vec![
            vec![0.3, -1.0, 0.9, 0.2],
            vec![2.0, 2.0, 2.0, -3.0],
            vec![-0.5, 0.1, 0.0, 0.4],
        ]
    }

    #[test]
    fn the_likeliest_are_taken_and_of_equals_the_first() {
        let routing = Routing::choose(&scores(), 2, true);
        let rows: Vec<&[u32]> = routing.choices.iter().map(|one| &one.rows[..]).collect();
        assert_eq!(rows, [&[0, 1][..], &[1, 2], &[0], &[2]]);
        let mut sums = [0.0; 3];
        for choice in &routing.choices {
            for (row, weight) in choice.rows.iter().zip(&choice.weights) {
                sums[*row as usize] += weight;
            }
        }
        assert!(sums.iter().all(|sum: &f32| (sum - 1.0).abs() < 1e-6));
    }

    /// Finite differences of a loss that is linear in the weights.
    #[test]
    fn the_gradient_of_the_scores_equals_finite_differences() {
        let slope = |row: u32, expert: usize| (row as f32 + 1.0) * 0.7 - expert as f32;
        // The tie would break under the smallest change.
        let mut scores = scores();
        scores[1] = vec![2.0, 1.0, 0.5, -3.0];
        for normalised in [false, true] {
            let loss = |scores: &[Vec<f32>]| -> f32 {
                let routing = Routing::choose(scores, 2, normalised);
                let parts = routing.choices.iter().enumerate().map(|(expert, choice)| {
                    let rows = choice.rows.iter().zip(&choice.weights);
                    rows.map(|(row, weight)| slope(*row, expert) * weight)
                        .sum::<f32>()
                });
                parts.sum()
            };
            let routing = Routing::choose(&scores, 2, normalised);
            let dweights: Vec<Vec<f32>> = (0..4)
                .map(|expert| {
                    let rows = routing.choices[expert].rows.iter();
                    rows.map(|row| slope(*row, expert)).collect()
                })
                .collect();
            let gradient = routing.backward(&dweights, normalised);
            for row in 0..3 {
                for expert in 0..4 {
                    let at = |change: f32| {
                        let mut moved = scores.clone();
                        moved[row][expert] += change;
                        loss(&moved)
                    };
                    let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                    let found = gradient[row * 4 + expert];
                    assert!(
                        (found - numeric).abs() < 1e-3,
                        "{normalised}, {row}, {expert}: {found} and {numeric}"
                    );
                }
            }
        }
    }
}
