//! `tokenizer.json`, and a short text there and back with what could be read.
#![no_main]

use attune_data::Tokenizer;
use attune_fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

thread_local!(static FOLDER: Folder = const { Folder::new() });

const STARTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../src-tauri/crates/studio/assets/starter"
);

// A library's panic that the reader turns into an error is none of ours; any other ends the process at
// this border, which no panic crosses.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |bytes: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.with(Path::new(STARTER), "tokenizer.json", bytes);
        if let Ok(tokenizer) = Tokenizer::from_folder(folder)
            && let Ok(tokens) = tokenizer.encode("Hé, <|im_start|> 42\n\tдом 🙂", true)
        {
            let _ = tokenizer.decode(&tokens, false);
        }
    });
});
