//! Functions of the log-probabilities of whole sequences, by a factor for each row.

use super::{assert_close, assert_gradient, difference, random};
use crate::{Logits, cross_entropy, linear_cross_entropy_rows, linear_token_losses};
use candle_core::{Result, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Two sequences of two and of three rows.
const ROWS: [usize; 5] = [0, 0, 1, 1, 1];
const TARGETS: [u32; 5] = [0, 12, 7, 7, 3];

/// The sums of the rows' log-probabilities.
fn sums(losses: &[f32]) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (sequence, loss) in ROWS.iter().zip(losses) {
        sums[*sequence] -= f64::from(*loss);
    }
    sums
}

/// A function that is linear in neither sum: `-ln σ(0.7 · (a - b)) + a² / 50`.
fn function([a, b]: [f64; 2]) -> f64 {
    (1.0 + (-0.7 * (a - b)).exp()).ln() + a * a / 50.0
}

/// Its slopes.
fn slopes([a, b]: [f64; 2]) -> [f64; 2] {
    let slope = -0.7 / (1.0 + (0.7 * (a - b)).exp());
    [slope + a / 25.0, -slope]
}

/// What a preference loss needs: the gradient of any function of sums of log-probabilities.
#[test]
fn a_function_of_sequences_has_its_gradient() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(33);
    let (hidden, weight) = (random(rng, (5, 4)), random(rng, (13, 4)));
    let capped = Logits {
        scale: 0.7,
        softcap: Some(0.5),
        ..Logits::default()
    };
    for head in [Logits::default(), capped] {
        let value = |hidden: &Tensor, weight: &Tensor| {
            function(sums(
                &linear_token_losses(hidden, weight, &TARGETS, head).unwrap(),
            ))
        };
        let slopes = slopes(sums(&linear_token_losses(
            &hidden, &weight, &TARGETS, head,
        )?));
        // A loss is minus a log-probability.
        let scales = ROWS.map(|sequence| -slopes[sequence] as f32);
        let mut dweight = weight.zeros_like()?;
        let (losses, dhidden) = linear_cross_entropy_rows(
            &hidden,
            &weight,
            &TARGETS,
            head,
            &scales,
            Some(&mut dweight),
        )?;
        assert_gradient(&hidden, &dhidden, |x| value(x, &weight), "dhidden");
        assert_gradient(&weight, &dweight, |x| value(&hidden, x), "dweight");

        let mut composed = weight.zeros_like()?;
        let (composed_losses, composed_dhidden) = cross_entropy::composed(
            &hidden,
            &weight,
            &TARGETS,
            head,
            &scales,
            Some(&mut composed),
        )?;
        let narrow = |losses: &[f64]| losses.iter().map(|x| *x as f32).collect::<Vec<_>>();
        assert!(difference(&narrow(&losses), &narrow(&composed_losses)) < 1e-5);
        assert_close(&dhidden, &composed_dhidden, 1e-5, "dhidden composed");
        assert_close(&dweight, &composed, 1e-5, "dweight composed");

        // A row of the gradient is its factor times what it is at 1.
        let (_, at_one) =
            linear_cross_entropy_rows(&hidden, &weight, &TARGETS, head, &[1.0; 5], None)?;
        let factors = Tensor::new(&scales, hidden.device())?.unsqueeze(1)?;
        assert_close(&dhidden, &at_one.broadcast_mul(&factors)?, 1e-5, "linear");
    }
    let few = linear_cross_entropy_rows(
        &hidden,
        &weight,
        &TARGETS,
        Logits::default(),
        &[1.0; 4],
        None,
    );
    assert!(few.is_err());
    Ok(())
}
