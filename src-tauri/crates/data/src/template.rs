//! Chat templates: conversations → the text a model was taught.
//!
//! A template comes with a model folder and is therefore not trusted: it sees the conversation
//! and nothing else, and both its steps and its output are bounded. What it builds in between is
//! not yet: minijinja repeats a list as often as it is told, `messages * 99999999` in one step.

mod clock;
mod generation;
mod json;
mod output;

use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::foreign::caught;
use crate::{Error, Result, Role, Turn};
use output::Bounded;

const NAME: &str = "chat_template";

/// Steps a template may take for any conversation, and for each turn of it. Real templates take
/// some hundred for each turn; Qwen3's looks at all turns twice.
const FUEL: u64 = 1_000_000;
const FUEL_PER_TURN: u64 = 20_000;

/// Bytes a template may write besides the conversation, and how often it may repeat that.
const OUTPUT: usize = 1 << 20;
const OUTPUT_REPEATS: usize = 8;

/// Where a template came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateOrigin {
    /// The model folder.
    Model,
    /// The model has none, so ChatML is used.
    ChatMl,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    origin: TemplateOrigin,
    source: String,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Compiles Jinja `source`, which may print the two special tokens.
    pub fn new(
        source: &str,
        origin: TemplateOrigin,
        bos_token: &str,
        eos_token: &str,
    ) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_debug(false);
        environment.set_syntax(whitespace()?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("indent", output::indent);
        environment.add_function("raise_exception", raise);
        caught(|| environment.add_template_owned(NAME, generation::accept(source)))
            .map_err(|reason| Error::Template { reason })?
            .map_err(|error| Error::Template {
                reason: chain(&error),
            })?;
        let mut template = Self {
            environment,
            origin,
            source: source.to_owned(),
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        };
        template.set_time(SystemTime::now());
        Ok(template)
    }

    /// ChatML, each turn closed by `end`. A tokenizer that starts texts with `bos_token` starts
    /// conversations with it too.
    pub fn chat_ml(bos_token: &str, end: &str) -> Result<Self> {
        let source = "{{ bos_token }}{% for message in messages %}\
            {{ '<|im_start|>' + message.role + '\\n' + message.content + eos_token + '\\n' }}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        Self::new(source, TemplateOrigin::ChatMl, bos_token, end)
    }

    /// Sets the moment that `strftime_now` prints (in UTC); at first the moment of loading. A run
    /// that is continued another day must set the day it began, or its samples change.
    pub fn set_time(&mut self, time: SystemTime) {
        self.environment
            .add_function("strftime_now", move |format: &str| {
                clock::strftime(time, format)
            });
    }

    /// Where the template came from.
    pub fn origin(&self) -> TemplateOrigin {
        self.origin
    }

    /// The Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text, with the opening of an answer where `add_generation_prompt`.
    pub fn render(&self, turns: &[Turn], add_generation_prompt: bool) -> Result<String> {
        self.attempt(turns, add_generation_prompt)
            .map_err(|error| self.explain(error, turns, add_generation_prompt))
    }

    fn attempt(&self, turns: &[Turn], add_generation_prompt: bool) -> Result<String> {
        let messages: Vec<Value> = turns.iter().map(message).collect();
        let context = context! {
            messages => messages,
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => (),
            documents => (),
        };
        let spoken: usize = turns.iter().map(|turn| turn.content.len()).sum();
        let mut bounded = Bounded::new(OUTPUT + OUTPUT_REPEATS * spoken);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + FUEL_PER_TURN * turns.len() as u64));
        let outcome = caught(|| {
            let template = environment.get_template(NAME)?;
            template.render_captured_to(context, &mut bounded).map(drop)
        });
        match outcome.map_err(|reason| Error::Template { reason })? {
            Ok(()) => bounded.into_text(),
            Err(_) if bounded.overflowed() => Err(Error::TemplateRunaway {
                reason: "it wrote far more than the conversation holds",
            }),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// A template that refuses a conversation and accepts it without its system turn has no place
    /// for one: that is worth its own error, because it has its own remedy.
    fn explain(&self, error: Error, turns: &[Turn], add_generation_prompt: bool) -> Error {
        let Error::TemplateRefused { reason } = error else {
            return error;
        };
        let others: Vec<Turn> = turns
            .iter()
            .filter(|turn| turn.role != Role::System)
            .cloned()
            .collect();
        let accepted =
            others.len() < turns.len() && self.attempt(&others, add_generation_prompt).is_ok();
        if accepted {
            Error::SystemRefused { reason }
        } else {
            Error::TemplateRefused { reason }
        }
    }
}

/// Whitespace as transformers sets Jinja up.
fn whitespace() -> Result<SyntaxConfig> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    syntax.map_err(|error| Error::Template {
        reason: chain(&error),
    })
}

fn message(turn: &Turn) -> Value {
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Text => "text",
    };
    context! { role => role, content => turn.content.as_str() }
}

/// The words of a template's `raise_exception`, carried through minijinja as a source.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise(reason: String) -> Result<Value, minijinja::Error> {
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception");
    Err(error.with_source(Raised(reason)))
}

fn refusal(error: &minijinja::Error) -> Error {
    if error.kind() == ErrorKind::OutOfFuel {
        return Error::TemplateRunaway {
            reason: "it took too many steps",
        };
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(Raised(reason)) = current.downcast_ref() {
            return Error::TemplateRefused {
                reason: reason.clone(),
            };
        }
        source = current.source();
    }
    Error::Template {
        reason: chain(error),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(current) = source {
        text = format!("{text}: {current}");
        source = current.source();
    }
    text
}

#[cfg(test)]
mod tests;
