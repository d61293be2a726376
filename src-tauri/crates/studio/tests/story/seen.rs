//! What a host shows beside the story: previews, estimates, samples, history, kept evaluations.

use std::fs;

use attune_studio::api::{
    self, DataImportRequest, DataPreviewRequest, EvaluateRequest, Event, ExperimentRequest,
    ExperimentState, ExperimentsEventsRequest, ExperimentsRenameRequest, ProblemKind, Session,
    TrainEvent, Weights,
};
use attune_studio::api::{Control, ExperimentStartRequest};
use serde_json::json;

use crate::place::{Place, quiet, weights};

fn request(experiment: &str) -> ExperimentRequest {
    ExperimentRequest {
        experiment: experiment.to_owned(),
    }
}

/// The trained tokens of a preview spell the answers, and the stop token is marked.
#[test]
fn a_preview_shows_what_is_learnt() {
    let place = Place::new();
    place.import();
    let model = place.model().display().to_string();
    let of_dataset = DataPreviewRequest {
        dataset: Some("numbers".to_owned()),
        model: model.clone(),
        first: 3,
        count: 2,
        ..DataPreviewRequest::default()
    };
    let preview =
        quiet(|session| api::data_preview(&place.studio, of_dataset.clone(), session)).unwrap();
    assert_eq!((preview.first, preview.samples.len()), (3, 2));
    assert_eq!(preview.template, "ChatML");
    let sample = &preview.samples[0];
    assert_eq!((sample.row, sample.cut), (3, 0));
    let trained: String = sample
        .tokens
        .iter()
        .filter(|token| token.trained)
        .map(|token| token.text.as_str())
        .collect();
    assert_eq!(trained, "3<|im_end|>");
    let stops: Vec<bool> = sample
        .tokens
        .iter()
        .filter(|token| token.trained)
        .map(|token| token.stop)
        .collect();
    assert_eq!(stops, [false, true]);

    let of_file = DataPreviewRequest {
        dataset: None,
        path: Some(place.path("numbers.jsonl")),
        ..of_dataset.clone()
    };
    let same = quiet(|session| api::data_preview(&place.studio, of_file, session)).unwrap();
    assert_eq!(same, preview, "a file shows what its import will show");

    let cut = DataPreviewRequest {
        max_length: Some(4),
        ..of_dataset
    };
    let cut = quiet(|session| api::data_preview(&place.studio, cut, session)).unwrap();
    let sample = &cut.samples[0];
    assert_eq!(sample.tokens.len(), 4);
    assert!(sample.cut > 0);
    assert_eq!(
        sample.problem.as_ref().unwrap().code,
        "sample-nothing-trained"
    );
}

/// Rows that were asked away are gone, and the share held out lies in a dataset of its own.
#[test]
fn an_import_leaves_out_and_holds_out() {
    let place = Place::new();
    let mut rows = fs::read_to_string(place.path("numbers.jsonl")).unwrap();
    rows += &format!("\n{}", json!({"prompt": "say 1", "answer": "1"}));
    rows += &format!("\n{}", json!({"prompt": "x".repeat(90), "answer": "long"}));
    fs::write(place.path("more.jsonl"), rows).unwrap();
    let import = DataImportRequest {
        path: place.path("more.jsonl"),
        model: Some(place.model().display().to_string()),
        max_length: Some(64),
        leave_out: vec![ProblemKind::Duplicate, ProblemKind::TooLong],
        hold_out: 0.25,
        ..DataImportRequest::default()
    };
    let report = quiet(|session| api::data_import(&place.studio, import, session)).unwrap();
    let held_out = report.held_out.unwrap();
    assert_eq!(
        (report.dataset.conversations, held_out.conversations),
        (30, 10)
    );
    assert_eq!(held_out.name, "more held out");
    let all = |dataset: &str| {
        let request = api::DataShowRequest {
            dataset: dataset.to_owned(),
            first: 0,
            count: 100,
        };
        quiet(|session| api::data_show(&place.studio, request, session))
            .unwrap()
            .conversations
    };
    let (train, held) = (all(&report.dataset.id), all(&held_out.id));
    assert!(held.iter().all(|one| !train.contains(one)));
    let mut questions: Vec<&str> = train
        .iter()
        .chain(&held)
        .map(|one| one.turns[0].content.as_str())
        .collect();
    questions.sort_unstable();
    questions.dedup();
    assert_eq!(questions.len(), 40, "each row once, the long one gone");

    let unclear = DataImportRequest {
        path: place.path("more.jsonl"),
        leave_out: vec![ProblemKind::TooLong],
        ..DataImportRequest::default()
    };
    let refused = quiet(|session| api::data_import(&place.studio, unclear, session)).unwrap_err();
    assert_eq!(refused.code, "leave-out-model");
}

