//! Runs commands of studio: work on a thread of its own, events and signals on this one.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use attune_studio::api::{Call, Control, Event, ExperimentState, Reply};
use attune_studio::{DeviceWish, Error, Studio};
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome, Signal};
use crate::interrupts::Interrupts;
use crate::output::{Output, last_line, result_of};
use crate::progress::{View, view};
use crate::request::Request;
use crate::show;
use crate::spelling::spelling;

/// The application and the terminal it serves.
pub(crate) struct Host<'a> {
    studio: Arc<Studio>,
    output: &'a Output,
    /// Signals, also for those who wait for a person to type.
    pub(crate) interrupts: Interrupts,
}

/// What a command returned, and the signal that made it end early.
pub(crate) struct Answered {
    /// The result.
    pub(crate) reply: Reply,
    /// The signal that asked it to end.
    pub(crate) interrupted: Option<Signal>,
}

enum Message {
    Event(Event),
    Ended(Box<Result<Reply, Error>>),
}

impl<'a> Host<'a> {
    /// Serves the home folder given, else the usual one, on the device given, else the usual one.
    pub(crate) fn new(
        home: Option<&Path>,
        device: Option<DeviceWish>,
        output: &'a Output,
    ) -> Outcome<Self> {
        let studio = match home {
            Some(home) => Studio::open_at(
                std::path::absolute(home).map_err(|error| Error::file("use", home, &error))?,
            ),
            None => Studio::open()?,
        };
        Ok(Self {
            studio: Arc::new(studio.computing_on(device)),
            output,
            interrupts: Interrupts::listen()?,
        })
    }

    /// Where results go.
    pub(crate) fn output(&self) -> &'a Output {
        self.output
    }

    /// Runs one command and shows its result.
    pub(crate) async fn run(&mut self, request: impl Into<Request>) -> Outcome<()> {
        let Request { call, only } = request.into();
        let streams = streams(&call);
        let mut view = view(self.output, streams);
        let answered = self.call(call, view.as_mut()).await?;
        self.show(&answered.reply, only.as_deref(), streams)?;
        verdict(&answered)
    }

    fn show(&self, reply: &Reply, only: Option<&str>, streams: bool) -> Outcome<()> {
        if !self.output.is_json() {
            return self.output.text(&show::words(reply, only)?);
        }
        if streams {
            return self.output.line(&last_line(reply));
        }
        match (only, reply) {
            (Some(key), Reply::Settings(settings)) => {
                let setting = show::find_setting(settings, key)?;
                self.output
                    .document(&serde_json::to_value(setting).unwrap_or_default())
            }
            _ => self.output.document(&result_of(reply)),
        }
    }

    /// Runs one command; its events go to `view`. The first signal asks it to pause, the second
    /// leaves it where it stands.
    pub(crate) async fn call(&mut self, call: Call, view: &mut dyn View) -> Outcome<Answered> {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let control = Control::default();
        let name = spelling(&call);
        let trains = trains(&call);
        self.work(call, control.clone(), sender);
        let mut interrupted = None;
        let result = loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Event(event)) => view.event(&event),
                    Some(Message::Ended(result)) => break *result,
                    None => {
                        view.finish();
                        return Err(Failure::broken(&format!("`attune {name}` broke inside; the lines above say where")));
                    }
                },
                signal = self.interrupts.next() => {
                    if interrupted.is_some() {
                        view.finish();
                        view.note(if trains { FORCED_RUN } else { FORCED });
                        return Err(Failure::Interrupted(signal));
                    }
                    interrupted = Some(signal);
                    control.pause();
                    view.note(if trains { PAUSING } else { CANCELLING });
                }
            }
        };
        view.finish();
        match (result, interrupted) {
            (Ok(reply), interrupted) => Ok(Answered { reply, interrupted }),
            (Err(error), Some(signal)) if error.code == "cancelled" => {
                view.note("Cancelled.");
                Err(Failure::Interrupted(signal))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Not a task of the runtime: a second signal must be able to leave it behind.
    fn work(&self, call: Call, control: Control, sender: mpsc::UnboundedSender<Message>) {
        let studio = Arc::clone(&self.studio);
        thread::spawn(move || {
            // Sending fails only when nobody waits any more.
            let mut forward = |event| {
                let _ = sender.send(Message::Event(event));
            };
            let result = studio.call(call, &mut forward, &control);
            let _ = sender.send(Message::Ended(Box::new(result)));
        });
    }
}

const PAUSING: &str =
    "Pausing after the step in progress; the run is kept. Press Ctrl-C again to end at once.";
const CANCELLING: &str = "Cancelling. Press Ctrl-C again to end at once.";
const FORCED: &str = "Ended at once.";
const FORCED_RUN: &str =
    "Ended at once. `attune experiments list` says how to continue from the last checkpoint.";

/// Whether the command trains: it can then be paused and continued.
fn trains(call: &Call) -> bool {
    matches!(call, Call::ExperimentStart(_) | Call::ExperimentsResume(_))
}

/// Whether a program wants to follow the command's events.
fn streams(call: &Call) -> bool {
    match call {
        Call::ExperimentStart(request) => !request.dry_run,
        call => trains(call),
    }
}

/// What the result means for the exit code.
pub(crate) fn verdict(answered: &Answered) -> Outcome<()> {
    let experiment = match &answered.reply {
        Reply::ExperimentStart(experiment) | Reply::ExperimentsResume(experiment) => {
            Some(experiment)
        }
        _ => None,
    };
    match (
        experiment.map(|experiment| experiment.state),
        answered.interrupted,
    ) {
        (Some(ExperimentState::Paused), None) => Err(Failure::Paused),
        (Some(ExperimentState::Finished), _) | (_, None) => Ok(()),
        (_, Some(signal)) => Err(Failure::Interrupted(signal)),
    }
}
