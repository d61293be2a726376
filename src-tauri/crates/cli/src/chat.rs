//! A conversation in the terminal, or one question and its answer.

use std::io::{BufRead, IsTerminal, Write};
use std::thread;

use attune_studio::api::{Answer, Call, ChatRequest, Reply, Role, StopReason, Turn};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome};
use crate::host::{Answered, Host};
use crate::progress::view;
use crate::request::Conversation;
use crate::show::answer_facts;

/// Answers the question given, or every line that is typed.
pub(crate) async fn chat(host: &mut Host<'_>, conversation: Conversation) -> Outcome<()> {
    match conversation.prompt.clone() {
        Some(prompt) => one(host, &conversation, prompt).await,
        None => many(host, &conversation).await,
    }
}

async fn one(host: &mut Host<'_>, conversation: &Conversation, prompt: String) -> Outcome<()> {
    let mut turns = opening(conversation);
    turns.push(Turn::new(Role::User, prompt));
    let (answer, answered) = ask(host, conversation, turns).await?;
    if host.output().is_json() {
        host.output()
            .document(&serde_json::to_value(&answer).unwrap_or_default())?;
    }
    match answered
        .interrupted
        .filter(|_| answer.stop_reason == StopReason::Cancelled)
    {
        Some(signal) => Err(Failure::Interrupted(signal)),
        None => Ok(()),
    }
}

/// A conversation that remembers; Ctrl-C ends an answer, and ends the chat where a line is awaited.
async fn many(host: &mut Host<'_>, conversation: &Conversation) -> Outcome<()> {
    let asks = std::io::stdin().is_terminal() && !host.output().is_json();
    if asks {
        say("Type a question. /new forgets the conversation, /quit or Ctrl-D ends it.\n");
    }
    let mut lines = typed_lines();
    let mut turns = opening(conversation);
    loop {
        if asks {
            say("> ");
        }
        let line = tokio::select! {
            line = lines.recv() => line,
            signal = host.interrupts.next() => {
                say("\n");
                return Err(Failure::Interrupted(signal));
            }
        };
        let Some(line) = line else { return Ok(()) };
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/new" => turns = opening(conversation),
            question => {
                turns.push(Turn::new(Role::User, question));
                let (answer, _) = ask(host, conversation, turns.clone()).await?;
                if host.output().is_json() {
                    host.output().line(&line_of(&answer))?;
                }
                turns.push(Turn::new(Role::Assistant, answer.text));
            }
        }
    }
}

fn line_of(answer: &Answer) -> Value {
    json!({ "type": "result", "command": "chat", "result": answer })
}

/// One answer, shown as it comes.
async fn ask(
    host: &mut Host<'_>,
    conversation: &Conversation,
    turns: Vec<Turn>,
) -> Outcome<(Answer, Answered)> {
    let streams = conversation.prompt.is_none();
    let request = ChatRequest {
        weights: conversation.weights.clone(),
        turns,
        sampling: conversation.sampling.clone(),
    };
    let mut view = view(host.output(), streams);
    let answered = host.call(Call::Chat(request), view.as_mut()).await?;
    let Reply::Chat(answer) = &answered.reply else {
        return Err(Failure::broken("the answer to a question is no answer"));
    };
    let answer = answer.clone();
    if !host.output().is_json() {
        host.output().text("\n")?;
        view.note(&format!("({})", answer_facts(&answer)));
    }
    Ok((answer, answered))
}

fn opening(conversation: &Conversation) -> Vec<Turn> {
    conversation
        .system
        .iter()
        .map(|system| Turn::new(Role::System, system.clone()))
        .collect()
}

/// Lines of stdin, read on a thread of their own: a blocked read cannot be interrupted, and the
/// program must be able to end without it.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn say(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