/// The estimate says the steps the run then takes, and names the setting that is wrong.
#[test]
fn an_estimate_is_what_comes() {
    let place = Place::new();
    place.import();
    let start = place.start(&["batch_size=3", "epochs=2"]);
    let estimate =
        quiet(|session| api::experiment_estimate(&place.studio, start.clone(), session)).unwrap();
    assert_eq!(
        (
            estimate.train_conversations,
            estimate.validation_conversations
        ),
        (36, 4)
    );
    assert!(estimate.memory.fits && estimate.seconds > 0.0);
    assert_eq!(
        estimate.memory.total,
        estimate
            .memory
            .parts
            .iter()
            .map(|part| part.bytes)
            .sum::<u64>()
    );
    let experiments = quiet(|session| {
        api::experiments_list(&place.studio, api::ExperimentsListRequest {}, session)
    });
    assert_eq!(
        experiments.unwrap(),
        [],
        "an estimate leaves nothing behind"
    );
    let run = quiet(|session| api::experiment_start(&place.studio, start.clone(), session));
    let run = run.unwrap();
    assert_eq!(run.total_steps, Some(estimate.steps));
    // The speed is kept with what it was measured on, and tells the next run's.
    assert!(run.device.is_some() && run.tokens_per_second.is_some());
    let next = quiet(|session| api::experiment_estimate(&place.studio, start, session)).unwrap();
    assert_eq!(next.rate_reason, format!("As fast as `{}` was.", run.name));
    assert_eq!(Some(next.tokens_per_second), run.tokens_per_second);

    let again = ExperimentStartRequest {
        set: vec!["lora_r=0".to_owned()],
        ..place.start(&[])
    };
    let refused =
        quiet(|session| api::experiment_estimate(&place.studio, again, session)).unwrap_err();
    assert_eq!(refused.place.as_deref(), Some("lora_r"));
}

/// The id comes before the first step, the history can be followed from where one was, the same
/// questions are answered before and while the run learns, and the first batch is the one trained on.
#[test]
fn a_run_can_be_watched() {
    let place = Place::new();
    place.import();
    let mut created = None;
    let mut seen = Vec::new();
    let start = place.start(&[
        "evaluation_epochs=0.5",
        "sample_prompts=2",
        "max_length_inference=4",
    ]);
    let control = Control::default();
    let mut watch = |event: Event| match event {
        Event::Created { experiment } => {
            assert!(seen.is_empty(), "the id comes first");
            created = Some(experiment);
        }
        Event::Train { event, .. } => seen.push(event),
        _ => {}
    };
    let run = api::experiment_start(
        &place.studio,
        start,
        &mut Session::new(&mut watch, &control),
    )
    .unwrap();
    assert_eq!(created.as_ref(), Some(&run.id));

    let page = |after| {
        let request = ExperimentsEventsRequest {
            experiment: run.id.clone(),
            after,
        };
        quiet(|session| api::experiments_events(&place.studio, request, session)).unwrap()
    };
    let whole = page(0);
    let logged: Vec<TrainEvent> = whole.events.into_iter().map(|line| line.event).collect();
    assert_eq!(logged, seen);
    assert_eq!(page(whole.next).events, []);

    let samples =
        quiet(|session| api::experiments_samples(&place.studio, request(&run.id), session))
            .unwrap();
    assert_eq!(samples.prompts.len(), 2);
    let steps: Vec<u64> = samples.rounds.iter().map(|round| round.step).collect();
    let evaluated: Vec<u64> = seen
        .iter()
        .filter_map(|event| match event {
            TrainEvent::Evaluation { step, .. } => Some(*step),
            _ => None,
        })
        .collect();
    assert_eq!(steps[0], 0, "before the first step it is the untuned model");
    assert_eq!(steps[1..], evaluated, "once after each evaluation");
    assert!(samples.rounds.iter().all(|round| round.answers.len() == 2));

    let batch =
        quiet(|session| api::experiments_first_batch(&place.studio, request(&run.id), session))
            .unwrap();
    let first = seen.iter().find_map(|event| match event {
        TrainEvent::Step { trained_tokens, .. } => Some(*trained_tokens),
        _ => None,
    });
    assert_eq!(Some(batch.trained_tokens), first);
    let log = quiet(|session| api::experiments_log(&place.studio, request(&run.id), session));
    let log = log.unwrap();
    assert!(log.first().unwrap().message.starts_with("Started"));
    assert!(log.last().unwrap().message.starts_with("Finished"));

    let rename = ExperimentsRenameRequest {
        experiment: run.id.clone(),
        name: "  Numbers, again ".to_owned(),
    };
    let renamed = quiet(|session| api::experiments_rename(&place.studio, rename, session)).unwrap();
    assert_eq!(
        (renamed.name.as_str(), &renamed.id),
        ("Numbers, again", &run.id)
    );
    assert_eq!(renamed.state, ExperimentState::Finished);
}

