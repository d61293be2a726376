//! PEFT's `adapter_config.json`, with the tensors of a good adapter beside it.
#![no_main]

use attune_engine::Decoder;
use attune_fuzz::{Folder, fixtures};
use candle_core::{DType, Device};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

thread_local! {
    static FOLDER: Folder = const { Folder::new() };
    static MODEL: RefCell<Decoder> = RefCell::new(
        Decoder::load(&fixtures().join("llama3/model"), DType::F32, &Device::Cpu, &mut |_| ())
            .expect("the fixture loads"),
    );
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.with(
            &fixtures().join("llama3/adapter"),
            "adapter_config.json",
            bytes,
        );
        let _ = MODEL.with(|model| model.borrow_mut().load_adapter(folder));
    });
});
