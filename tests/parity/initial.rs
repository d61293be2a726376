//! Random weights start as transformers starts them.
//!
//! `initial_weights.py` has recorded mean and deviation of every parameter of every family.

use std::collections::BTreeMap;
use std::path::Path;

use attune_engine::{Decoder, Device, ModelSpec};
use candle_core::Tensor;

use crate::fixture::Fixture;

/// Draws of one distribution lie this many standard errors apart at most.
const ERRORS: f64 = 6.0;

#[test]
fn random_weights_start_as_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/initial_weights.json");
    let json = std::fs::read(path).unwrap();
    let recorded: BTreeMap<String, BTreeMap<String, [f64; 3]>> =
        serde_json::from_slice(&json).unwrap();
    assert_eq!(recorded.len(), 15);
    for (family, expected) in &recorded {
        let spec = ModelSpec::from_folder(&Fixture::load(family).model()).unwrap();
        let mut decoder = Decoder::random(&spec, 1, &Device::Cpu).unwrap();
        decoder.make_trainable().unwrap();
        let found = decoder.trainable();
        assert!(found.keys().eq(expected.keys()), "{family}");
        for (name, [mean, deviation, count]) in expected {
            let values = values(&found[name]);
            assert_eq!(values.len() as f64, *count, "{family}: {name}");
            let [ours, spread] = moments(&values);
            // Two samples of n numbers each: their means differ by √2 σ / √n, their deviations by
            // about σ / √n.
            let error = ERRORS * deviation / count.sqrt();
            assert!(
                (ours - mean).abs() <= 1.5 * error && (spread - deviation).abs() <= error,
                "{family}: {name} has mean {ours} and deviation {spread}, transformers' {mean} and \
                 {deviation}"
            );
        }
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// Mean and deviation.
fn moments(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / (count - 1.0).max(1.0)).sqrt()]
}
