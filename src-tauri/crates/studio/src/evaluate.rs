//! Loss, perplexity and exact match of a model on conversations.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Studio;
use crate::api::{
    Conversation, EvaluateRequest, Evaluation, EvaluationRow, ExperimentRequest, JobKind,
    KeptEvaluation, Level, Progress, Role, Session, Turn,
};
use crate::chat::sampling;
use crate::datasets;
use crate::error::{Error, Result};
use crate::experiments::{Rows, config_of, find, tokenise};
use crate::files::{make_folder, write};
use crate::jobs;
use crate::settings::ExperimentConfig;
use crate::store::now_exact;
use crate::weights::{Files, Loaded, with_loaded};
use attune_engine::{SampleLoss, SamplingOptions, generate};

/// Tokens computed at once for the loss: enough to keep the processor busy, little memory.
const TOKENS_PER_BATCH: usize = 4096;

/// Prompts answered at once where nothing else is asked for.
const PROMPTS_PER_BATCH: usize = 16;

/// Measures loss, perplexity and exact match, as a job that has the device for itself.
pub(crate) fn evaluate(
    studio: &Studio,
    request: EvaluateRequest,
    session: &mut Session<'_>,
) -> Result<Evaluation> {
    keeps(studio, &request)?;
    let name = Files::find(studio, &request.weights)?.name;
    jobs::run_on_device(studio, JobKind::Evaluate, &name, session, |session| {
        // While it waited, a run may have replaced its checkpoint, or be gone.
        let files = Files::find(studio, &request.weights)?;
        let keeps = keeps(studio, &request)?;
        let mut evaluation = measured(studio, &request, &files, session)?;
        if let Some(folder) = keeps {
            keep(&folder, &request, &evaluation)?;
        }
        if !request.rows {
            evaluation.rows.clear();
        }
        Ok(evaluation)
    })
}

fn measured(
    studio: &Studio,
    request: &EvaluateRequest,
    files: &Files,
    session: &mut Session<'_>,
) -> Result<Evaluation> {
    let started = Instant::now();
    let config = files.config.clone().unwrap_or_default();
    let mut data = Data::find(studio, request, session)?;
    if let Some(limit) = request.limit {
        data.rows.truncate(limit);
    }
    if data.rows.is_empty() {
        return Err(Error::new(
            "evaluate-no-rows",
            format!("{} has no rows to evaluate", data.name),
        )
        .with_remedy("Choose another dataset, or raise validation_size."));
    }
    let max_length = request.max_length.unwrap_or(config.max_length);
    with_loaded(studio, files, session, |loaded, session| {
        let losses = losses(loaded, &data, max_length, session)?;
        let predictions = if request.loss_only {
            vec![None; data.rows.len()]
        } else {
            predict(
                loaded,
                &data,
                &greedy(&config, request),
                batch_size(&config, request),
                session,
            )?
        };
        let rows: Vec<EvaluationRow> = data
            .rows
            .iter()
            .zip(losses)
            .zip(predictions)
            .map(|(((row, conversation), loss), prediction)| {
                measure(*row, conversation, loss.as_ref(), prediction)
            })
            .collect();
        let mut evaluation = summarise(&files.name, &data.name, &rows);
        evaluation.seconds = started.elapsed().as_secs_f64();
        evaluation.rows = rows;
        Ok(evaluation)
    })
}

/// Folder of the kept evaluations in an experiment's.
const KEPT: &str = "evaluations";

/// The folder to keep the evaluation in, where that is asked for.
fn keeps(studio: &Studio, request: &EvaluateRequest) -> Result<Option<PathBuf>> {
    if !request.keep {
        return Ok(None);
    }
    let concerned = request.weights.experiment.as_ref();
    let Some(experiment) = concerned.or(request.held_out_of.as_ref()) else {
        return Err(Error::new(
            "keep-experiment",
            "an evaluation is kept with an experiment, and none is named",
        )
        .with_remedy("Evaluate an experiment, or the rows it held out."));
    };
    Ok(Some(find(studio, experiment)?.folder.join(KEPT)))
}

/// Writes an evaluation down beside its experiment.
fn keep(folder: &Path, request: &EvaluateRequest, evaluation: &Evaluation) -> Result<()> {
    make_folder(folder)?;
    let kept = KeptEvaluation {
        time: now_exact(),
        weights: request.weights.clone(),
        evaluation: evaluation.clone(),
    };
    let text = serde_json::to_vec(&kept).map_err(|source| {
        Error::new(
            "evaluation-unwritable",
            format!("the evaluation cannot be written: {source}"),
        )
    })?;
    write(&folder.join(format!("{:.0}.json", kept.time * 1e3)), &text)
}

/// The evaluations that were kept with an experiment, newest first.
pub(crate) fn kept(
    studio: &Studio,
    request: ExperimentRequest,
    _: &mut Session<'_>,
) -> Result<Vec<KeptEvaluation>> {
    let folder = find(studio, &request.experiment)?.folder.join(KEPT);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(Vec::new());
    };
    let mut kept: Vec<KeptEvaluation> = entries
        .flatten()
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
        .collect();
    kept.sort_by(|a, b| b.time.total_cmp(&a.time));
    Ok(kept)
}

