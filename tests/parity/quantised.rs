//! Frozen weights in few bits: their values are bitsandbytes', and training beside them is
//! training beside the matrices they stand for.
//!
//! `quantised_weights.py` has recorded bitsandbytes; how to record anew: the head of that file.

use std::io::Write as _;
use std::path::Path;

use attune_data::Batch;
use attune_engine::{DType, Decoder, Device, LoraConfig, WeightType};
use attune_kernels::{GgmlType, Quantisation, QuantisedMatrix};

use crate::TOLERANCE;
use crate::difference;
use crate::fixture::{FAMILIES, Fixture};
use crate::subject;
use crate::table::Table;

fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

#[test]
fn quantised_weights_are_those_of_bitsandbytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/quantised.safetensors");
    let recorded = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    for (name, kind) in [("nf4", Quantisation::Nf4), ("int8", Quantisation::Int8)] {
        let quantised = QuantisedMatrix::quantise(&recorded["weight"], kind).unwrap();
        let found = quantised.dequantise().unwrap();
        let values =
            |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, expected) = (values(&found), values(&recorded[name]));
        let other = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        let largest = |apart: &dyn Fn(f32, f32) -> f32| {
            let pairs = found.iter().zip(&expected);
            pairs.fold(0.0, |most: f32, (a, b)| most.max(apart(*a, *b)))
        };
        let apart = largest(&|a, b| (a - b).abs());
        let part = largest(&|a, b| if a == b { 0.0 } else { ((a - b) / b).abs() });
        say(&format!(
            "{name} beside bitsandbytes: {other} of {} values differ, by {apart:.1e} and {part:.1e} \
             of the value at most\n",
            found.len()
        ));
        // The mean of the magnitudes is summed in another order, so that its last bit may be
        // another. Another code would be another value by more than 3 %.
        let tolerance = if name == "nf4" { 1e-6 } else { 0.0 };
        assert!(apart <= tolerance && part <= 1e-3, "{name}");
    }
}

/// Logits, loss and gradients of an adapter beside quantised weights equal those beside the same
/// matrices in f32; so does what is merged.
#[test]
fn an_adapter_beside_quantised_weights_is_one_beside_what_they_stand_for() {
    let (mut table, mut after) = (Table::default(), Table::default());
    let folder = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        for (name, stored) in [("nf4", WeightType::Nf4), ("int8", WeightType::Int8)] {
            table.row(&format!("{family}, {name}"));
            after.row(&format!("{family}, {name}"));
            let load = |folder: &Path, stored: WeightType| {
                Decoder::load(folder, stored, &Device::Cpu, &mut |_| ()).unwrap()
            };
            let mut small = load(&fixture.model(), stored);
            let place = folder.path().join(format!("{family}-{name}"));
            small
                .save_folder(&place, DType::F32, Some(&fixture.model()))
                .unwrap();
            let mut wide = load(&place, WeightType::Float(DType::F32));
            assert_eq!(small.parameter_counts(), wide.parameter_counts());
            let unlike = difference::of_tensors(
                &wide
                    .logits(&Batch::from_samples(&fixture.samples()))
                    .unwrap(),
                &fixture.logits("logits"),
            );
            assert!(unlike > 1e-4, "{family}, {name}: nothing was quantised");
            small.load_adapter(&fixture.adapter()).unwrap();
            wide.load_adapter(&fixture.adapter()).unwrap();
            compare(&mut small, &mut wide, &fixture, &mut table);
            // An adapter of every part, some steps trained. Products of few rows sum in another
            // order where they read f32 than where they widen, and training makes more of it.
            let config = LoraConfig {
                r: 3,
                use_dora: true,
                ..LoraConfig::default()
            };
            let [found, expected] = [&mut small, &mut wide].map(|decoder| {
                decoder.attach_lora(&config, 1).unwrap();
                let rate = fixture.expected.training["lora"].learning_rate;
                subject::trained(decoder, &fixture, rate)
            });
            let weights = difference::of_named(&found.weights, &expected.weights);
            after.add("20 DoRA steps: weights", weights);
            compare(&mut small, &mut wide, &fixture, &mut after);
        }
    }
    say(&format!(
        "\nBeside the dequantised weights, LoRA:\n\n{}\nand DoRA, trained:\n\n{}\n",
        table.markdown(),
        after.markdown()
    ));
    assert_eq!(table.beyond(1e-6), Vec::<String>::new());
    assert_eq!(after.beyond(TOLERANCE), Vec::<String>::new());
}

fn compare(small: &mut Decoder, wide: &mut Decoder, fixture: &Fixture, table: &mut Table) {
    let batches = [Batch::from_samples(&fixture.samples())];
    let logits = |decoder: &Decoder| decoder.logits(&batches[0]).unwrap();
    table.add(
        "logits",
        difference::of_tensors(&logits(small), &logits(wide)),
    );
    for recompute in [false, true] {
        let (loss, gradients) = subject::loss_and_gradients(small, &batches, recompute);
        let (wide_loss, wide_gradients) = subject::loss_and_gradients(wide, &batches, recompute);
        table.add("loss", difference::of_values(&[loss], &[wide_loss]));
        table.add(
            "gradients",
            difference::of_named(&gradients, &wide_gradients),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let merged = [(&*small, "small"), (&*wide, "wide")].map(|(decoder, name)| {
        let place = folder.path().join(name);
        decoder
            .save_folder(&place, DType::F32, Some(&fixture.model()))
            .unwrap();
        logits(&Decoder::load(&place, DType::F32, &Device::Cpu, &mut |_| ()).unwrap())
    });
    table.add("merged", difference::of_tensors(&merged[0], &merged[1]));
}

/// Blocks of every type of ggml stand for what the gguf package says, bit for bit. Recorded by
/// `ggml_blocks.py`.
#[test]
fn blocks_of_ggml_are_those_of_gguf() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/ggml.safetensors");
    let recorded = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    for ty in GgmlType::ALL {
        let blocks = recorded[ty.name()].flatten_all().unwrap().to_vec1::<u8>();
        let expected = &recorded[&format!("{}.values", ty.name())];
        let (rows, columns) = expected.dims2().unwrap();
        let found = QuantisedMatrix::from_ggml(ty, rows, columns, blocks.unwrap()).unwrap();
        let bits = |tensor: &candle_core::Tensor| -> Vec<u32> {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        let (found, expected) = (bits(&found.dequantise().unwrap()), bits(expected));
        let other = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        say(&format!(
            "{} beside gguf: {other} of {} values differ\n",
            ty.name(),
            found.len()
        ));
        assert_eq!(other, 0, "{}", ty.name());
    }
}
