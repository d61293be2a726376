//! Mixtures of experts in GGUF files: what training and generation make of stored stacks, the layout
//! of older files, and what is said of stacks that are missing or of another shape.
//!
//! Logits, gradients and bytes are compared in `gguf.rs` with those of all files.

use std::sync::atomic::AtomicBool;

use attune_data::{Batch, Sample};
use attune_engine::{
    DType, Decoder, Device, Error, LoraConfig, SamplingOptions, WeightType, generate,
};

use crate::fixture::Fixture;
use crate::gguf::{file, load, of_types, recorded, sample, say};
use crate::table::Table;
use crate::{difference, subject};

/// Files whose weights are floats, and files of each type; a dense model's have its type as name.
fn mixtures() -> impl Iterator<Item = String> {
    let floats = ["mixtral", "qwen3-moe"].map(str::to_owned);
    let typed = of_types().filter(|name| name.contains('-'));
    floats.into_iter().chain(typed)
}

/// The layout of files from before April 2024, a tensor for each matrix of each expert, is the same
/// model, to the bit.
#[test]
fn experts_that_lie_apart_are_those_of_a_stack() {
    let recorded = recorded();
    for name in ["mixtral-Q4_0", "mixtral-Q4_K"] {
        let batch = Batch::from_samples(&[sample(&recorded, name)]);
        let bits = |name: &str| -> Vec<u32> {
            let decoder = load(&file(name), WeightType::Stored);
            let logits = decoder.logits(&batch).unwrap().flatten_all().unwrap();
            let values = logits.to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        assert!(bits(name) == bits(&format!("{name}-apart")), "{name}");
        let bytes = |name: &str| load(&file(name), WeightType::Stored).spec().stored_bytes;
        assert_eq!(bytes(name), bytes(&format!("{name}-apart")));
    }
}

/// Every token of an answer, made with a cache, is the likeliest without one. Beside quantised
/// weights the tokens of an answer are rounded as ggml does, which moves the scores of these models
/// by some percent of the largest: there it may be another that is almost as likely.
#[test]
fn an_answer_is_what_the_whole_text_scores_highest() {
    let (tokenizer, never) = (subject::tokenizer(), AtomicBool::new(false));
    let recorded = recorded();
    let mut table = Table::default();
    for name in mixtures() {
        let decoder = load(&file(&name), WeightType::Stored);
        let prompt = sample(&recorded, &name).tokens[..9].to_vec();
        let options = SamplingOptions {
            temperature: 0.0,
            max_new_tokens: 16,
            ..SamplingOptions::default()
        };
        let prompts = [prompt.clone()];
        let answers = generate(
            &decoder,
            &tokenizer,
            &prompts,
            &options,
            &never,
            &mut |_, _| (),
        );
        let answer = answers.unwrap().remove(0).tokens;
        assert_eq!(answer.len(), 16, "{name}");
        let tokens = [&prompt[..], &answer].concat();
        let whole = Sample {
            loss_mask: vec![true; tokens.len()],
            tokens,
        };
        let logits = decoder.logits(&Batch::from_samples(&[whole])).unwrap();
        let logits = logits.to_vec2::<f32>().unwrap();
        let short = answer.iter().enumerate().map(|(at, token)| {
            let scores = &logits[prompt.len() - 1 + at];
            let best = scores.iter().copied().fold(f32::MIN, f32::max);
            let largest = scores
                .iter()
                .fold(0.0, |most: f32, score| most.max(score.abs()));
            f64::from((best - scores[*token as usize]) / largest)
        });
        table.row(&name);
        let column = if name.contains('Q') {
            "beside quantised weights"
        } else {
            "beside floats"
        };
        let short = short.fold(0.0, f64::max);
        table.add(column, short);
        let allowed = if name.contains('Q') { 0.15 } else { 0.0 };
        assert!(short <= allowed, "{name}: {short:.1e} below the likeliest");
    }
    say(&format!(
        "\nHow far below the likeliest an answer's token lies:\n\n{}\n",
        table.markdown()
    ));
}

/// LoRA beside attention, trained over stored experts, is LoRA trained over the numbers they stand
/// for, lowers the loss, and is read back.
#[test]
fn an_adapter_trains_beside_stored_experts() {
    let fixture = Fixture::load("mixtral");
    let folder = tempfile::tempdir().unwrap();
    let config = LoraConfig {
        r: 4,
        ..LoraConfig::default()
    };
    let mut table = Table::default();
    for name in mixtures() {
        let vocabulary = load(&file(&name), WeightType::Stored).spec().vocab_size as u32;
        let mut data = fixture.data();
        for token in data.iter_mut().flat_map(|sample| &mut sample.tokens) {
            *token %= vocabulary;
        }
        let options = subject::options(&fixture.expected.options, data.len(), 1e-2);
        let [stored, wide] = [WeightType::Stored, WeightType::Float(DType::F32)].map(|weights| {
            let mut decoder = load(&file(&name), weights);
            decoder.attach_lora(&config, 7).unwrap();
            let trained = subject::run(&mut decoder, &data, &options);
            (decoder, trained)
        });
        table.row(&name);
        table.add(
            "losses",
            difference::of_values(&stored.1.losses, &wide.1.losses),
        );
        table.add(
            "weights",
            difference::of_named(&stored.1.weights, &wide.1.weights),
        );
        let names = stored.1.weights.keys();
        assert!(names.into_iter().all(|name| name.contains(".self_attn.")));
        let batch = Batch::from_samples(&data);
        let loss = |decoder: &Decoder| -> f32 {
            let losses = decoder.token_losses(&batch).unwrap();
            losses.iter().sum::<f32>() / losses.len() as f32
        };
        let mut fresh = load(&file(&name), WeightType::Stored);
        let before = loss(&fresh);
        assert!(loss(&stored.0) < before - 0.05, "{name}: {before} before");
        let place = folder.path().join(&name);
        stored.0.save_adapter(&place).unwrap();
        fresh.load_adapter(&place).unwrap();
        let [found, expected] = [&fresh, &stored.0].map(|decoder| decoder.logits(&batch).unwrap());
        assert_eq!(difference::of_tensors(&found, &expected), 0.0, "{name}");
    }
    say(&format!(
        "\n20 LoRA steps beside stored experts:\n\n{}\n",
        table.markdown()
    ));
    // AdamW makes steps of what rounding alone leaves of a small gradient, and steps are large here.
    assert_eq!(table.beyond(1e-3), Vec::<String>::new());
}

/// What loading a recorded file says when `bytes` behind the `skip`-th after the first `of` in it
/// are others.
fn refusal(name: &str, of: &str, skip: usize, bytes: &[u8]) -> Error {
    let mut whole = std::fs::read(file(name)).unwrap();
    let place = whole
        .windows(of.len())
        .position(|window| window == of.as_bytes());
    whole[place.unwrap() + skip..][..bytes.len()].copy_from_slice(bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, whole).unwrap();
    let loaded = Decoder::load(&path, WeightType::Stored, &Device::Cpu, &mut |_| ());
    loaded.err().unwrap()
}

#[test]
fn stacks_that_do_not_fit_are_named_with_the_shape_they_should_have() {
    for (file, tensor, other, shape) in [
        (
            "mixtral-Q4_K",
            "blk.0.ffn_up_exps.weight",
            "blk.0.ffn_op_exps.weight",
            vec![3, 32, 256],
        ),
        (
            "qwen3-moe-Q4_K",
            "blk.0.ffn_down_exps.weight",
            "blk.0.ffn_dawn_exps.weight",
            vec![3, 256, 32],
        ),
        (
            "mixtral-Q4_K-apart",
            "blk.0.ffn_down.2.weight",
            "blk.0.ffn_down.9.weight",
            vec![256, 32],
        ),
        (
            "qwen3-moe-Q4_K",
            "blk.0.ffn_gate_inp.weight",
            "blk.0.ffn_gate_out.weight",
            vec![3, 256],
        ),
    ] {
        match refusal(file, tensor, 0, other.as_bytes()) {
            Error::MissingTensor { name, expected, .. } => {
                assert_eq!((name.as_str(), &expected), (tensor, &shape));
            }
            other => panic!("{other}"),
        }
    }
    // Its dimensions stand behind its name and their number, the last first.
    let stack = "blk.0.ffn_gate_exps.weight";
    let sizes = [256_u64, 3, 32].map(u64::to_le_bytes).concat();
    match refusal("qwen3-moe-Q4_K", stack, stack.len() + 4, &sizes) {
        Error::WrongShape {
            name,
            expected,
            found,
            ..
        } => {
            assert_eq!(name, stack);
            assert_eq!((expected, found), (vec![3, 32, 256], vec![32, 3, 256]));
        }
        other => panic!("{other}"),
    }
    // A number stands behind its key and its kind.
    let fewer = |file, count: u32| {
        let key = "llama.expert_count";
        refusal(file, key, key.len() + 4, &count.to_le_bytes())
    };
    match fewer("mixtral-Q4_K", 2) {
        Error::WrongShape { name, expected, .. } => {
            assert_eq!((name.as_str(), expected), (stack, vec![2, 32, 256]));
        }
        other => panic!("{other}"),
    }
    match fewer("mixtral-Q4_K-apart", 4) {
        Error::MissingTensor { name, expected, .. } => {
            let expected = (name.as_str(), expected);
            assert_eq!(expected, ("blk.0.ffn_gate.3.weight", vec![32, 256]));
        }
        other => panic!("{other}"),
    }
    let used = fewer("mixtral-Q4_K", 1).to_string();
    let reason = "`llama.expert_used_count` is 2, and there are 1 experts";
    assert!(used.contains(reason), "{used}");
}
