//! `attune demo`: the whole story on what the program brings along, each stage a command that can
//! also be typed. A second run finds what the first one did and goes on from there.

use std::path::PathBuf;
use std::time::Instant;

use attune_studio::Error;
use attune_studio::api::{
    Call, ChatRequest, DataListRequest, DoctorRequest, EvaluateRequest, Evaluation, Experiment,
    ExperimentRequest, ExperimentStartRequest, ExperimentState, ExperimentsListRequest, Export,
    ExportFormat, ExportRequest, Reply, Role, Starter, StarterRequest, Turn, Weights, peak_memory,
};
use serde_json::{Value, json};

use crate::arguments::DemoArguments;
use crate::failure::{Failure, Outcome};
use crate::host::{Host, verdict};
use crate::progress::{View, view};
use crate::show::exact_match;
use crate::table::Facts;
use crate::words::{bytes, duration, indented, measure};

/// The experiment's name, and its id.
const NAME: &str = "attune-demo";

/// Longest answer in tokens; the longest order is shorter.
const LONGEST_ANSWER: usize = 200;

/// A demo that only shows that it runs: few steps, few rows.
const QUICK: (u64, usize) = (4, 4);

/// Runs the story.
pub(crate) async fn demo(host: &mut Host<'_>, arguments: DemoArguments) -> Outcome<()> {
    let began = Instant::now();
    let mut story = Story {
        host,
        stage: 0,
        quick: arguments.quick,
    };

    story.title("The starter model and its sample data")?;
    let starter = story.starter().await?;

    story.title("The model before tuning, on orders it will never learn from")?;
    let model = Weights {
        model: Some(starter.model.clone()),
        ..Weights::default()
    };
    let before = story.evaluate(&model, &starter.held_out).await?;
    story.say(&measured(&before))?;

    story.title("Tuning an adapter")?;
    let experiment = story.tune(&starter, arguments.again).await?;

    story.title("The same orders after tuning")?;
    let tuned = Weights {
        experiment: Some(experiment.id.clone()),
        ..Weights::default()
    };
    let after = story.evaluate(&tuned, &starter.held_out).await?;
    story.say(&measured(&after))?;

    story.title("One order in a chat")?;
    story.say(&format!(
        "Order\n{}Answer\n  ",
        indented(&starter.prompt, 2)
    ))?;
    let answer = story.chat(&tuned, &starter.prompt).await?;

    story.title("The adapter, to take away")?;
    let export = story.export(&tuned).await?;
    story.say(&format!(
        "Wrote {} to {}\n",
        bytes(export.bytes),
        export.folder.display()
    ))?;

    let summary = Summary {
        starter,
        before,
        after,
        experiment,
        answer,
        export,
        seconds: began.elapsed().as_secs_f64(),
    };
    story.finish(&summary)
}

/// The story as it is told.
struct Story<'a, 'b> {
    host: &'a mut Host<'b>,
    stage: u32,
    quick: bool,
}

impl Story<'_, '_> {
    const STAGES: u32 = 6;

    fn title(&mut self, title: &str) -> Outcome<()> {
        self.stage += 1;
        if self.host.output().is_json() {
            let line = json!({ "type": "stage", "stage": self.stage, "stages": Self::STAGES, "title": title });
            return self.host.output().line(&line);
        }
        let gap = if self.stage > 1 { "\n" } else { "" };
        self.host.output().text(&format!(
            "{gap}{} of {} · {title}\n",
            self.stage,
            Self::STAGES
        ))
    }

    /// For people only; a program has the events and the summary.
    fn say(&self, text: &str) -> Outcome<()> {
        if self.host.output().is_json() {
            Ok(())
        } else {
            self.host.output().text(text)
        }
    }

    /// Runs one command. An interruption ends the story; what is done stays done.
    async fn call(&mut self, call: Call) -> Outcome<Reply> {
        let mut view = view(self.host.output(), true);
        self.call_with(call, view.as_mut()).await
    }

    async fn call_with(&mut self, call: Call, view: &mut dyn View) -> Outcome<Reply> {
        let answered = self.host.call(call, view).await?;
        match verdict(&answered) {
            Ok(()) => Ok(answered.reply),
            Err(failure) => {
                view.note("The demo stops here and keeps what it has. `attune demo` continues it.");
                Err(failure)
            }
        }
    }

    async fn starter(&mut self) -> Outcome<Starter> {
        let Reply::Starter(starter) = self.call(Call::Starter(StarterRequest {})).await? else {
            return Err(unexpected());
        };
        let Reply::DataList(datasets) = self.call(Call::DataList(DataListRequest {})).await? else {
            return Err(unexpected());
        };
        let size = |id: &str| {
            datasets
                .iter()
                .find(|one| one.id == id)
                .map_or(0, |one| one.conversations)
        };
        self.say(&format!(
            "Model `{}`, {} orders to learn from, {} held out.\n",
            starter.model,
            size(&starter.dataset),
            size(&starter.held_out)
        ))?;
        Ok(starter)
    }

    async fn evaluate(&mut self, weights: &Weights, data: &str) -> Outcome<Evaluation> {
        let request = EvaluateRequest {
            weights: weights.clone(),
            data: Some(data.to_owned()),
            limit: self.quick.then_some(QUICK.1),
            max_new_tokens: Some(LONGEST_ANSWER),
            ..EvaluateRequest::default()
        };
        match self.call(Call::Evaluate(request)).await? {
            Reply::Evaluate(evaluation) => Ok(evaluation),
            _ => Err(unexpected()),
        }
    }

