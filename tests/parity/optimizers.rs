//! 8-bit AdamW is bitsandbytes', step by step. The other optimisers are compared over whole
//! trainings in `adapters`.
//!
//! `optimizer_steps.py` has recorded it; how to record anew: the head of that file.

use std::io::Write as _;
use std::path::Path;

use attune_kernels::{AdamW, Moments8bit, adamw8bit};
use candle_core::{Device, Tensor};

use crate::difference;

#[test]
fn adamw8bit_is_that_of_bitsandbytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/adamw8bit.safetensors");
    let recorded = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut parameter = recorded["start"].copy().unwrap();
    let mut moments = Moments8bit::zeros(parameter.elem_count());
    for step in 1..=20 {
        let gradient =
            ((&parameter - &recorded["target"]).unwrap() * &recorded["curvature"]).unwrap();
        let options = AdamW {
            learning_rate: 2e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 1.0,
        };
        adamw8bit(&mut parameter, &mut moments, &gradient, &options).unwrap();
        if let Some(expected) = recorded.get(&format!("parameter.{step}")) {
            let (codes, magnitudes) = moments.to_tensors().unwrap();
            let apart = difference::of_tensors(&parameter, expected);
            let scales =
                difference::of_tensors(&magnitudes, &recorded[&format!("magnitudes.{step}")]);
            let (found, expected) = (
                codes.flatten_all().unwrap().to_vec1::<u8>().unwrap(),
                recorded[&format!("codes.{step}")]
                    .flatten_all()
                    .unwrap()
                    .to_vec1::<u8>()
                    .unwrap(),
            );
            let other = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
            let text = format!(
                "8-bit AdamW, step {step}: parameter {apart:.1e}, magnitudes {scales:.1e}, \
                 {other} of {} codes differ\n",
                found.len()
            );
            std::io::stdout().write_all(text.as_bytes()).unwrap();
            assert!(apart < 1e-4 && scales < 1e-4, "{text}");
            // A value halfway between two codes may fall to either side by rounding.
            assert!(other * 1000 < found.len(), "{text}");
        }
    }
    let zeros = Tensor::zeros((2, 2), candle_core::DType::U8, &Device::Cpu).unwrap();
    let none = Tensor::zeros((2, 0), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(Moments8bit::from_tensors(&zeros, &none).is_err());
}