/// Conversations and their row numbers.
struct Data {
    name: String,
    rows: Vec<(u64, Conversation)>,
}

impl Data {
    fn find(studio: &Studio, request: &EvaluateRequest, session: &mut Session<'_>) -> Result<Self> {
        let held_out_of = match (&request.data, &request.held_out_of) {
            (Some(data), None) => return Self::all(studio, data, session),
            (None, Some(experiment)) => Some(experiment),
            (None, None) => request.weights.experiment.as_ref(),
            (Some(_), Some(_)) => None,
        };
        let experiment = held_out_of.ok_or_else(|| {
            Error::new("evaluate-no-data", "it is not clear which rows to evaluate").with_remedy(
                "Name a dataset, or an experiment whose held-out rows are meant, and not both.",
            )
        })?;
        Self::held_out(studio, experiment, session)
    }

    fn all(studio: &Studio, data: &str, session: &mut Session<'_>) -> Result<Self> {
        let (name, conversations) = match studio.store()?.dataset(data, studio.home()) {
            Ok(dataset) => (
                dataset.name.clone(),
                datasets::conversations(&dataset, session)?,
            ),
            Err(error) if error.code == "dataset-not-found" && Path::new(data).is_file() => (
                data.to_owned(),
                datasets::conversations_of_file(Path::new(data), session)?,
            ),
            Err(error) => return Err(error),
        };
        Ok(Self {
            name,
            rows: (0..).zip(conversations).collect(),
        })
    }

    /// The rows an experiment did not train on.
    fn held_out(studio: &Studio, experiment: &str, session: &mut Session<'_>) -> Result<Self> {
        let experiment = studio.store()?.experiment(experiment, studio.home())?;
        let config = config_of(&experiment)?;
        if let Some(validation) = &config.validation_dataset {
            return Self::all(studio, validation, session);
        }
        let dataset = studio.store()?.dataset(&config.dataset, studio.home())?;
        let conversations = datasets::conversations(&dataset, session)?;
        let held_out = Rows::choose(&config, conversations.len()).validation;
        let rows = held_out
            .into_iter()
            .map(|row| (row as u64, conversations[row].clone()))
            .collect();
        Ok(Self {
            name: format!("{} (held out by {})", dataset.name, experiment.name),
            rows,
        })
    }
}

/// One loss per row; `None` for rows without a trained token.
fn losses(
    loaded: &Loaded,
    data: &Data,
    max_length: usize,
    session: &mut Session<'_>,
) -> Result<Vec<Option<SampleLoss>>> {
    let limit = max_length.min(loaded.decoder.spec().context());
    let conversations: Vec<&Conversation> = data
        .rows
        .iter()
        .map(|(_, conversation)| conversation)
        .collect();
    let tokenised = tokenise(&loaded.tokenizer, &conversations, limit, true, session)?;
    if tokenised.skipped > 0 {
        session.log(
            Level::Warning,
            format!(
                "{} rows have nothing to learn and do not count",
                tokenised.skipped
            ),
        );
    }
    let mut progress = Progress::new("Measuring the loss", Some(tokenised.samples.len() as u64));
    let measured = attune_engine::evaluate(
        &loaded.decoder,
        &tokenised.samples,
        TOKENS_PER_BATCH,
        &mut |done| {
            progress.report(done as u64, session);
        },
    )?;
    session.check()?;
    let mut losses: Vec<Option<SampleLoss>> = data.rows.iter().map(|_| None).collect();
    for (row, loss) in tokenised.rows.into_iter().zip(measured) {
        losses[row] = Some(loss);
    }
    Ok(losses)
}

/// The question and the answer of a conversation that ends in one.
pub(crate) fn question(conversation: &Conversation) -> Option<(&[Turn], &Turn)> {
    let (answer, before) = conversation.turns.split_last()?;
    (answer.role == Role::Assistant && !before.is_empty()).then_some((before, answer))
}

/// Greedy answers, in the order of the rows; `None` for plain text.
fn predict(
    loaded: &Loaded,
    data: &Data,
    options: &SamplingOptions,
    batch_size: usize,
    session: &mut Session<'_>,
) -> Result<Vec<Option<String>>> {
    let mut prompts = Vec::new();
    for (index, (_, conversation)) in data.rows.iter().enumerate() {
        if let Some((before, _)) = question(conversation) {
            prompts.push((index, loaded.tokenizer.prompt(before)?));
        }
    }
    // Prompts of like length end at like times, so that fewer wait in a batch for its longest.
    prompts.sort_by_key(|(_, prompt)| prompt.len());
    let mut predictions = vec![None; data.rows.len()];
    let mut progress = Progress::new("Answering", Some(prompts.len() as u64));
    let mut done = 0;
    for batch in prompts.chunks(batch_size) {
        let texts: Vec<Vec<u32>> = batch.iter().map(|(_, prompt)| prompt.clone()).collect();
        let cancelled = session.control().cancelled();
        let answers = generate(
            &loaded.decoder,
            &loaded.tokenizer,
            &texts,
            options,
            cancelled,
            &mut |_, _| {},
        )?;
        session.check()?;
        for ((index, _), answer) in batch.iter().zip(answers) {
            predictions[*index] = Some(answer.text);
        }
        done += batch.len() as u64;
        progress.report(done, session);
    }
    Ok(predictions)
}

