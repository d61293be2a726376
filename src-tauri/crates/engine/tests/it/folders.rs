//! Model and adapter folders: what is written can be read, and what is wrong is refused by name.

use crate::common::{decoder, samples, spec};
use attune_data::Batch;
use attune_engine::{DType, Decoder, Device, Error, ModelSpec, TargetModules};
use std::path::Path;

fn load(folder: &Path) -> Result<Decoder, Error> {
    Decoder::load(folder, DType::F32, &Device::Cpu, &mut |_| {})
}

fn logits(decoder: &Decoder) -> Vec<f32> {
    let batch = Batch::from_samples(&samples(3, 9));
    decoder
        .logits(&batch)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn saved() -> (tempfile::TempDir, std::path::PathBuf, Decoder) {
    // No windows, whose list would have to change with the number of layers.
    saved_as(&ModelSpec {
        layers: vec![spec().layers[0]; 2],
        ..spec()
    })
}

fn saved_as(spec: &ModelSpec) -> (tempfile::TempDir, std::path::PathBuf, Decoder) {
    let model = Decoder::random(spec, 1, &Device::Cpu).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("model");
    model.save_folder(&folder, DType::F32, None).unwrap();
    (temporary, folder, model)
}

#[test]
fn a_saved_model_is_the_same_when_loaded() {
    let (_temporary, folder, model) = saved_as(&spec());
    let loaded = load(&folder).unwrap();
    assert_eq!(loaded.spec(), model.spec());
    assert_eq!(logits(&loaded), logits(&model));
}

#[test]
fn a_merged_adapter_computes_what_base_and_adapter_do() {
    let (_temporary, folder, _) = saved();
    let mut tuned = load(&folder).unwrap();
    tuned.attach_lora(&crate::common::lora(), 1).unwrap();
    let options = attune_engine::TrainOptions {
        max_steps: Some(3),
        learning_rate: 0.1,
        ..Default::default()
    };
    let checkpoints = tempfile::tempdir().unwrap();
    attune_engine::train(
        &mut tuned,
        &samples(6, 1),
        &[],
        &options,
        checkpoints.path(),
        &attune_engine::Control::default(),
        &mut |_, _| {},
    )
    .unwrap();
    assert_ne!(logits(&tuned), logits(&load(&folder).unwrap()));

    let merged_folder = folder.with_file_name("merged");
    tuned
        .save_folder(&merged_folder, DType::F32, Some(&folder))
        .unwrap();
    let merged = logits(&load(&merged_folder).unwrap());
    let difference = merged
        .iter()
        .zip(logits(&tuned))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(difference < 1e-5, "{difference}");

    let adapter_folder = folder.with_file_name("adapter");
    tuned.save_adapter(&adapter_folder).unwrap();
    let mut loaded = load(&folder).unwrap();
    let config = loaded.load_adapter(&adapter_folder).unwrap();
    let modules = loaded.spec().linear_modules();
    let targets = TargetModules::Names(modules.into_iter().map(str::to_owned).collect());
    assert_eq!((config.r, config.target_modules), (3, targets));
    assert_eq!(logits(&loaded), logits(&tuned));
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    let (_temporary, folder, _) = saved();
    let weights = folder.join("model.safetensors");
    let config = folder.join("config.json");
    let (good_weights, good_config) = (
        std::fs::read(&weights).unwrap(),
        std::fs::read_to_string(&config).unwrap(),
    );
    let error = || load(&folder).err().unwrap();

    std::fs::write(&weights, &good_weights[..good_weights.len() / 2]).unwrap();
    assert!(matches!(error(), Error::BrokenWeights { path, .. } if path == weights));
    std::fs::write(&weights, b"").unwrap();
    assert!(matches!(error(), Error::BrokenWeights { .. }));
    std::fs::remove_file(&weights).unwrap();
    assert!(matches!(error(), Error::NoWeights { .. }));
    std::fs::write(&weights, &good_weights).unwrap();

    let with =
        |from: &str, to: &str| std::fs::write(&config, good_config.replace(from, to)).unwrap();
    with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(
        matches!(error(), Error::MissingTensor { name, .. } if name.starts_with("model.layers.2."))
    );
    with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(
        matches!(error(), Error::UnexpectedTensor { name, .. } if name.starts_with("model.layers.1."))
    );
    with("\"intermediate_size\": 24", "\"intermediate_size\": 25");
    assert!(
        matches!(error(), Error::WrongShape { expected, .. } if expected == [16, 25] || expected == [25, 16])
    );
    with("Qwen3ForCausalLM", "MambaForCausalLM");
    assert!(error().to_string().contains("MambaForCausalLM"));
    with("\"hidden_size\": 16", "\"hidden_size\": -16");
    assert!(matches!(error(), Error::BadConfig { reason, .. } if reason.contains("hidden_size")));
    std::fs::write(&config, "{ not json").unwrap();
    assert!(matches!(error(), Error::BadConfig { .. }));
    std::fs::remove_file(&config).unwrap();
    assert!(matches!(error(), Error::NoConfig { .. }));
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_and_changes_nothing() {
    let (_temporary, folder, _) = saved();
    let adapter = folder.with_file_name("adapter");
    decoder(false).save_adapter(&adapter).unwrap();
    let mut model = load(&folder).unwrap();
    let before = logits(&model);
    let config = adapter.join("adapter_config.json");
    let good = std::fs::read_to_string(&config).unwrap();
    for (from, to, expected) in [
        ("\"use_dora\": false", "\"use_dora\": true", "magnitude"),
        (
            "\"use_dora\"",
            "\"use_qalora\": true, \"use_dora\"",
            "use_qalora",
        ),
        (
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"olora\"",
            "olora",
        ),
        ("\"r\": 3", "\"r\": 4", "rank"),
        ("\"LORA\"", "\"IA3\"", "IA3"),
        ("\"bias\": \"none\"", "\"bias\": \"all\"", "bias"),
    ] {
        std::fs::write(&config, good.replace(from, to)).unwrap();
        let error = model.load_adapter(&adapter).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::write(&config, good).unwrap();
    let small = ModelSpec {
        num_hidden_layers: 1,
        layers: vec![spec().layers[0]],
        ..spec()
    };
    let error = Decoder::random(&small, 1, &Device::Cpu)
        .unwrap()
        .load_adapter(&adapter)
        .unwrap_err();
    assert!(error.to_string().contains("model.layers.1."), "{error}");
    assert!(matches!(
        model.load_adapter(folder.parent().unwrap()),
        Err(Error::NoAdapter { .. })
    ));
    assert_eq!(logits(&model), before);
}
