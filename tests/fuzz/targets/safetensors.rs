//! The weights of a model folder: header, offsets, shapes, types.
#![no_main]

use attune_engine::Decoder;
use attune_fuzz::{Folder, fixtures};
use candle_core::{DType, Device};
use libfuzzer_sys::fuzz_target;

thread_local!(static FOLDER: Folder = const { Folder::new() });

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.with(&fixtures().join("gemma/model"), "model.safetensors", bytes);
        let _ = Decoder::load(folder, DType::F32, &Device::Cpu, &mut |_| ());
    });
});
