//! One answer to a conversation, streamed.

use std::time::Instant;

use crate::Studio;
use crate::api::{Answer, ChatRequest, Event, Role, Session};
use crate::error::{Error, Result};
use crate::settings::ExperimentConfig;
use crate::weights::{Files, with_loaded};
use attune_engine::{SamplingOptions, generate_on};

/// Answers the last turn of a conversation.
pub(crate) fn chat(
    studio: &Studio,
    request: ChatRequest,
    session: &mut Session<'_>,
) -> Result<Answer> {
    if request
        .turns
        .last()
        .is_none_or(|turn| !matches!(turn.role, Role::User | Role::Text))
    {
        return Err(Error::new(
            "chat-no-question",
            "the conversation does not end with a question",
        )
        .with_remedy("End it with a turn of the user."));
    }
    let files = Files::find(studio, &request.weights)?;
    let options = request
        .sampling
        .unwrap_or_else(|| sampling(&files.config.clone().unwrap_or_default()));
    with_loaded(studio, &files, session, |loaded, session| {
        let prompt = loaded.tokenizer.prompt(&request.turns)?;
        let prompt_tokens = prompt.len() as u64;
        let control = session.control();
        let started = Instant::now();
        let mut stream = |text: &str| {
            session.report(Event::Text {
                text: text.to_owned(),
            });
        };
        let (decoder, tokenizer, known) = loaded.conversing();
        let answer = generate_on(
            decoder,
            tokenizer,
            &prompt,
            known,
            &options,
            control.cancelled(),
            &mut stream,
        )?;
        let seconds = started.elapsed().as_secs_f64();
        let answer_tokens = answer.tokens.len() as u64;
        Ok(Answer {
            text: answer.text,
            prompt_tokens,
            answer_tokens,
            seconds,
            tokens_per_second: if seconds > 0.0 {
                answer_tokens as f64 / seconds
            } else {
                0.0
            },
            stop_reason: answer.stop_reason,
        })
    })
}

/// How an experiment's settings say answers are to be chosen.
pub(crate) fn sampling(config: &ExperimentConfig) -> SamplingOptions {
    SamplingOptions {
        temperature: config.temperature,
        top_k: config.top_k,
        top_p: config.top_p,
        min_p: config.min_p,
        repetition_penalty: config.repetition_penalty as f32,
        max_new_tokens: config.max_length_inference,
        stop_strings: config.stop_tokens.clone(),
        seed: config.seed.max(0) as u64,
    }
}
