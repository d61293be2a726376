//! The whole story on a tiny random model, through the command list as a host uses it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use attune_engine::{DType, Decoder, Device, ModelSpec};
use attune_studio::api::{
    ChatRequest, Control, DataImportRequest, EvaluateRequest, Event, ExperimentRequest,
    ExperimentStartRequest, ExperimentState, ExperimentsShowRequest, ExportFormat, ExportRequest,
    Role, ScoreRequest, Session, TrainEvent, Turn, Weights,
};
use attune_studio::{Studio, api};
use serde_json::json;

/// A home, a model folder and a file of conversations.
struct Place {
    folder: tempfile::TempDir,
    studio: Studio,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(folder.path().join("home"));
        let place = Self { folder, studio };
        write_model(&place.model());
        let rows: Vec<String> = (0..40)
            .map(|row| {
                json!({"prompt": format!("say {row}"), "answer": row.to_string()}).to_string()
            })
            .collect();
        fs::write(place.path("numbers.jsonl"), rows.join("\n")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> PathBuf {
        self.path("tiny")
    }

    fn import(&self) {
        let request = DataImportRequest {
            path: self.path("numbers.jsonl"),
            ..DataImportRequest::default()
        };
        quiet(|session| api::data_import(&self.studio, request, session)).unwrap();
    }

    fn start(&self, set: &[&str]) -> ExperimentStartRequest {
        let mut all = vec![
            "dataset=numbers".to_owned(),
            format!("model={}", self.model().display()),
        ];
        let small = [
            "max_length=64",
            "learning_rate=1e-3",
            "validation_size=0.1",
            "seed=1",
            "epochs=2",
        ];
        all.extend(small.iter().chain(set).map(ToString::to_string));
        ExperimentStartRequest {
            set: all,
            ..ExperimentStartRequest::default()
        }
    }
}

fn quiet<T>(work: impl FnOnce(&mut Session<'_>) -> T) -> T {
    work(&mut Session::new(&mut |_| {}, &Control::default()))
}

/// A byte-level tokenizer and a random Llama of a few thousand weights.
fn write_model(folder: &Path) {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut letters: Vec<String> = alphabet.into_iter().map(String::from).collect();
    letters.sort();
    letters.extend(["<|im_start|>", "<|im_end|>"].map(str::to_owned));
    let vocabulary: serde_json::Map<_, _> = letters
        .iter()
        .enumerate()
        .map(|(id, text)| (text.clone(), id.into()))
        .collect();
    let special = |text: &str, id: usize| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special("<|im_start|>", 256), special("<|im_end|>", 257)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocabulary, "merges": []},
    });
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 258, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true,
    });
    let base = folder.with_extension("base");
    fs::create_dir_all(&base).unwrap();
    fs::write(base.join("config.json"), config.to_string()).unwrap();
    fs::write(base.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(
        base.join("tokenizer_config.json"),
        json!({"eos_token": "<|im_end|>"}).to_string(),
    )
    .unwrap();
    let spec = ModelSpec::from_folder(&base).unwrap();
    Decoder::random(&spec, 7, &Device::Cpu)
        .unwrap()
        .save_folder(folder, DType::F32, Some(&base))
        .unwrap();
}

fn weights(experiment: &str) -> Weights {
    Weights {
        experiment: Some(experiment.to_owned()),
        ..Weights::default()
    }
}

