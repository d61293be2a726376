//! The whole model's gradients, and the ways of computing them that must agree.

use crate::common::{decoder, samples};
use attune_data::Batch;
use attune_engine::{Decoder, TrainOptions, train};
use candle_core::Tensor;
use std::collections::BTreeMap;

type Gradients = BTreeMap<String, Tensor>;

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn gradients(decoder: &mut Decoder, batches: &[Batch], recompute: bool) -> (f64, Gradients) {
    let trained: usize = batches.iter().map(Batch::trained_tokens).sum();
    decoder.clear_gradients().unwrap();
    let mut loss = 0.0;
    for batch in batches {
        loss += decoder
            .loss_and_backward(batch, 1.0 / trained as f32, recompute)
            .unwrap();
    }
    let copies = decoder
        .gradients()
        .into_iter()
        .map(|(name, x)| (name, x.copy().unwrap()))
        .collect();
    (loss / trained as f64, copies)
}

/// Largest difference of any tensor, relative to that tensor's largest value.
fn difference(a: &Gradients, b: &Gradients) -> f32 {
    assert!(a.keys().eq(b.keys()));
    a.iter()
        .map(|(name, a)| {
            let (a, b) = (values(a), values(&b[name]));
            let largest = b.iter().fold(1e-9_f32, |max, x| max.max(x.abs()));
            a.iter()
                .zip(&b)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max)
                / largest
        })
        .fold(0.0, f32::max)
}

/// LoRA after a few steps, so that B is not zero and A has a gradient.
fn trained_lora() -> Decoder {
    let mut decoder = decoder(false);
    let options = TrainOptions {
        max_steps: Some(3),
        learning_rate: 0.05,
        ..TrainOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let control = attune_engine::Control::default();
    train(
        &mut decoder,
        &samples(6, 1),
        &[],
        &options,
        folder.path(),
        &control,
        &mut |_, _| {},
    )
    .unwrap();
    decoder
}

/// Finite differences at the element of each parameter where the gradient is largest.
#[test]
fn equal_finite_differences() {
    for mut decoder in [decoder(true), trained_lora()] {
        let batch = [Batch::from_samples(&samples(3, 2))];
        let (_, gradients) = gradients(&mut decoder, &batch, false);
        let parameters = decoder.trainable();
        assert_eq!(parameters.len(), gradients.len());
        for (name, parameter) in parameters {
            let gradient = values(&gradients[&name]);
            let index = (0..gradient.len())
                .max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()))
                .unwrap();
            let loss_at = |change: f32| {
                let original = values(&parameter);
                let mut moved = original.clone();
                moved[index] += change;
                let set = |values: Vec<f32>| {
                    let values =
                        Tensor::from_vec(values, parameter.shape(), parameter.device()).unwrap();
                    parameter.slice_set(&values, 0, 0).unwrap();
                };
                set(moved);
                let losses = decoder.token_losses(&batch[0]).unwrap();
                set(original);
                losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
            };
            let step = 1e-3;
            // Fourth order and a small step: q and k are small before their norm, so the loss
            // bends sharply.
            let slope = |step: f32| (loss_at(step) - loss_at(-step)) / f64::from(2.0 * step);
            let numeric = (4.0 * slope(step) - slope(2.0 * step)) / 3.0;
            let error = (numeric - f64::from(gradient[index])).abs() / numeric.abs().max(5e-3);
            assert!(
                error < 0.02,
                "{name}[{index}]: {} by backward, {numeric} by differences",
                gradient[index]
            );
        }
    }
}

#[test]
fn recomputed_equal_stored_bit_for_bit() {
    for mut decoder in [decoder(true), trained_lora()] {
        let batch = [Batch::from_samples(&samples(4, 3))];
        let (stored_loss, stored) = gradients(&mut decoder, &batch, false);
        let (recomputed_loss, recomputed) = gradients(&mut decoder, &batch, true);
        assert_eq!(stored_loss, recomputed_loss);
        assert!(
            stored
                .iter()
                .all(|(name, x)| values(x) == values(&recomputed[name]))
        );
    }
}

#[test]
fn packed_equal_unpacked_and_accumulated_equal_whole() {
    for mut decoder in [decoder(true), trained_lora()] {
        let samples = samples(5, 4);
        let whole = [Batch::from_samples(&samples)];
        let single: Vec<Batch> = samples
            .iter()
            .map(|sample| Batch::from_samples([sample]))
            .collect();
        let (whole_loss, whole) = gradients(&mut decoder, &whole, false);
        let (single_loss, single) = gradients(&mut decoder, &single, false);
        assert!((whole_loss - single_loss).abs() < 1e-6);
        assert!(
            difference(&whole, &single) < 2e-5,
            "{}",
            difference(&whole, &single)
        );
    }
}

/// Frozen weights get no gradient and do not change.
#[test]
fn lora_leaves_the_base_alone() {
    let mut decoder = decoder(false);
    let frozen = decoder.parameter_counts().total - decoder.parameter_counts().trainable;
    assert_eq!(frozen, crate::common::spec().parameter_count());
    let (_, gradients) = gradients(&mut decoder, &[Batch::from_samples(&samples(2, 5))], false);
    assert!(gradients.keys().all(|name| name.contains(".lora_")));
    assert_eq!(gradients.len(), 2 * 7 * 2);
}