/// What was measured before and after stays with the experiment.
#[test]
fn an_evaluation_can_be_kept() {
    let place = Place::new();
    place.import();
    let run = quiet(|session| api::experiment_start(&place.studio, place.start(&[]), session));
    let run = run.unwrap();
    let base = EvaluateRequest {
        weights: Weights {
            model: Some(place.model().display().to_string()),
            ..Weights::default()
        },
        held_out_of: Some(run.id.clone()),
        keep: true,
        max_new_tokens: Some(3),
        ..EvaluateRequest::default()
    };
    let answer = quiet(|session| api::evaluate(&place.studio, base.clone(), session)).unwrap();
    assert_eq!(answer.rows, [], "rows come only when asked for");
    let tuned = EvaluateRequest {
        weights: weights(&run.id),
        held_out_of: None,
        ..base.clone()
    };
    quiet(|session| api::evaluate(&place.studio, tuned, session)).unwrap();
    let kept =
        quiet(|session| api::experiments_evaluations(&place.studio, request(&run.id), session))
            .unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        kept[0].weights.experiment.as_ref(),
        Some(&run.id),
        "newest first"
    );
    assert!(kept.iter().all(|one| one.evaluation.rows.len() == 4));
    let nowhere = EvaluateRequest {
        data: Some("numbers".to_owned()),
        held_out_of: None,
        ..base
    };
    let refused = quiet(|session| api::evaluate(&place.studio, nowhere, session)).unwrap_err();
    assert_eq!(refused.code, "keep-experiment");
}

/// A held-out question that the model cannot take is passed over; the run does not fail for it.
#[test]
fn a_question_that_is_too_long_is_not_asked() {
    let place = Place::new();
    let rows: Vec<String> = (0..12)
        .map(|row| {
            let question = "x".repeat(if row < 6 { 300 } else { 3 });
            json!({"prompt": question, "answer": row.to_string()}).to_string()
        })
        .collect();
    fs::write(place.path("long.jsonl"), rows.join("\n")).unwrap();
    let import = |name: &str, file: &str| {
        let import = DataImportRequest {
            path: place.path(file),
            name: Some(name.to_owned()),
            ..DataImportRequest::default()
        };
        quiet(|session| api::data_import(&place.studio, import, session)).unwrap();
    };
    import("numbers", "numbers.jsonl");
    import("long", "long.jsonl");
    let start = place.start(&[
        "validation_dataset=long",
        "max_steps=2",
        "max_length_inference=2",
    ]);
    let run = quiet(|session| api::experiment_start(&place.studio, start, session)).unwrap();
    assert_eq!(run.state, ExperimentState::Finished);
    let samples =
        quiet(|session| api::experiments_samples(&place.studio, request(&run.id), session))
            .unwrap();
    let rows: Vec<u64> = samples.prompts.iter().map(|prompt| prompt.row).collect();
    assert_eq!(rows, [6, 7, 8]);
}