fn greedy(config: &ExperimentConfig, request: &EvaluateRequest) -> SamplingOptions {
    SamplingOptions {
        temperature: 0.0,
        repetition_penalty: 1.0,
        max_new_tokens: request
            .max_new_tokens
            .unwrap_or(config.max_length_inference),
        ..sampling(config)
    }
}

fn batch_size(config: &ExperimentConfig, request: &EvaluateRequest) -> usize {
    let setting = Some(config.batch_size_inference).filter(|size| *size > 0);
    request
        .batch_size
        .or(setting)
        .unwrap_or(PROMPTS_PER_BATCH)
        .max(1)
}

fn measure(
    row: u64,
    conversation: &Conversation,
    loss: Option<&SampleLoss>,
    prediction: Option<String>,
) -> EvaluationRow {
    let asked = question(conversation);
    let prompt =
        asked.and_then(|(before, _)| before.iter().rev().find(|turn| turn.role == Role::User));
    let answer = asked.map_or_else(|| conversation.turns.last(), |(_, answer)| Some(answer));
    let answer = answer.map(|turn| turn.content.clone()).unwrap_or_default();
    let trained = loss.filter(|loss| loss.trained_tokens > 0);
    EvaluationRow {
        row,
        prompt: prompt.map(|turn| turn.content.clone()).unwrap_or_default(),
        exact_match: prediction
            .as_ref()
            .map(|prediction| prediction.trim() == answer.trim()),
        answer,
        prediction,
        loss: trained.map(|loss| loss.loss_sum / loss.trained_tokens as f64),
        trained_tokens: trained.map_or(0, |loss| loss.trained_tokens as u64),
    }
}

/// The numbers of all rows. The loss is a mean over tokens, not over rows.
fn summarise(model: &str, data: &str, rows: &[EvaluationRow]) -> Evaluation {
    let trained_tokens: u64 = rows.iter().map(|row| row.trained_tokens).sum();
    let sum: f64 = rows
        .iter()
        .filter_map(|row| Some(row.loss? * row.trained_tokens as f64))
        .sum();
    let loss = if trained_tokens > 0 {
        sum / trained_tokens as f64
    } else {
        0.0
    };
    let judged: Vec<bool> = rows.iter().filter_map(|row| row.exact_match).collect();
    let answered = (!judged.is_empty()).then_some(judged.len() as u64);
    let exact_matches = answered.map(|_| judged.iter().filter(|exact| **exact).count() as u64);
    Evaluation {
        model: model.to_owned(),
        data: data.to_owned(),
        conversations: rows.len() as u64,
        trained_tokens,
        loss,
        perplexity: loss.exp(),
        exact_match: exact_matches
            .zip(answered)
            .map(|(matches, answered)| matches as f64 / answered as f64),
        exact_matches,
        answered,
        seconds: 0.0,
        rows: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(prediction: &str, loss_sum: f64, trained_tokens: usize) -> EvaluationRow {
        let turns = vec![
            Turn::new(Role::User, "2 + 2?"),
            Turn::new(Role::Assistant, "4\n"),
        ];
        let loss = SampleLoss {
            loss_sum,
            trained_tokens,
        };
        measure(
            0,
            &Conversation { turns },
            Some(&loss),
            Some(prediction.to_owned()),
        )
    }

    #[test]
    fn exact_match_trims_and_nothing_else() {
        assert_eq!(row(" 4 ", 1.0, 1).exact_match, Some(true));
        assert_eq!(row("4.", 1.0, 1).exact_match, Some(false));
    }

    #[test]
    fn the_loss_is_a_mean_over_tokens() {
        let evaluation = summarise("model", "data", &[row("4", 9.0, 9), row("5", 3.0, 1)]);
        assert!((evaluation.loss - 1.2).abs() < 1e-12);
        assert_eq!(
            (evaluation.exact_matches, evaluation.answered),
            (Some(1), Some(2))
        );
        assert_eq!(evaluation.exact_match, Some(0.5));
    }

    #[test]
    fn plain_text_has_a_loss_and_no_answer() {
        let conversation = Conversation {
            turns: vec![Turn::new(Role::Text, "once")],
        };
        let measured = measure(
            3,
            &conversation,
            Some(&SampleLoss {
                loss_sum: 2.0,
                trained_tokens: 2,
            }),
            None,
        );
        assert_eq!((measured.exact_match, measured.loss), (None, Some(1.0)));
        assert_eq!(summarise("m", "d", &[measured]).exact_match, None);
    }
}