    /// Tunes, or continues, or finds the run of an earlier demo.
    async fn tune(&mut self, starter: &Starter, again: bool) -> Outcome<Experiment> {
        let reference = ExperimentRequest {
            experiment: NAME.to_owned(),
        };
        let call = match self.earlier().await? {
            Some(_) if again => {
                self.call(Call::ExperimentsDelete(reference)).await?;
                start(starter, self.quick)
            }
            Some(earlier) => match earlier.state {
                ExperimentState::Finished | ExperimentState::Stopped => {
                    self.say("Tuned by an earlier demo. `attune demo --again` tunes anew.\n")?;
                    return Ok(earlier);
                }
                _ => Call::ExperimentsResume(reference),
            },
            None => start(starter, self.quick),
        };
        match self.call(call).await? {
            Reply::ExperimentStart(experiment) | Reply::ExperimentsResume(experiment) => {
                Ok(experiment)
            }
            _ => Err(unexpected()),
        }
    }

    async fn earlier(&mut self) -> Outcome<Option<Experiment>> {
        match self
            .call(Call::ExperimentsList(ExperimentsListRequest {}))
            .await?
        {
            Reply::ExperimentsList(experiments) => {
                Ok(experiments.into_iter().find(|one| one.id == NAME))
            }
            _ => Err(unexpected()),
        }
    }

    async fn chat(&mut self, weights: &Weights, prompt: &str) -> Outcome<String> {
        let turns = vec![Turn::new(Role::User, prompt)];
        let call = Call::Chat(ChatRequest {
            weights: weights.clone(),
            turns,
            sampling: None,
        });
        let Reply::Chat(answer) = self.call(call).await? else {
            return Err(unexpected());
        };
        self.say("\n")?;
        Ok(answer.text)
    }

    async fn export(&mut self, weights: &Weights) -> Outcome<Export> {
        let call = Call::Export(ExportRequest {
            weights: weights.clone(),
            format: ExportFormat::Adapter,
            folder: self.folder().await?,
            overwrite: true,
            dtype: None,
        });
        match self.call(call).await? {
            Reply::Export(export) => Ok(export),
            _ => Err(unexpected()),
        }
    }

    /// In the home folder like everything else, so that a demo leaves nothing in the way.
    async fn folder(&mut self) -> Outcome<PathBuf> {
        match self.call(Call::Doctor(DoctorRequest::default())).await? {
            Reply::Doctor(report) => Ok(report.home.join("exports").join(NAME)),
            _ => Err(unexpected()),
        }
    }

    fn finish(&self, summary: &Summary) -> Outcome<()> {
        if self.host.output().is_json() {
            self.host.output().line(&summary.json())
        } else {
            self.host.output().text(&summary.words())
        }
    }
}

/// The starter's own settings, on what it installed.
fn start(starter: &Starter, quick: bool) -> Call {
    let mut settings = starter.settings.clone();
    let named = [
        ("experiment_name", NAME),
        ("model", &starter.model),
        ("dataset", &starter.dataset),
    ];
    settings.extend(named.map(|(key, value)| (key.to_owned(), value.into())));
    if quick {
        settings.insert("max_steps".to_owned(), QUICK.0.into());
    }
    Call::ExperimentStart(ExperimentStartRequest {
        settings,
        ..ExperimentStartRequest::default()
    })
}

fn measured(evaluation: &Evaluation) -> String {
    let exact = exact_match(evaluation).unwrap_or_else(|| "no answers".to_owned());
    format!(
        "Exactly right: {exact}. Loss {}.\n",
        measure(evaluation.loss)
    )
}

fn unexpected() -> Failure {
    Error::new("broken", "a command returned another command's result").into()
}

/// What the demo showed, as measured.
struct Summary {
    starter: Starter,
    before: Evaluation,
    after: Evaluation,
    experiment: Experiment,
    answer: String,
    export: Export,
    seconds: f64,
}

impl Summary {
    fn peak_memory(&self) -> u64 {
        peak_memory().max(self.experiment.peak_memory.unwrap_or(0))
    }

    fn words(&self) -> String {
        let change = |show: fn(&Evaluation) -> Option<String>| {
            let shown = |evaluation| show(evaluation).unwrap_or_else(|| "-".to_owned());
            format!("{} → {}", shown(&self.before), shown(&self.after))
        };
        let mut facts = Facts::default();
        facts.add("Exact match", change(exact_match));
        facts.add("Loss", change(|evaluation| Some(measure(evaluation.loss))));
        facts.add("Wall time", duration(self.seconds));
        facts.add("Peak memory", bytes(self.peak_memory()));
        facts.add("Adapter", self.export.folder.display().to_string());
        facts.add("Run", self.experiment.folder.display().to_string());
        let Starter { model, dataset, .. } = &self.starter;
        format!(
            "\nDone\n{facts}\nNext:\n  \
             attune chat --experiment {id}\n  \
             attune chat --model {model}   (before tuning)\n  \
             attune data show {dataset}\n  \
             attune experiments show {id}\n  \
             attune data import YOUR-FILE\n",
            id = self.experiment.id,
        )
    }

    fn json(&self) -> Value {
        json!({ "type": "result", "command": "demo", "result": {
            "before": self.before,
            "after": self.after,
            "experiment": self.experiment,
            "prompt": self.starter.prompt,
            "answer": self.answer,
            "export": self.export,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory(),
        }})
    }
}