/// Import, tune, pause, continue, measure, chat, score, take away, delete.
#[test]
fn the_whole_story() {
    let place = Place::new();
    place.import();

    // Paused after the third step, as by Ctrl-C.
    let control = Control::default();
    let mut hand = |event: Event| {
        if matches!(
            event,
            Event::Train {
                event: TrainEvent::Step { step: 3, .. },
                ..
            }
        ) {
            control.pause();
        }
    };
    let request = place.start(&["checkpoint_steps=2"]);
    let paused = api::experiment_start(
        &place.studio,
        request,
        &mut Session::new(&mut hand, &control),
    )
    .unwrap();
    assert_eq!((paused.state, paused.step), (ExperimentState::Paused, 3));
    assert!(paused.folder.join("config.yaml").is_file());

    let request = ExperimentRequest {
        experiment: paused.id.clone(),
    };
    let done =
        quiet(|session| api::experiments_resume(&place.studio, request.clone(), session)).unwrap();
    assert_eq!(
        (done.state, Some(done.step)),
        (ExperimentState::Finished, done.total_steps)
    );
    let again = quiet(|session| api::experiments_resume(&place.studio, request.clone(), session))
        .unwrap_err();
    assert_eq!(again.code, "experiment-ended");

    let show = ExperimentsShowRequest {
        experiment: paused.id.clone(),
        compare: None,
    };
    let report = quiet(|session| api::experiments_show(&place.studio, show, session)).unwrap();
    let steps: Vec<u64> = report
        .events
        .iter()
        .filter_map(|line| match line.event {
            TrainEvent::Step { step, .. } => Some(step),
            _ => None,
        })
        .collect();
    assert_eq!(
        steps,
        (1..=done.step).collect::<Vec<_>>(),
        "each step once, in order"
    );
    assert!(
        report
            .differences
            .iter()
            .any(|difference| difference.key == "learning_rate")
    );

    let request = EvaluateRequest {
        weights: weights(&done.id),
        max_new_tokens: Some(4),
        rows: true,
        ..Default::default()
    };
    let tuned = quiet(|session| api::evaluate(&place.studio, request, session)).unwrap();
    assert_eq!(
        (tuned.conversations, tuned.answered, tuned.rows.len()),
        (4, Some(4), 4)
    );
    let base = Weights {
        model: Some(place.model().display().to_string()),
        ..Weights::default()
    };
    let request = EvaluateRequest {
        weights: base,
        held_out_of: Some(done.id.clone()),
        loss_only: true,
        ..Default::default()
    };
    let untuned = quiet(|session| api::evaluate(&place.studio, request, session)).unwrap();
    assert!(
        tuned.loss < untuned.loss,
        "{} < {}",
        tuned.loss,
        untuned.loss
    );
    assert!(
        (done.validation_loss.unwrap() - tuned.loss).abs() < 1e-4,
        "the run measured the same"
    );

    let turns = vec![Turn::new(Role::User, "say 3")];
    let mut streamed = String::new();
    let mut listen = |event: Event| {
        if let Event::Text { text } = event {
            streamed.push_str(&text);
        }
    };
    let request = ChatRequest {
        weights: weights(&done.id),
        turns,
        sampling: None,
    };
    let answer = api::chat(
        &place.studio,
        request,
        &mut Session::new(&mut listen, &Control::default()),
    )
    .unwrap();
    assert_eq!(streamed, answer.text);

    let request = ScoreRequest {
        weights: weights(&done.id),
        text: Some("say 3".to_owned()),
        tokens: None,
    };
    let score = quiet(|session| api::score(&place.studio, request, session)).unwrap();
    assert_eq!(score.tokens.len(), score.logprobs.len());
    assert!(score.logprobs[0].is_none() && score.logprobs[1].unwrap() < 0.0);

    for (format, file) in [
        (ExportFormat::Adapter, "adapter_model.safetensors"),
        (ExportFormat::Merged, "model.safetensors"),
    ] {
        let folder = place.path(file);
        let request = ExportRequest {
            weights: weights(&done.id),
            format,
            folder: folder.clone(),
            ..Default::default()
        };
        let export = quiet(|session| api::export(&place.studio, request.clone(), session)).unwrap();
        assert!(
            export.files.iter().any(|name| name == file)
                && export.files.iter().any(|name| name == "README.md")
        );
        let refused = quiet(|session| api::export(&place.studio, request, session)).unwrap_err();
        assert_eq!(refused.code, "export-occupied");
    }
    let merged = Weights {
        model: Some(place.path("model.safetensors").display().to_string()),
        ..Weights::default()
    };
    let request = ScoreRequest {
        weights: merged,
        text: Some("say 3".to_owned()),
        tokens: None,
    };
    let merged = quiet(|session| api::score(&place.studio, request, session)).unwrap();
    let apart = score
        .logprobs
        .iter()
        .zip(&merged.logprobs)
        .filter_map(|(a, b)| Some((a.as_ref()? - b.as_ref()?).abs()));
    assert!(
        apart.fold(0.0, f32::max) < 1e-3,
        "merged, it is the same model"
    );

    let request = ExperimentRequest {
        experiment: done.id.clone(),
    };
    assert!(
        quiet(|session| api::experiments_delete(&place.studio, request, session))
            .unwrap()
            .freed
            > 0
    );
    assert!(!done.folder.exists());
}

