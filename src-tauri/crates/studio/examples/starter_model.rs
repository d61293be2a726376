//! Makes the starter model: writes the corpus, trains the tokenizer, trains the model from random
//! weights, tunes it on the sample dataset as the demo does and writes down what came out.
//!
//! `make starter-model` runs it. Everything follows from one seed; a run that was stopped goes on
//! from its last checkpoint.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use attune_data::{BpeOptions, Conversation, Role, Sample, Tokenizer, TrainedTokenizer, Turn};
use attune_engine::{
    Control, DType, Decoder, Device, Family, LoraConfig, ModelSizes, ModelSpec, SamplingOptions,
    Schedule, TrainEvent, TrainOptions, generate, train,
};
use attune_studio::starter::dataset::{Row, SEED, SampleDataset};
use attune_studio::starter::{self, corpus::Corpus};
use serde::Deserialize;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Documents the model is trained on, each once.
const DOCUMENTS: usize = 120_000;
const VOCABULARY: usize = 1024;
/// The longest text in tokens.
const CONTEXT: usize = 512;

/// A capitalised word never carries the space before it, so a name is the same token after a
/// space and inside quotes: copying it needs no translation.
const PIECES: &str =
    r"\p{N}|\p{Lu}+\p{Ll}*| ?\p{Ll}+| ?[\p{Lt}\p{Lm}\p{Lo}]+| ?[^\s\p{L}\p{N}]+|\s+";

fn main() -> Result<()> {
    let work = std::env::args().nth(1);
    let work = PathBuf::from(work.unwrap_or_else(|| "target/starter-model".into()));
    fs::create_dir_all(&work)?;
    let documents: Vec<Conversation> = Corpus::new().take(DOCUMENTS).collect();
    let model = work.join("model");
    if !model.join("model.safetensors").is_file() {
        fs::write(work.join("corpus.txt"), plain_text(&documents))?;
        let seedling = work.join("seedling");
        write_configuration(&seedling, &documents)?;
        pretrain(&seedling, &documents, &work.join("checkpoints"), &model)?;
    }
    measure(&model, &work.join("tuning"))?;
    install(&model)
}

/// Puts the model where the program is built with it.
fn install(model: &Path) -> Result<()> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter");
    for (name, _) in starter::MODEL_FILES {
        // The card is written by hand: it says what was measured and what it means.
        if *name != "README.md" {
            fs::copy(model.join(name), assets.join(name))?;
        }
    }
    println!("copied to {}", assets.display());
    Ok(())
}

/// The corpus as one text, chats in ChatML.
fn plain_text(documents: &[Conversation]) -> String {
    let mut text = String::new();
    for turn in documents.iter().flat_map(|document| &document.turns) {
        match turn.role {
            Role::Text => text += &format!("{}\n\n", turn.content),
            Role::User => text += &format!("<|im_start|>user\n{}<|im_end|>\n", turn.content),
            _ => text += &format!("<|im_start|>assistant\n{}<|im_end|>\n\n", turn.content),
        }
    }
    text
}

/// Writes the folder the training begins from: tokenizer and configuration, no weights.
fn write_configuration(folder: &Path, documents: &[Conversation]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let chat_ml = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let options = BpeOptions {
        vocab_size: VOCABULARY,
        special_tokens: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
            .map(String::from)
            .to_vec(),
        eos_token: "<|im_end|>".into(),
        pad_token: Some("<|endoftext|>".into()),
        pieces: PIECES.into(),
        chat_template: Some(chat_ml.into()),
        model_max_length: CONTEXT,
    };
    // A third is plenty to count words in.
    let texts = documents
        .iter()
        .step_by(3)
        .flat_map(|document| &document.turns);
    TrainedTokenizer::train(texts.map(|turn| turn.content.as_str()), &options)?.save(folder)?;
    let generation_config =
        json!({ "eos_token_id": [2, 0], "pad_token_id": 0, "do_sample": false });
    fs::write(
        folder.join("generation_config.json"),
        format!("{generation_config:#}\n"),
    )?;
    let sizes = ModelSizes {
        vocab_size: VOCABULARY,
        hidden_size: 128,
        intermediate_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: CONTEXT,
        tie_word_embeddings: true,
    };
    let mut config = sizes.spec(Family::Llama)?.to_config("bfloat16");
    config["eos_token_id"] = json!([2, 0]);
    config["pad_token_id"] = json!(0);
    fs::write(folder.join("config.json"), format!("{config:#}\n"))?;
    Ok(())
}

