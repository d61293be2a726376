//! The whole story, from a file to a model taken away.

use std::fs;

use attune_studio::api::{
    self, ChatRequest, Control, EvaluateRequest, Event, ExperimentRequest, ExperimentStartRequest,
    ExperimentState, ExperimentsShowRequest, ExportFormat, ExportRequest, Role, ScoreRequest,
    Session, TrainEvent, Turn, Weights,
};

use crate::place::{Place, quiet, weights};

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
    // Base and tuned model are compared on one base in memory.
    let mut loads = 0;
    let mut listen = |event: Event| {
        loads +=
            u64::from(matches!(event, Event::Progress { what, .. } if what.starts_with("Loading")));
    };
    let untuned = api::evaluate(
        &place.studio,
        request,
        &mut Session::new(&mut listen, &Control::default()),
    )
    .unwrap();
    assert_eq!(loads, 0, "the base was loaded again");
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
