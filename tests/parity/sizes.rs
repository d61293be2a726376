//! The weights of published models, counted as transformers and PEFT count them.

use std::collections::BTreeMap;
use std::path::Path;

use attune_engine::{LoraConfig, ModelSpec};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Counted {
    config: Value,
    parameters: u64,
    rank: usize,
    adapter_parameters: u64,
}

/// Estimates and the window's model page rest on these.
#[test]
fn published_models_have_the_weights_they_have_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/sizes.json");
    let models: BTreeMap<String, Counted> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(models.len() >= 15);
    for (name, model) in models {
        let spec = ModelSpec::from_json(&model.config).unwrap();
        assert_eq!(spec.parameter_count(), model.parameters, "{name}");
        let lora = LoraConfig {
            r: model.rank,
            ..LoraConfig::default()
        };
        assert_eq!(
            spec.adapter_parameters(&lora).unwrap(),
            model.adapter_parameters,
            "{name}"
        );
        // What is written from the spec means the same model.
        let again = ModelSpec::from_json(&spec.to_config("float32")).unwrap();
        assert_eq!(again, spec, "{name}");
    }
}
