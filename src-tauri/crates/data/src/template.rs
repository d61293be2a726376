//! Chat templates: conversations → the text a model was taught.
//!
//! A template comes with a model folder and is therefore not trusted: it sees the conversation
//! and nothing else. Its steps and its output are bounded, and because one step may build or
//! compare values of any size and depth, so are the memory, the stack and the time of the thread
//! that compiles and renders it ([`crate::confined`]). The memory is where the program's allocator
//! is [`crate::Budgeted`]; elsewhere that bound is missing.
//!
//! A thread that was stopped cannot be cleared away. So a template that had to be stopped is
//! remembered by its text and never run again by this process.

mod clock;
mod generation;
mod json;
mod output;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::confined::{Stopped, confined};
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

/// Bytes that a template may hold at once for any conversation, and for each byte of a large one:
/// an honest one holds a few copies.
const MEMORY: usize = 32 << 20;
const MEMORY_REPEATS: usize = 16;

/// Texts of templates that had to be stopped, each with the reason.
static STOPPED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

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
    environment: Arc<Environment<'static>>,
    origin: TemplateOrigin,
    path: Option<PathBuf>,
    source: String,
    bos_token: String,
    eos_token: String,
    /// Why it is not run any more.
    stopped: OnceLock<String>,
}

impl ChatTemplate {
    /// Compiles Jinja `source`, which may print the two special tokens.
    ///
    /// A source that has to be stopped is no error yet: each rendering of it is.
    pub fn new(
        source: &str,
        origin: TemplateOrigin,
        bos_token: &str,
        eos_token: &str,
    ) -> Result<Self> {
        let mut template = Self {
            environment: Arc::new(Environment::new()),
            origin,
            path: None,
            source: source.to_owned(),
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
            stopped: OnceLock::new(),
        };
        if let Some(reason) = stopped_before(source) {
            template.stopped = OnceLock::from(reason);
            return Ok(template);
        }
        let mut environment = environment()?;
        let accepted = generation::accept(source);
        let compiled = confined(budget(source.len()), move || {
            let added = environment.add_template_owned(NAME, accepted);
            let unusable = |error| Error::Template {
                reason: chain(&error),
            };
            added.map(|()| environment).map_err(unusable)
        });
        match compiled {
            Ok(environment) => template.environment = Arc::new(environment?),
            Err(stopped) => match template.stop(stopped, source.len()) {
                Error::TemplateRunaway { .. } => {}
                error => return Err(error),
            },
        }
        template.set_time(SystemTime::now());
        Ok(template)
    }

    /// Names the file that the template came from, for errors.
    #[must_use]
    pub fn with_path(mut self, path: PathBuf) -> Self {
        self.path = Some(path);
        self
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
        Arc::make_mut(&mut self.environment).add_function("strftime_now", move |format: &str| {
            clock::strftime(time, format)
        });
    }

    /// Whether it asked for too much memory or time once, and is therefore not run any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
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
        if let Some(reason) = self.stopped.get() {
            return Err(self.runaway(reason.clone()));
        }
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
        let fuel = FUEL + FUEL_PER_TURN * turns.len() as u64;
        let limit = OUTPUT + OUTPUT_REPEATS * spoken;
        let environment = Arc::clone(&self.environment);
        let rendered = confined(budget(spoken), move || {
            let mut environment = Environment::clone(&environment);
            environment.set_fuel(Some(fuel));
            run(&environment, context, Bounded::new(limit))
        });
        match rendered {
            Ok(Err(Error::TemplateRunaway { reason, .. })) => Err(self.runaway(reason)),
            Ok(outcome) => outcome,
            Err(stopped) => Err(self.stop(stopped, spoken)),
        }
    }

    fn runaway(&self, reason: String) -> Error {
        Error::TemplateRunaway {
            path: self.path.clone(),
            reason,
        }
    }

    /// What it means that the template was stopped at a text of `size` bytes.
    fn stop(&self, stopped: Stopped, size: usize) -> Error {
        let reason = match stopped {
            Stopped::Broke(reason) => return Error::Template { reason },
            Stopped::Thread(source) => {
                return Error::Template {
                    reason: format!("the system gives no thread to run it: {source}"),
                };
            }
            Stopped::Memory => format!("it asked for more than {} MB", budget(size) >> 20),
            Stopped::Time => "it took too long".to_owned(),
        };
        let mut all = STOPPED.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((self.source.clone(), reason.clone()));
        let _ = self.stopped.set(reason.clone());
        self.runaway(reason)
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

/// What templates may use, set up as transformers does.
fn environment() -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_debug(false);
    environment.set_syntax(whitespace()?);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("indent", output::indent);
    environment.add_function("raise_exception", raise);
    // What minijinja makes once for the process, such as the texts of small numbers, must not be
    // made by a thread that may be stopped half-way: all others would wait for it.
    let _ = environment.render_str("{{ 1 }}", ());
    Ok(environment)
}

/// Bytes that a template may hold at once. In powers of two, because threads have stack for theirs.
fn budget(size: usize) -> usize {
    MEMORY.max((MEMORY_REPEATS * size).next_power_of_two())
}

/// Why a template of this text was stopped.
fn stopped_before(source: &str) -> Option<String> {
    let all = STOPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all.iter().find(|(stopped, _)| stopped == source);
    found.map(|(_, reason)| reason.clone())
}

fn run(environment: &Environment, context: Value, mut output: Bounded) -> Result<String> {
    let template = environment.get_template(NAME);
    let captured =
        template.and_then(|template| template.render_captured_to(context, &mut output).map(drop));
    match captured {
        Ok(()) => output.into_text(),
        Err(_) if output.overflowed() => {
            Err(runaway("it wrote far more than the conversation holds"))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// Its file is added by who knows it.
fn runaway(reason: &str) -> Error {
    Error::TemplateRunaway {
        path: None,
        reason: reason.to_owned(),
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
        return runaway("it took too many steps");
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
