//! Conversations token by token, as training sees them.

use crate::Studio;
use crate::api::{
    Conversation, DataCheckRequest, DataPreview, DataPreviewRequest, Experiment, ExperimentRequest,
    FirstBatch, RenderedSample, RenderedToken, Session,
};
use crate::datasets;
use crate::error::{Error, Result};
use crate::experiments::{TrainingData, find, options};
use crate::files;
use crate::models;
use crate::settings::ExperimentConfig;
use attune_data::{Sample, Tokenizer};
use attune_engine::ModelSpec;

/// Shows some conversations under a model's template.
pub(crate) fn preview(
    studio: &Studio,
    request: DataPreviewRequest,
    session: &mut Session<'_>,
) -> Result<DataPreview> {
    let model = models::find(studio, &request.model)?;
    let tokenizer = Tokenizer::from_folder(&model.folder)?;
    let (first, count) = (request.first as usize, request.count as usize);
    let conversations = match (request.dataset, request.path) {
        (Some(dataset), None) => {
            let dataset = studio.store()?.dataset(&dataset, studio.home())?;
            datasets::range(&dataset, first, count)?
        }
        (None, Some(path)) => {
            let look = DataCheckRequest {
                path,
                shape: request.shape,
                columns: request.columns,
                member: request.member,
                ..DataCheckRequest::default()
            };
            datasets::range_of_file(&look, first, count, session)?
        }
        _ => {
            return Err(Error::new(
                "preview-source",
                "either a dataset or a file must be given, and not both",
            ));
        }
    };
    let context = ModelSpec::from_folder(&model.folder)?.context();
    let max_length = request
        .max_length
        .unwrap_or(ExperimentConfig::default().max_length)
        .min(context);
    Ok(DataPreview {
        template: models::template(&model.folder).to_owned(),
        first: request.first,
        samples: (request.first..)
            .zip(conversations)
            .map(|(row, conversation)| {
                sampled(
                    &tokenizer,
                    row,
                    conversation,
                    max_length,
                    request.train_on_prompts,
                )
            })
            .collect(),
    })
}

/// Name of the file with a run's first batch.
const FIRST_BATCH: &str = "first-batch.json";

/// The samples of an experiment's first optimiser step, as its run wrote them down.
pub(crate) fn first_batch(
    studio: &Studio,
    request: ExperimentRequest,
    _: &mut Session<'_>,
) -> Result<FirstBatch> {
    let experiment = find(studio, &request.experiment)?;
    let path = experiment.folder.join(FIRST_BATCH);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(
                "first-batch-not-yet",
                format!("`{}` has not prepared its samples yet", experiment.id),
            )
            .with_remedy("Its first batch is known once it trains."));
        }
        Err(source) => return Err(Error::file("read", &path, &source)),
    };
    serde_json::from_slice(&text).map_err(|source| {
        Error::new(
            "first-batch-unreadable",
            format!("the first batch cannot be read: {source}"),
        )
        .with_place(path.display().to_string())
    })
}

/// Writes down the first batch of a run, unless an earlier start did.
pub(crate) fn keep_first_batch(
    studio: &Studio,
    experiment: &Experiment,
    config: &ExperimentConfig,
    data: &TrainingData,
) -> Result<()> {
    let path = experiment.folder.join(FIRST_BATCH);
    if path.is_file() {
        return Ok(());
    }
    let dataset = studio.store()?.dataset(&config.dataset, studio.home())?;
    let lengths: Vec<usize> = data.train.iter().map(Sample::len).collect();
    let render = |place: usize| -> Result<RenderedSample> {
        let (row, sample) = (data.train_rows[place], &data.train[place]);
        let conversation = datasets::range(&dataset, row, 1)?.pop().unwrap_or_default();
        let whole = data.tokenizer.sample(&conversation, usize::MAX)?.len();
        Ok(RenderedSample {
            row: row as u64,
            cut: whole.saturating_sub(sample.len()) as u64,
            conversation,
            tokens: rendered(&data.tokenizer, sample),
            problem: None,
        })
    };
    let micro_batches: Vec<Vec<RenderedSample>> =
        attune_engine::first_step(&lengths, &options(config))
            .into_iter()
            .map(|samples| samples.into_iter().map(render).collect())
            .collect::<Result<_>>()?;
    let tokens = micro_batches
        .iter()
        .flatten()
        .flat_map(|sample| &sample.tokens);
    let batch = FirstBatch {
        tokens: tokens.clone().count() as u64,
        trained_tokens: tokens.filter(|token| token.trained).count() as u64,
        micro_batches,
    };
    let text = serde_json::to_vec(&batch).map_err(|source| {
        Error::new(
            "first-batch-unwritable",
            format!("the first batch cannot be written: {source}"),
        )
    })?;
    files::write(&path, &text)
}

fn sampled(
    tokenizer: &Tokenizer,
    row: u64,
    conversation: Conversation,
    max_length: usize,
    train_on_prompts: bool,
) -> RenderedSample {
    let (tokens, cut, problem) = match tokenizer.sample(&conversation, usize::MAX) {
        Ok(mut sample) => {
            let cut = sample.len().saturating_sub(max_length);
            sample.tokens.truncate(max_length);
            sample.loss_mask.truncate(max_length);
            // Without an answer within the length a run leaves the row out, whatever else counts.
            let problem = (sample.trained_tokens() == 0).then(|| {
                attune_data::Error::NothingTrained {
                    tokens: sample.len() + cut,
                    max_length,
                }
                .into()
            });
            if train_on_prompts {
                sample.loss_mask.fill(true);
            }
            (rendered(tokenizer, &sample), cut as u64, problem)
        }
        Err(refusal) => (Vec::new(), 0, Some(refusal.into())),
    };
    RenderedSample {
        row,
        conversation,
        tokens,
        cut,
        problem,
    }
}

/// The tokens of a sample with the text each completes. A character made of several tokens is
/// shown at the last of them.
fn rendered(tokenizer: &Tokenizer, sample: &Sample) -> Vec<RenderedToken> {
    let mut stream = tokenizer.stream();
    let stops = tokenizer.stop_tokens();
    sample
        .tokens
        .iter()
        .zip(&sample.loss_mask)
        .map(|(id, trained)| {
            let text = stream.push(*id);
            let special = tokenizer.is_special(*id);
            RenderedToken {
                id: *id,
                text: if special {
                    tokenizer.token_text(*id).unwrap_or_default()
                } else {
                    text.unwrap_or_default()
                },
                trained: *trained,
                stop: special && *trained && stops.contains(id),
            }
        })
        .collect()
}
