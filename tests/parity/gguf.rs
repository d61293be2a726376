//! Models in GGUF files score as transformers does on the same weights, and an adapter beside the
//! stored blocks is one beside the numbers they stand for.
//!
//! `gguf_files.py` has written the files, the families' with llama.cpp's own converter; how to write
//! them anew: the head of that file. `gguf_tokenizers.py` belongs to a test of the data crate.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use attune_data::{Batch, Gguf, Sample, Tokenizer};
use attune_engine::{DType, Decoder, Device, LoraConfig, ModelSpec, WeightType};
use candle_core::Tensor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::TOLERANCE;
use crate::difference;
use crate::fixture::{FAMILIES, Fixture};
use crate::subject;
use crate::table::Table;

const TYPES: [&str; 10] = [
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
];

fn place(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures");
    folder.join(name)
}

/// The files whose matrices are of one type: of a Llama, and of each mixture of experts.
pub fn of_types() -> impl Iterator<Item = String> {
    let models = ["", "mixtral-", "qwen3-moe-"].into_iter();
    models.flat_map(|model| TYPES.map(|kind| format!("{model}{kind}")))
}

/// Every file there is a recording of.
fn all() -> impl Iterator<Item = String> {
    FAMILIES.into_iter().map(str::to_owned).chain(of_types())
}

/// Where a file lies.
pub fn file(name: &str) -> PathBuf {
    place(&format!("gguf/{name}.gguf"))
}

/// Tokens and logits of every file.
pub fn recorded() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(place("gguf/expected.safetensors"), &Device::Cpu).unwrap()
}

/// The recorded sample of a file, all of it trained.
pub fn sample(recorded: &HashMap<String, Tensor>, name: &str) -> Sample {
    let tokens: Vec<i64> = recorded[&format!("{name}.tokens")].to_vec1().unwrap();
    Sample {
        loss_mask: vec![true; tokens.len()],
        tokens: tokens.into_iter().map(|token| token as u32).collect(),
    }
}

/// The model of a file.
pub fn load(path: &Path, stored: WeightType) -> Decoder {
    Decoder::load(path, stored, &Device::Cpu, &mut |_| ()).unwrap()
}

/// Prints a result, to be seen without --nocapture.
pub fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_gguf_file_of_every_family_and_type_scores_as_transformers_does() {
    let recorded = recorded();
    let mut table = Table::default();
    for name in all() {
        table.row(&name);
        let path = file(&name);
        let batch = Batch::from_samples(&[sample(&recorded, &name)]);
        let stored = load(&path, WeightType::Stored);
        let wide = load(&path, WeightType::Float(DType::F32));
        for (column, decoder) in [("as stored", &stored), ("in f32", &wide)] {
            let logits = decoder.logits(&batch).unwrap();
            table.add(column, difference::of_tensors(&logits, &recorded[&name]));
        }
        // What is not changed for the file is the folder's model, to the bit where both are f32.
        if ["phi3", "qwen3"].contains(&name.as_str()) {
            let folder = subject::base(&Fixture::load(&name));
            let stored_bytes = stored.spec().stored_bytes;
            let spec = ModelSpec {
                stored_bytes,
                ..folder.spec().clone()
            };
            assert_eq!(&spec, stored.spec(), "{name}");
            let logits = [&folder, &stored].map(|decoder| decoder.logits(&batch).unwrap());
            table.add(
                "beside the folder",
                difference::of_tensors(&logits[1], &logits[0]),
            );
        }
    }
    say(&format!(
        "\nGGUF beside transformers:\n\n{}\n",
        table.markdown()
    ));
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
}

