//! A GGUF file: container, tokenizer, configuration, and the weights themselves where the rest fits.
#![no_main]

use attune_data::{Gguf, Tokenizer};
use attune_engine::{Decoder, Device, ModelSpec, WeightType};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

thread_local!(static FOLDER: (TempDir, PathBuf) = {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("model.gguf");
    (folder, path)
});

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|(_, path)| {
        // Removed first: the file of the pass before may still be mapped.
        let _ = fs::remove_file(path);
        fs::write(path, bytes).expect("written");
        let Ok(file) = Gguf::open(path) else { return };
        if let Ok(tokenizer) = Tokenizer::from_gguf(&file)
            && let Ok(tokens) = tokenizer.encode(
                "H\u{e9}, <|im_start|> 42\n\t\u{434}\u{43e}\u{43c} \u{1f642}",
                true,
            )
        {
            let _ = tokenizer.decode(&tokens, false);
        }
        if ModelSpec::from_gguf(&file).is_ok() {
            let _ = Decoder::load(path, WeightType::Stored, &Device::Cpu, &mut |_| ());
        }
    });
});