/// Full fine-tuning, then LoRA on top of its result, which outlives the experiment it came from.
#[test]
fn a_run_starts_from_an_earlier_one() {
    let place = Place::new();
    place.import();
    let full = place.start(&["lora=false", "epochs=0.5", "experiment_name=whole"]);
    let full = quiet(|session| api::experiment_start(&place.studio, full, session)).unwrap();
    assert_eq!(
        (full.state, full.method.as_str()),
        (ExperimentState::Finished, "full")
    );
    let request = ScoreRequest {
        weights: weights("whole"),
        text: Some("say 3".to_owned()),
        tokens: None,
    };
    let before = quiet(|session| api::score(&place.studio, request, session)).unwrap();

    let next = place.start(&[
        "pretrained_weights=whole",
        "max_steps=1",
        "learning_rate=1e-9",
        "experiment_name=next",
    ]);
    let next = quiet(|session| api::experiment_start(&place.studio, next, session)).unwrap();
    let request = ExperimentRequest {
        experiment: full.id,
    };
    quiet(|session| api::experiments_delete(&place.studio, request, session)).unwrap();
    let request = ScoreRequest {
        weights: weights(&next.id),
        text: Some("say 3".to_owned()),
        tokens: None,
    };
    let after = quiet(|session| api::score(&place.studio, request, session)).unwrap();
    let apart = before
        .logprobs
        .iter()
        .zip(&after.logprobs)
        .filter_map(|(a, b)| Some((a.as_ref()? - b.as_ref()?).abs()));
    assert!(
        apart.fold(0.0, f32::max) < 1e-3,
        "it began where the other ended"
    );

    // PEFT knows no upper end of alpha; what a run recorded must stay readable.
    let adapter = next.folder.join("checkpoints/step-00000001");
    let config = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    fs::write(
        adapter.join("adapter_config.json"),
        config.replace("16.0", "512.0"),
    )
    .unwrap();
    let third = place.start(&["pretrained_weights=next", "max_steps=1", "lora_r=32"]);
    let third = quiet(|session| api::experiment_start(&place.studio, third, session)).unwrap();
    let show = ExperimentsShowRequest {
        experiment: third.id,
        compare: None,
    };
    let report = quiet(|session| api::experiments_show(&place.studio, show, session)).unwrap();
    assert!(
        report.config.contains("lora_alpha: 512.0"),
        "{}",
        report.config
    );
    assert!(
        report.config.contains("lora_r: 4"),
        "an adapter brings its own rank: {}",
        report.config
    );
}

/// Whatever is wrong with a configuration is found before a file or row is written.
#[test]
fn a_refused_configuration_leaves_nothing_behind() {
    let place = Place::new();
    place.import();
    let truncated = place.path("cut");
    fs::create_dir(&truncated).unwrap();
    for entry in fs::read_dir(place.model()).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(truncated.join(entry.file_name()), bytes).unwrap();
    }
    let shard = truncated.join("model.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() / 2]).unwrap();
    let cut = format!("model={}", truncated.display());
    for (set, code) in [
        ("lora_rank=3", "setting-unknown"),
        ("lora_r=0", "setting-invalid"),
        ("warmup_epochs=5", "setting-conflict"),
        ("dataset=absent", "dataset-not-found"),
        ("model=absent", "model-not-found"),
        (cut.as_str(), "model-broken-weights"),
        ("pretrained_weights=absent", "experiment-not-found"),
    ] {
        let request = place.start(&[set]);
        let error =
            quiet(|session| api::experiment_start(&place.studio, request, session)).unwrap_err();
        assert_eq!(error.code, code, "{set}: {error}");
        assert!(error.remedy.is_some(), "{set} has a remedy");
    }
    let request = ExperimentStartRequest {
        dry_run: true,
        ..place.start(&[])
    };
    let preview = quiet(|session| api::experiment_start(&place.studio, request, session)).unwrap();
    assert_eq!(preview.state, ExperimentState::Queued);
    let experiments = quiet(|session| {
        api::experiments_list(&place.studio, api::ExperimentsListRequest {}, session)
    });
    assert_eq!(experiments.unwrap(), []);
    assert_eq!(
        fs::read_dir(place.path("home/experiments")).map_or(0, Iterator::count),
        0
    );
}

/// A dataset that an unfinished run needs cannot be taken away under it.
#[test]
fn a_dataset_in_use_stays() {
    let place = Place::new();
    place.import();
    let control = Control::default();
    let mut hand = |event: Event| {
        if matches!(event, Event::Train { .. }) {
            control.pause();
        }
    };
    let paused = api::experiment_start(
        &place.studio,
        place.start(&[]),
        &mut Session::new(&mut hand, &control),
    )
    .unwrap();
    let remove = || api::DataRemoveRequest {
        dataset: "numbers".to_owned(),
    };
    let error = quiet(|session| api::data_remove(&place.studio, remove(), session)).unwrap_err();
    assert_eq!(error.code, "dataset-in-use");
    let request = ExperimentRequest {
        experiment: paused.id,
    };
    let kept = quiet(|session| api::experiments_stop(&place.studio, request, session)).unwrap();
    assert_eq!(kept.state, ExperimentState::Stopped);
    quiet(|session| api::data_remove(&place.studio, remove(), session)).unwrap();
}
