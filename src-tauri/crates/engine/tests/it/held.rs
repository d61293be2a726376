//! Several adapters on one base: each computes as if it alone had been loaded, to the bit.

use crate::common::{lora, samples, spec};
use attune_data::Batch;
use attune_engine::{
    Control, DType, Decoder, Device, Error, LoraConfig, LoraInit, TargetModules, TrainOptions,
    WeightType, train,
};
use std::path::{Path, PathBuf};

fn logits(decoder: &Decoder) -> Vec<u32> {
    let batch = Batch::from_samples(&samples(3, 9));
    let logits = decoder.logits(&batch).unwrap().flatten_all().unwrap();
    let values: Vec<f32> = logits.to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

fn load(folder: &Path, weights: WeightType) -> Decoder {
    Decoder::load(folder, weights, &Device::Cpu, &mut |_| {}).unwrap()
}

/// Plain, DoRA, one that trained the embedding (which doubles as the output matrix), and one that
/// PiSSA started.
fn kinds() -> [(&'static str, LoraConfig); 4] {
    let dora = LoraConfig {
        use_dora: true,
        use_rslora: true,
        target_modules: TargetModules::Pattern(r".*layers\.1\..*".into()),
        ..lora()
    };
    let whole = LoraConfig {
        modules_to_save: vec!["embed_tokens".into()],
        ..lora()
    };
    let pissa = LoraConfig {
        init_lora_weights: LoraInit::Pissa,
        ..lora()
    };
    [
        ("plain", lora()),
        ("dora", dora),
        ("whole", whole),
        ("pissa", pissa),
    ]
}

/// A model folder, and a trained adapter of each kind for it.
fn saved() -> (tempfile::TempDir, PathBuf, Vec<(&'static str, PathBuf)>) {
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let base = Decoder::random(&spec(), 1, &Device::Cpu).unwrap();
    base.save_folder(&model, DType::F32, None).unwrap();
    let options = TrainOptions {
        max_steps: Some(3),
        learning_rate: 2e-2,
        ..TrainOptions::default()
    };
    let mut adapters = Vec::new();
    for (name, config) in kinds() {
        let mut decoder = load(&model, DType::F32.into());
        decoder.attach_lora(&config, 5).unwrap();
        let (data, checkpoints) = (samples(6, 1), tempfile::tempdir().unwrap());
        let (place, control) = (checkpoints.path(), Control::default());
        train(
            &mut decoder,
            &data,
            &[],
            &options,
            place,
            &control,
            &mut |_, _| {},
        )
        .unwrap();
        let folder = temporary.path().join(name);
        decoder.save_adapter(&folder).unwrap();
        adapters.push((name, folder));
    }
    (temporary, model, adapters)
}

/// One after the other, the base between them, and the first again: every time what a fresh load
/// computes, on whole and on quantised weights.
#[test]
fn an_adapter_in_turn_computes_what_it_does_alone() {
    let (_temporary, model, adapters) = saved();
    for weights in [DType::F32.into(), DType::BF16.into(), WeightType::Nf4] {
        let bare = logits(&load(&model, weights));
        let mut decoder = load(&model, weights);
        for (name, folder) in &adapters {
            decoder.add_adapter(name, folder).unwrap();
            assert_eq!(logits(&decoder), bare, "{name} is held, not at work");
        }
        for (name, folder) in adapters.iter().chain(&adapters) {
            let mut alone = load(&model, weights);
            alone.load_adapter(folder).unwrap();
            let expected = logits(&alone);
            assert_ne!(expected, bare, "{name} changes nothing");
            decoder.activate_adapter(name).unwrap();
            assert_eq!(decoder.active_adapter(), Some(*name));
            assert_eq!(logits(&decoder), expected, "{name}, {weights:?}");
            // Straight to the next one half of the time, over the base the other.
            if *name != "dora" {
                decoder.deactivate_adapter().unwrap();
                assert_eq!(logits(&decoder), bare, "after {name}, {weights:?}");
            }
        }
    }
}

/// What is saved or merged is the adapter at work, as when it alone is loaded.
#[test]
fn the_adapter_at_work_is_saved_and_merged() {
    let (temporary, model, adapters) = saved();
    let mut decoder = load(&model, DType::F32.into());
    for (name, folder) in &adapters {
        decoder.add_adapter(name, folder).unwrap();
    }
    for (name, folder) in &adapters {
        let mut alone = load(&model, DType::F32.into());
        alone.load_adapter(folder).unwrap();
        decoder.activate_adapter(name).unwrap();
        let [ours, theirs] = [("held", &decoder), ("alone", &alone)].map(|(kind, decoder)| {
            let merged = temporary.path().join(format!("{name}-{kind}-merged"));
            decoder.save_folder(&merged, DType::F32, None).unwrap();
            let again = temporary.path().join(format!("{name}-{kind}"));
            decoder.save_adapter(&again).unwrap();
            [
                merged.join("model.safetensors"),
                again.join("adapter_model.safetensors"),
                again.join("adapter_config.json"),
            ]
            .map(|path| std::fs::read(path).unwrap())
        });
        assert!(ours == theirs, "{name}");
    }
}

#[test]
fn adapters_come_and_go() {
    let (_temporary, model, adapters) = saved();
    let [(plain, plain_folder), _, (whole, whole_folder), _] = &adapters[..] else {
        panic!("four adapters")
    };
    let mut decoder = load(&model, DType::F32.into());
    let bare = logits(&decoder);
    let unknown = decoder.activate_adapter(plain).unwrap_err();
    assert!(
        matches!(&unknown, Error::UnknownAdapter { .. }),
        "{unknown}"
    );
    assert!(unknown.remedy().is_some());
    decoder.add_adapter(plain, plain_folder).unwrap();
    decoder.add_adapter(whole, whole_folder).unwrap();
    assert_eq!(
        decoder.held_adapters().collect::<Vec<_>>(),
        [*plain, *whole]
    );
    // Nothing of a held adapter is trained, and its gradients take no memory.
    decoder.activate_adapter(whole).unwrap();
    assert_eq!(decoder.parameter_counts().trainable, 0);
    // Removed or replaced while it is at work, it leaves the base.
    decoder.remove_adapter(whole).unwrap();
    assert_eq!(
        (decoder.active_adapter(), logits(&decoder)),
        (None, bare.clone())
    );
    decoder.activate_adapter(plain).unwrap();
    decoder.add_adapter(plain, whole_folder).unwrap();
    assert_eq!(
        (decoder.active_adapter(), logits(&decoder)),
        (None, bare.clone())
    );
    // One that does not fit is refused, and what was at work stays.
    decoder.activate_adapter(plain).unwrap();
    let before = logits(&decoder);
    decoder.add_adapter("none", &model).unwrap_err();
    assert_eq!(logits(&decoder), before);
    // A fresh PiSSA adapter takes its start out of the base: nothing is held beside it.
    let (_, pissa) = kinds()[3].clone();
    let refused = decoder.attach_lora(&pissa, 1).unwrap_err().to_string();
    assert!(refused.contains("remove those first"), "{refused}");
    assert_eq!(logits(&decoder), before);
    decoder.remove_adapter(plain).unwrap();
    decoder.attach_lora(&pissa, 1).unwrap();
    decoder.add_adapter(plain, plain_folder).unwrap();
    let refused = decoder.activate_adapter(plain).unwrap_err().to_string();
    assert!(refused.contains("save it and load it"), "{refused}");
    decoder.deactivate_adapter().unwrap_err();
}
