//! A model's `config.json`. Nothing is built: a size is only a number until weights have it too.
#![no_main]

use attune_engine::ModelSpec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = serde_json::from_slice(bytes)
        && let Ok(spec) = ModelSpec::from_json(&value)
    {
        let _ = spec.parameter_count();
        let _ = spec.to_config("float32");
    }
});
