//! Conversations token by token, as training sees them.

use crate::Studio;
use crate::api::{
    Conversation, DataCheckRequest, DataPreview, DataPreviewRequest, ExperimentRequest, FirstBatch,
    RenderedSample, RenderedToken, Session,
};
use crate::datasets;
use crate::error::{Error, Result};
use crate::experiments::{TrainingData, config_of, find, options};
use crate::models;
use crate::settings::ExperimentConfig;
use attune_data::{Sample, Tokenizer};

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
    let max_length = request
        .max_length
        .unwrap_or(ExperimentConfig::default().max_length);
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

/// The samples of an experiment's first optimiser step.
pub(crate) fn first_batch(
    studio: &Studio,
    request: ExperimentRequest,
    session: &mut Session<'_>,
) -> Result<FirstBatch> {
    let experiment = find(studio, &request.experiment)?;
    let config = config_of(&experiment)?;
    let model = models::find(studio, &config.model)?;
    let data = TrainingData::prepare(studio, &experiment, &config, &model.folder, session)?;
    let dataset = studio.store()?.dataset(&config.dataset, studio.home())?;
    let lengths: Vec<usize> = data.train.iter().map(Sample::len).collect();
    let step = attune_engine::first_step(&lengths, &options(&config));
    let render = |place: usize| -> Result<RenderedSample> {
        let row = data.train_rows[place];
        let conversation = datasets::range(&dataset, row, 1)?.pop();
        Ok(RenderedSample {
            row: row as u64,
            conversation: conversation.unwrap_or_default(),
            tokens: rendered(&data.tokenizer, &data.train[place]),
            cut: 0,
            problem: None,
        })
    };
    let micro_batches: Vec<Vec<RenderedSample>> = step
        .into_iter()
        .map(|samples| samples.into_iter().map(render).collect::<Result<Vec<_>>>())
        .collect::<Result<_>>()?;
    let tokens = micro_batches
        .iter()
        .flatten()
        .flat_map(|sample| &sample.tokens);
    Ok(FirstBatch {
        tokens: tokens.clone().count() as u64,
        trained_tokens: tokens.filter(|token| token.trained).count() as u64,
        micro_batches,
    })
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
            if train_on_prompts {
                sample.loss_mask.fill(true);
            }
            let problem = (sample.trained_tokens() == 0).then(|| {
                attune_data::Error::NothingTrained {
                    tokens: sample.len() + cut,
                    max_length,
                }
                .into()
            });
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
                stop: special && stops.contains(id),
            }
        })
        .collect()
}