/// Trains from random weights.
fn pretrain(
    seedling: &Path,
    documents: &[Conversation],
    checkpoints: &Path,
    model: &Path,
) -> Result<()> {
    let tokenizer = Tokenizer::from_folder(seedling)?;
    let samples = documents
        .iter()
        .map(|document| tokenizer.sample(document, 512))
        .collect::<std::result::Result<Vec<Sample>, _>>()?;
    let mut decoder = Decoder::random(&ModelSpec::from_folder(seedling)?, SEED, &Device::Cpu)?;
    decoder.make_trainable()?;
    let options = TrainOptions {
        batch_size: 1,
        max_length: 2048,
        packing: true,
        learning_rate: 2.5e-3,
        schedule: Schedule::Cosine,
        min_learning_rate_ratio: 0.03,
        warmup_epochs: 0.02,
        weight_decay: 0.01,
        beta2: 0.98,
        gradient_clip: 1.0,
        seed: SEED,
        evaluation_epochs: 0.0,
        checkpoint_steps: 200,
        ..TrainOptions::default()
    };
    run(&mut decoder, &samples, &options, checkpoints)?;
    decoder.save_folder(model, DType::BF16, Some(seedling))?;
    Ok(())
}

fn run(
    decoder: &mut Decoder,
    samples: &[Sample],
    options: &TrainOptions,
    checkpoints: &Path,
) -> Result<()> {
    let started = Instant::now();
    let (mut total, mut mean) = (0, None);
    train(
        decoder,
        samples,
        &[],
        options,
        checkpoints,
        &Control::default(),
        &mut |event, _| match event {
            TrainEvent::Started {
                total_steps,
                trainable_parameters,
                ..
            } => {
                total = total_steps;
                println!("{trainable_parameters} weights to train in {total_steps} steps");
            }
            TrainEvent::Step {
                step,
                loss,
                tokens_per_second,
                ..
            } => {
                let average = mean.map_or(loss, |mean: f64| 0.97 * mean + 0.03 * loss);
                mean = Some(average);
                if step % 50 == 0 || step == total {
                    let seconds = started.elapsed().as_secs();
                    println!(
                        "step {step} of {total}, loss {average:.4}, {tokens_per_second:.0} tokens/s, {seconds} s"
                    );
                }
            }
            _ => {}
        },
    )?;
    Ok(())
}

/// What the demo's settings say to the engine.
#[derive(Deserialize)]
struct Demo {
    seed: u64,
    epochs: f64,
    batch_size: usize,
    learning_rate: f64,
    weight_decay: f64,
    warmup_epochs: f64,
    gradient_clip: f64,
    lora_r: usize,
    lora_alpha: f64,
}

/// Exact match on the held-out rows, before and after tuning as the demo does.
fn measure(model: &Path, checkpoints: &Path) -> Result<()> {
    let tokenizer = Tokenizer::from_folder(model)?;
    let data = SampleDataset::generate();
    let mut decoder = Decoder::load(model, DType::F32, &Device::Cpu, &mut |_| {})?;
    println!(
        "before: {}",
        exact_match(&decoder, &tokenizer, &data.held_out)?
    );
    let demo: Demo = serde_yaml_ng::from_str(starter::DEMO_CONFIG)?;
    let lora = LoraConfig {
        r: demo.lora_r,
        lora_alpha: demo.lora_alpha,
        ..LoraConfig::default()
    };
    decoder.attach_lora(&lora, demo.seed)?;
    let samples = data
        .train
        .iter()
        .map(|row| tokenizer.sample(&conversation(row), 512))
        .collect::<std::result::Result<Vec<Sample>, _>>()?;
    let options = TrainOptions {
        seed: demo.seed,
        epochs: demo.epochs,
        batch_size: demo.batch_size,
        learning_rate: demo.learning_rate,
        weight_decay: demo.weight_decay,
        warmup_epochs: demo.warmup_epochs,
        gradient_clip: demo.gradient_clip,
        evaluation_epochs: 0.0,
        ..TrainOptions::default()
    };
    if checkpoints.exists() {
        fs::remove_dir_all(checkpoints)?;
    }
    let started = Instant::now();
    run(&mut decoder, &samples, &options, checkpoints)?;
    println!("tuned in {:.0} s", started.elapsed().as_secs_f64());
    println!(
        "after: {}",
        exact_match(&decoder, &tokenizer, &data.held_out)?
    );
    Ok(())
}

fn conversation(row: &Row) -> Conversation {
    Conversation {
        turns: vec![
            Turn::new(Role::User, row.instruction.as_str()),
            Turn::new(Role::Assistant, row.output.as_str()),
        ],
    }
}

fn exact_match(decoder: &Decoder, tokenizer: &Tokenizer, rows: &[Row]) -> Result<String> {
    let started = Instant::now();
    let prompts = rows
        .iter()
        .map(|row| tokenizer.prompt(&[Turn::new(Role::User, row.instruction.as_str())]))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let options = SamplingOptions {
        max_new_tokens: 200,
        ..SamplingOptions::default()
    };
    let answers = generate(
        decoder,
        tokenizer,
        &prompts,
        &options,
        &AtomicBool::new(false),
        &mut |_, _| {},
    )?;
    let mut right = 0;
    for (row, answer) in rows.iter().zip(&answers) {
        if answer.text == row.output {
            right += 1;
        } else {
            println!(
                "  {}\n    should {}\n    is     {}",
                row.instruction, row.output, answer.text
            );
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "{right} of {} exactly right, {seconds:.0} s",
        rows.len()
    ))
}
