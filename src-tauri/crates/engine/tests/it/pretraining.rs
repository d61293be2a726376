//! A model from nothing but text: tokenizer, random weights, a folder to load.

use attune_data::{BpeOptions, Documents, Sample, Tokenizer, TrainedTokenizer};
use attune_engine::{
    Control, DType, Decoder, Device, Family, ModelSizes, Outcome, Schedule, TrainOptions, evaluate,
    train,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Sentences of a small world, in which a word tells much of the next.
fn corpus(count: usize, seed: u64) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = |words: &[&'static str]| words[rng.random_range(0..words.len())];
    let sentence = |_| {
        let who = pick(&["The baker", "The miller", "The smith"]);
        let (makes, what) = match who {
            "The baker" => ("bakes", pick(&["bread", "rolls"])),
            "The miller" => ("grinds", pick(&["wheat", "rye"])),
            _ => ("forges", pick(&["nails", "hinges"])),
        };
        format!("{who} {makes} {what} in the morning and rests at night.")
    };
    (0..count).map(sentence).collect()
}

/// Entropy in nats of a token drawn without regard to those before it: what a model that has
/// learnt only how frequent tokens are cannot fall below.
fn unigram_entropy(samples: &[Sample]) -> f64 {
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for token in samples.iter().flat_map(|sample| &sample.tokens[1..]) {
        *counts.entry(*token).or_default() += 1.0;
    }
    let total: f64 = counts.values().sum();
    let shares = counts.values().map(|count| count / total);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

fn mean_loss(decoder: &Decoder, samples: &[Sample]) -> f64 {
    let losses = evaluate(decoder, samples, 512, &mut |_| ()).unwrap();
    let tokens: usize = losses.iter().map(|loss| loss.trained_tokens).sum();
    losses.iter().map(|loss| loss.loss_sum).sum::<f64>() / tokens as f64
}

#[test]
fn a_model_from_random_weights_learns_more_than_how_frequent_tokens_are() {
    let folder = tempfile::tempdir().unwrap();
    let seedling = folder.path().join("seedling");
    std::fs::create_dir(&seedling).unwrap();
    let texts = corpus(400, 1);
    let options = BpeOptions {
        vocab_size: 300,
        ..BpeOptions::default()
    };
    let made = TrainedTokenizer::train(texts.iter(), &options).unwrap();
    made.save(&seedling).unwrap();
    let tokenizer = Tokenizer::from_folder(&seedling).unwrap();
    let samples = |texts: &[String]| {
        tokenizer
            .document_samples(texts, 64, Documents::Joined)
            .unwrap()
    };
    let (learnt, held_out) = (samples(&texts), samples(&corpus(40, 2)));

    let sizes = ModelSizes {
        vocab_size: made.vocab_size(),
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
    };
    let spec = sizes.spec(Family::Llama).unwrap();
    let mut decoder = Decoder::random(&spec, 7, &Device::Cpu).unwrap();
    decoder.make_trainable().unwrap();
    let before = mean_loss(&decoder, &held_out);
    // Nothing is known yet: every token is about as likely.
    assert!(
        (before - (made.vocab_size() as f64).ln()).abs() < 0.1,
        "{before}"
    );
    let options = TrainOptions {
        epochs: 4.0,
        batch_size: 4,
        max_length: 64,
        learning_rate: 1e-2,
        schedule: Schedule::Cosine,
        warmup_epochs: 0.1,
        gradient_clip: 1.0,
        evaluation_epochs: 0.0,
        ..TrainOptions::default()
    };
    let outcome = train(
        &mut decoder,
        &learnt,
        &[],
        &options,
        &folder.path().join("checkpoints"),
        &Control::default(),
        &mut |_, _| (),
    );
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let after = mean_loss(&decoder, &held_out);
    let bound = unigram_entropy(&held_out) / 2.0;
    assert!(after < bound, "{before} to {after}, not below {bound}");

    // What is saved is a model folder like any other.
    let model = folder.path().join("model");
    decoder.save_folder(&model, DType::F32, None).unwrap();
    made.save(&model).unwrap();
    let loaded = Decoder::load(&model, DType::F32, &Device::Cpu, &mut |_| ()).unwrap();
    assert_eq!(loaded.spec(), &spec);
    assert_eq!(mean_loss(&loaded, &held_out), after);
    assert_eq!(
        Tokenizer::from_folder(&model).unwrap().vocab_size(),
        spec.vocab_size
    );
}

#[test]
fn every_family_can_be_given_sizes() {
    for family in [
        Family::Llama,
        Family::Mistral,
        Family::Qwen2,
        Family::Qwen3,
        Family::SmolLm3,
        Family::Granite,
        Family::Olmo2,
        Family::Gemma,
        Family::Gemma2,
        Family::Gemma3,
        Family::Phi3,
        Family::StableLm,
        Family::GptNeox,
    ] {
        let sizes = ModelSizes {
            vocab_size: 50,
            hidden_size: 24,
            intermediate_size: 40,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            num_key_value_heads: if family == Family::GptNeox { 3 } else { 1 },
            max_position_embeddings: 32,
            tie_word_embeddings: false,
        };
        let spec = sizes.spec(family).unwrap();
        assert_eq!(
            (spec.head_dim, spec.num_key_value_heads),
            (8, sizes.num_key_value_heads)
        );
        assert!(!spec.tie_word_embeddings);
        Decoder::random(&spec, 1, &Device::Cpu).unwrap();
        let odd = ModelSizes {
            num_attention_heads: 0,
            ..sizes
        };
        assert!(odd.spec(family).is_err());
    }
}