/// QLoRA over stored blocks: loss, gradients and what is merged are those beside the numbers that
/// the blocks stand for.
#[test]
fn an_adapter_beside_stored_blocks_is_one_beside_what_they_stand_for() {
    let recorded = recorded();
    let (mut table, mut merged_table) = (Table::default(), Table::default());
    let families = ["gpt-neox", "granite", "mixtral", "qwen3-moe"];
    for name in of_types().chain(families.map(str::to_owned)) {
        table.row(&name);
        let path = file(&name);
        let batches = [Batch::from_samples(&[sample(&recorded, &name)])];
        let config = LoraConfig {
            r: 4,
            ..LoraConfig::default()
        };
        let kinds = [WeightType::Stored, WeightType::Float(DType::F32)];
        let mut pair = kinds.map(|stored| {
            let mut decoder = load(&path, stored);
            decoder.attach_lora(&config, 7).unwrap();
            decoder
        });
        for recompute in [false, true] {
            let [(loss, gradients), (wide_loss, wide_gradients)] = pair
                .each_mut()
                .map(|decoder| subject::loss_and_gradients(decoder, &batches, recompute));
            table.add("loss", difference::of_values(&[loss], &[wide_loss]));
            table.add(
                "gradients",
                difference::of_named(&gradients, &wide_gradients),
            );
        }
        // What is written is a folder that means the same.
        let folder = tempfile::tempdir().unwrap();
        let logits = pair[0].logits(&batches[0]).unwrap();
        pair[0]
            .save_folder(&folder.path().join("merged"), DType::F32, None)
            .unwrap();
        let merged = load(&folder.path().join("merged"), WeightType::Float(DType::F32));
        let merged = merged.logits(&batches[0]).unwrap();
        merged_table.row(&name);
        merged_table.add("merged", difference::of_tensors(&merged, &logits));
    }
    say(&format!(
        "\nLoRA beside stored blocks:\n\n{}\n",
        table.markdown()
    ));
    assert_eq!(table.beyond(1e-6), Vec::<String>::new());
    // One product where there were three: its sums are rounded elsewhere.
    assert_eq!(merged_table.beyond(1e-5), Vec::<String>::new());
}

/// The memory estimate knows the bytes a file's weights take.
#[test]
fn stored_weights_are_counted_to_the_byte() {
    for name in all() {
        let opened = Gguf::open(&file(&name)).unwrap();
        let spec = ModelSpec::from_gguf(&opened).unwrap();
        let tensors = opened.tensors().iter();
        let read = tensors.filter(|(name, _)| !name.starts_with("rope_"));
        let bytes: usize = read.map(|(_, tensor)| opened.bytes(tensor).len()).sum();
        assert_eq!(
            spec.frozen_bytes(WeightType::Stored),
            bytes as u64,
            "{name}"
        );
    }
}

/// Whichever bytes of a file are others, it is refused or read: nothing panics on it, and a tokenizer
/// or decoder that came of it can be used.
#[test]
fn a_file_with_other_bytes_is_refused_or_read() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let folder = tempfile::tempdir().unwrap();
    let (mut read, mut refused) = (0, 0);
    let mut note = |result: Result<(), String>| match result {
        Ok(()) => read += 1,
        Err(reason) => {
            assert!(!reason.is_empty());
            refused += 1;
        }
    };
    for name in ["gpt-2", "llama-bpe", "spm-bpe", "spm-unigram"] {
        let whole = std::fs::read(place(&format!("gguf-tokenizers/{name}.gguf"))).unwrap();
        for _ in 0..60 {
            let bytes = changed(&whole, &mut rng, whole.len());
            let opened = Gguf::from_bytes(Path::new("changed.gguf"), bytes);
            let tokenizer = opened.and_then(|file| Tokenizer::from_gguf(&file));
            let used = tokenizer.map(|tokenizer| {
                // Texts that the vocabulary has lost its letters for may fail, not panic.
                let _ = tokenizer.encode("Hello, für 123 <think>", true);
                let _ = tokenizer.decode(&[0, 1, 5, 300, 100_000], false);
            });
            note(used.map_err(|error| error.to_string()));
        }
    }
    for name in [
        "Q4_K",
        "gemma3",
        "stablelm-parallel",
        "phi3",
        "qwen3-moe-Q4_K",
        "mixtral-Q4_0-apart",
    ] {
        let whole = std::fs::read(file(name)).unwrap();
        let path = folder.path().join("changed.gguf");
        for _ in 0..40 {
            // The head, where every byte means something, and once in a while a number.
            let reach = if rng.random_bool(0.9) {
                2000
            } else {
                whole.len()
            };
            std::fs::write(&path, changed(&whole, &mut rng, reach)).unwrap();
            let decoder = Decoder::load(&path, WeightType::Stored, &Device::Cpu, &mut |_| ());
            note(decoder.map(drop).map_err(|error| error.to_string()));
        }
    }
    assert!(read > 40 && refused > 40, "{read} read, {refused} refused");
}

/// One to three bytes among the first `reach` of them made others.
fn changed(whole: &[u8], rng: &mut ChaCha8Rng, reach: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let place = rng.random_range(0..reach.min(bytes.len()));
        bytes[place] = match rng.random_range(0..3) {
            0 => rng.random(),
            1 => bytes[place] ^ (1 << rng.random_range(0..8)),
            _ => 0xff,
        };
    }
    bytes
}
