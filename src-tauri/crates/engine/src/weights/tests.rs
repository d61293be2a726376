//! Weights where bf16 is missing, and weights that f16 cannot hold.

use super::*;
use crate::{Decoder, TrainedType};
use attune_kernels::without_bf16;
use serde_json::json;

const SPOILT: &str = "model.layers.1.mlp.down_proj.weight";

/// A folder of random weights in bf16, the first of one matrix being `spoilt`.
fn folder(spoilt: Option<f32>) -> tempfile::TempDir {
    let spec = ModelSpec::from_json(&json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 120, "max_position_embeddings": 64, "tie_word_embeddings": false,
    }));
    let mut decoder = Decoder::random(&spec.unwrap(), 1, &Device::Cpu).unwrap();
    decoder
        .visit_mut(&mut |parameter| {
            if let (SPOILT, Some(value)) = (parameter.name.as_str(), spoilt) {
                let first = Tensor::new(&[[value]], &Device::Cpu)?;
                parameter
                    .value
                    .slice_set(&first.broadcast_as((1, 96))?.contiguous()?, 0, 0)?;
            }
            Ok(())
        })
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    decoder
        .save_folder(folder.path(), DType::BF16, None)
        .unwrap();
    folder
}

fn load(folder: &Path, stored: WeightType) -> Result<Decoder> {
    Decoder::load(folder, stored, &Device::Cpu, &mut |_| ())
}

/// The matrices that are not quantised, in f32, and the types they are held in.
fn matrices(decoder: &Decoder) -> (Vec<Tensor>, Vec<DType>) {
    let (mut values, mut types) = (Vec::new(), Vec::new());
    decoder.visit(&mut |parameter| {
        if !parameter.is_quantised() && parameter.value.rank() == 2 {
            values.push(parameter.value.to_dtype(DType::F32).unwrap());
            types.push(parameter.value.dtype());
        }
    });
    types.dedup();
    (values, types)
}

#[test]
fn bf16_is_f16_where_a_device_has_none() {
    let folder = folder(None);
    for stored in [
        WeightType::Float(DType::BF16),
        WeightType::Nf4,
        WeightType::Stored,
    ] {
        let (expected, types) = matrices(&load(folder.path(), stored).unwrap());
        assert_eq!(types, [DType::BF16], "{stored:?}");
        let decoder = without_bf16(|| load(folder.path(), stored)).unwrap();
        let (found, types) = matrices(&decoder);
        assert_eq!(types, [DType::F16], "{stored:?}");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let apart = (found - expected).unwrap().abs().unwrap();
            let apart = apart.max_all().unwrap().to_scalar::<f32>().unwrap();
            // Half of the distance between f16's smallest numbers.
            assert!(apart <= f32::powi(2.0, -25), "{stored:?}: {apart}");
        }
    }
    // What is not to be bf16 stays as it was asked for.
    let decoder = without_bf16(|| load(folder.path(), DType::F32.into())).unwrap();
    assert_eq!(matrices(&decoder).1, [DType::F32]);
}

#[test]
fn what_f16_cannot_hold_is_refused_by_name() {
    let large = folder(Some(70_144.0));
    let refused = |stored: WeightType| without_bf16(|| load(large.path(), stored)).err().unwrap();
    let error = refused(DType::BF16.into());
    assert_eq!(error.code(), "model-beyond-float16");
    let words = error.to_string();
    assert!(words.contains(SPOILT) && words.contains("70144"), "{words}");
    assert!(error.remedy().unwrap().contains("float32"));
    assert_eq!(error.place().unwrap(), large.path().display().to_string());
    // Asked for by itself, f16 ends where it ends on every device.
    let error = load(large.path(), DType::F16.into()).err().unwrap();
    assert_eq!(error.code(), "model-beyond-float16");
    // Elsewhere the number is kept.
    for stored in [DType::F32, DType::BF16] {
        load(large.path(), stored.into()).unwrap();
    }
    without_bf16(|| load(large.path(), DType::F32.into())).unwrap();
    // The largest bf16 number that f16 has too.
    let fits = folder(Some(65_280.0));
    without_bf16(|| load(fits.path(), DType::BF16.into())).unwrap();
}

#[test]
fn numbers_that_round_to_the_largest_are_no_overflow() {
    let cast = |value: f32| {
        let value = Tensor::new(&[0.5, -value], &Device::Cpu).unwrap();
        let value = pieces::cast(&value, DType::F16, &|value| {
            Error::BadLabels(value.to_string())
        })?;
        Ok(value.to_dtype(DType::F32)?.to_vec1::<f32>()?[1])
    };
    assert_eq!(cast(65_519.0).unwrap(), -65_504.0);
    let refused: Result<f32> = cast(65_520.0);
    assert!(refused.unwrap_err().to_string().contains("65520"));
}

#[test]
fn masters_are_f32_where_a_device_has_no_bf16() {
    let folder = folder(None);
    let trained = || {
        let mut decoder = load(folder.path(), DType::F32.into()).unwrap();
        decoder.make_trainable_in(TrainedType::Bf16).unwrap();
        matrices(&decoder).1
    };
    assert_eq!(trained(), [DType::BF16]);
    assert_eq!(without_bf16(trained), [DType::F32]);
}
