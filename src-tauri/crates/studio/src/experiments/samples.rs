//! The same held-out questions, asked again at each evaluation: how a run's answers change as it
//! learns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::lines::{self, Lines};
use crate::api::{Conversation, Role, SamplePrompt, SampleRound, Samples, TrainEvent};
use crate::chat::sampling;
use crate::error::{Error, Result};
use crate::evaluate::question;
use crate::files;
use crate::settings::ExperimentConfig;
use attune_data::Tokenizer;
use attune_engine::{Decoder, SamplingOptions, generate};

const FOLDER: &str = "samples";
const PROMPTS: &str = "prompts.json";
const ROUNDS: &str = "rounds.jsonl";

/// Asks the questions of one run.
pub(super) struct Asker {
    tokenizer: Tokenizer,
    prompts: Vec<Vec<u32>>,
    options: SamplingOptions,
    rounds: Lines,
    /// The step of an evaluation whose checkpoint is still to come.
    evaluated: Option<u64>,
}

impl Asker {
    /// Chooses the first questions among the held-out rows and writes them down; without any,
    /// there is nothing to ask. A question as long as the samples may be at most is passed over: it
    /// would take more memory than the run was promised.
    pub(super) fn new(
        experiment: &Path,
        tokenizer: Tokenizer,
        held_out: &[(usize, Conversation)],
        config: &ExperimentConfig,
        context: usize,
    ) -> Result<Option<Self>> {
        let longest = config.max_length.min(context);
        let (mut prompts, mut questions) = (Vec::new(), Vec::new());
        for (row, conversation) in held_out {
            if prompts.len() == config.sample_prompts {
                break;
            }
            let Some((before, answer)) = question(conversation) else {
                continue;
            };
            // A question that the template refuses cannot be asked; the run does not end for it.
            let Ok(tokens) = tokenizer.prompt(before) else {
                continue;
            };
            if tokens.len() >= longest {
                continue;
            }
            let asked = before.iter().rfind(|turn| turn.role == Role::User);
            questions.push(SamplePrompt {
                row: *row as u64,
                prompt: asked.map(|turn| turn.content.clone()).unwrap_or_default(),
                answer: answer.content.clone(),
            });
            prompts.push(tokens);
        }
        if prompts.is_empty() {
            return Ok(None);
        }
        let folder = folder(experiment);
        files::make_folder(&folder)?;
        let text = serde_json::to_vec_pretty(&questions).map_err(|source| {
            Error::new(
                "samples-unwritable",
                format!("the questions cannot be written: {source}"),
            )
        })?;
        files::write(&folder.join(PROMPTS), &text)?;
        Ok(Some(Self {
            tokenizer,
            prompts,
            options: SamplingOptions {
                temperature: 0.0,
                ..sampling(config)
            },
            rounds: Lines::open(&folder.join(ROUNDS))?,
            evaluated: None,
        }))
    }

    /// Asks, where the event is a moment to ask: before the first step, and once the checkpoint of
    /// an evaluation is on disk, so that nothing is lost by taking the time. Says what kept it from
    /// asking; no run ends for that.
    pub(super) fn follow(
        &mut self,
        event: &TrainEvent,
        decoder: &Decoder,
        cancelled: &AtomicBool,
    ) -> Result<Option<String>> {
        let step = match event {
            TrainEvent::Started {
                resumed_from: None, ..
            } => 0,
            TrainEvent::Evaluation { step, .. } => {
                self.evaluated = Some(*step);
                return Ok(None);
            }
            TrainEvent::Checkpoint { step, .. } if self.evaluated.take() == Some(*step) => *step,
            _ => return Ok(None),
        };
        let asked = generate(
            decoder,
            &self.tokenizer,
            &self.prompts,
            &self.options,
            cancelled,
            &mut |_, _| {},
        );
        let answers = match asked {
            Ok(answers) => answers,
            Err(refusal) => {
                return Ok(Some(format!(
                    "The sample questions could not be answered: {refusal}"
                )));
            }
        };
        // Half an answer says nothing, and the run is about to pause: this round is left out.
        if cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.rounds.append(&SampleRound {
            step,
            answers: answers.into_iter().map(|answer| answer.text).collect(),
        })?;
        Ok(None)
    }
}

/// What was asked and answered so far.
pub(super) fn read(experiment: &Path) -> Result<Samples> {
    let folder = folder(experiment);
    let path = folder.join(PROMPTS);
    let prompts = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Samples::default());
        }
        Err(source) => return Err(Error::file("read", &path, &source)),
    };
    // A run that went back to a checkpoint asks again; the later answers count.
    let rounds: BTreeMap<u64, SampleRound> = lines::read::<SampleRound>(&folder.join(ROUNDS), 0)?
        .0
        .into_iter()
        .map(|round| (round.step, round))
        .collect();
    Ok(Samples {
        prompts,
        rounds: rounds.into_values().collect(),
    })
}

fn folder(experiment: &Path) -> PathBuf {
    experiment.join(FOLDER)
}
