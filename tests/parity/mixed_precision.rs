//! Full fine-tuning with bf16 weights and f32 masters moves the masters as torch does.
//!
//! `mixed_precision.py` has recorded it; how to record anew: the head of that file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use attune_engine::{DType, Device, OptimizerKind, TrainOptions, TrainedType};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use crate::fixture::{Fixture, Training};
use crate::{TOLERANCE, difference, subject};

/// Largest relative difference of a master after twenty steps: a weight that rounding takes to
/// another bf16 number than torch's moves the others a little.
const MASTERS: f64 = 1e-5;

#[test]
fn masters_of_bf16_weights_move_as_in_torch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures");
    let json = std::fs::read(folder.join("mixed_precision.json")).unwrap();
    let recorded: BTreeMap<String, Value> = serde_json::from_slice(&json).unwrap();
    let tensors =
        candle_core::safetensors::load(folder.join("mixed_precision.safetensors"), &Device::Cpu);
    let tensors = tensors.unwrap();
    let fixture = Fixture::load(recorded["family"].as_str().unwrap());
    let data = fixture.data();
    for name in ["AdamW", "SGD", "Adafactor", "Lion"] {
        let training = Training::deserialize(&recorded[name]).unwrap();
        let options = TrainOptions {
            optimizer: OptimizerKind::deserialize(Value::from(name)).unwrap(),
            ..subject::options(
                &fixture.expected.options,
                data.len(),
                training.learning_rate,
            )
        };
        let expected: BTreeMap<String, Tensor> = tensors
            .iter()
            .filter_map(|(key, tensor)| {
                let key = key.strip_prefix(name)?.strip_prefix('.')?;
                Some((key.to_owned(), tensor.clone()))
            })
            .collect();
        let [masters, whole] = [TrainedType::Bf16, TrainedType::F32].map(|trained| {
            let mut decoder = subject::base(&fixture);
            decoder.make_trainable_in(trained).unwrap();
            let found = subject::run(&mut decoder, &data, &options);
            let losses: Vec<f64> = training.steps.iter().map(|step| step.loss).collect();
            let saved = tempfile::tempdir().unwrap();
            let model = saved.path().join("model");
            decoder.save_folder(&model, DType::F32, None).unwrap();
            let weights =
                candle_core::safetensors::load(model.join("model.safetensors"), &Device::Cpu);
            let weights = weights.unwrap().into_iter().collect();
            (
                difference::of_values(&found.losses, &losses),
                difference::of_named(&weights, &expected),
            )
        });
        let text = format!(
            "{name} in bf16 beside torch: losses {:.1e}, masters {:.1e}; in f32: {:.1e}, {:.1e}\n",
            masters.0, masters.1, whole.0, whole.1
        );
        std::io::stdout().write_all(text.as_bytes()).unwrap();
        assert!(masters.0 < TOLERANCE && masters.1 < MASTERS, "{text}");
        // The rounding shows, or the test would prove nothing.
        assert!(whole.0 > TOLERANCE && whole.1 > MASTERS, "{text}");
    }
}
