//! From the command line to one validated piece of work. Nothing here runs anything.

use std::io::Read;

use serde_json::{Map, Value, json};

use attune_studio::Error;
use attune_studio::api::{
    COMMANDS, Call, CheckpointChoice, ColumnChoice, DataCheckRequest, DataImportRequest,
    DataListRequest, DataPreviewRequest, DataRemoveRequest, DataShowRequest, DoctorRequest,
    EvaluateRequest, ExperimentRequest, ExperimentStartRequest, ExperimentsListRequest,
    ExperimentsRenameRequest, ExperimentsShowRequest, ExportDtype, ExportFormat, ExportRequest,
    JobRequest, JobsListRequest, ModelsAddRequest, ModelsInspectRequest, ModelsListRequest,
    ModelsRemoveRequest, ProblemKind, SamplingOptions, ScoreRequest, SettingsRequest,
    StarterRequest, Weights,
};

use crate::arguments::{
    ChatArguments, Checkpoint, Command, DataCommand, DemoArguments, Dtype, EvaluateArguments,
    ExperimentsCommand, ExportArguments, FileArguments, Format, JobsCommand, LeaveOut,
    ModelsCommand, SamplingArguments, ScoreArguments, TrainArguments, WeightsArguments, Which,
};
use crate::failure::{Failure, Outcome};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Work {
    /// One command of studio.
    Call(Box<Request>),
    /// A command that destroys something.
    Remove(Box<Removal>),
    /// A conversation.
    Chat(Conversation),
    /// The whole story.
    Demo(DemoArguments),
}

/// A command of studio and how its result is shown.
#[derive(Debug)]
pub(crate) struct Request {
    /// The command.
    pub(crate) call: Call,
    /// Only this part of the result: the key of a setting.
    pub(crate) only: Option<String>,
}

impl From<Call> for Request {
    fn from(call: Call) -> Self {
        Self { call, only: None }
    }
}

/// A command that destroys something.
#[derive(Debug)]
pub(crate) struct Removal {
    /// What goes, as a question names it.
    pub(crate) what: String,
    /// Whether the person has agreed already.
    pub(crate) agreed: bool,
    /// The command.
    pub(crate) call: Call,
}

/// A conversation with a model.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The model.
    pub(crate) weights: Weights,
    /// Instructions before it.
    pub(crate) system: Option<String>,
    /// The only question; interactive without it.
    pub(crate) prompt: Option<String>,
    /// How tokens are chosen.
    pub(crate) sampling: Option<SamplingOptions>,
}

impl Work {
    /// The work that `command` asks for.
    ///
    /// With `json`, an evaluation returns every conversation: a program can leave out what it does
    /// not need.
    pub(crate) fn of(command: Command, json: bool) -> Outcome<Self> {
        Ok(match command {
            Command::Doctor => call(Call::Doctor(DoctorRequest { check: true })),
            Command::Data(command) => data(command),
            Command::Models(command) => call(models(command)),
            Command::Train(arguments) => call(Call::ExperimentStart(start(arguments))),
            Command::Experiments(command) => experiments(command),
            Command::Jobs(JobsCommand::List { ended }) => {
                call(Call::JobsList(JobsListRequest { ended }))
            }
            Command::Jobs(JobsCommand::Cancel { job }) => {
                call(Call::JobsCancel(JobRequest { job }))
            }
            Command::Evaluate(arguments) => call(evaluate(arguments, json)),
            Command::Score(arguments) => call(score(arguments)),
            Command::Chat(arguments) => Self::Chat(chat(arguments)),
            Command::Export(arguments) => call(export(arguments)),
            Command::Settings { key } => {
                let call = Call::Settings(SettingsRequest {});
                Self::Call(Box::new(Request { call, only: key }))
            }
            Command::Starter => call(Call::Starter(StarterRequest {})),
            Command::Estimate(arguments) => call(Call::ExperimentEstimate(start(arguments))),
            Command::Call {
                name,
                arguments,
                consent,
            } => match by_name(&name, &arguments)? {
                Call::DataRemove(request) => remove_dataset(request.dataset, consent.yes),
                Call::ExperimentsDelete(request) => {
                    delete_experiment(request.experiment, consent.yes)
                }
                other => call(other),
            },
            Command::Demo(arguments) => Self::Demo(arguments),
        })
    }
}

fn call(call: Call) -> Work {
    Work::Call(Box::new(call.into()))
}

fn remove_dataset(dataset: String, agreed: bool) -> Work {
    remove(
        format!("the dataset `{dataset}` and its files"),
        agreed,
        Call::DataRemove(DataRemoveRequest { dataset }),
    )
}

fn delete_experiment(experiment: String, agreed: bool) -> Work {
    remove(
        format!("the experiment `{experiment}` and its files"),
        agreed,
        Call::ExperimentsDelete(ExperimentRequest { experiment }),
    )
}

/// The command called `name`, with its arguments as JSON.
fn by_name(name: &str, arguments: &str) -> Outcome<Call> {
    let usage = |error: Error| Failure::Usage(Box::new(error));
    let mut piped = String::new();
    let arguments = if arguments == "-" {
        std::io::stdin()
            .read_to_string(&mut piped)
            .map_err(|source| Failure::broken(&format!("stdin cannot be read: {source}")))?;
        piped.as_str()
    } else if name == "keys_set" && arguments != "{}" {
        return Err(usage(
            Error::new(
                "secret-in-arguments",
                "other programs and the shell's history can read a command line",
            )
            .with_remedy("Pipe the arguments in: `attune call keys_set - < key.json`."),
        ));
    } else {
        arguments
    };
    if !COMMANDS.iter().any(|command| command.name == name) {
        return Err(usage(
            Error::new("command-unknown", format!("there is no command `{name}`"))
                .with_remedy("docs/commands.md lists them; names have underscores: `data_list`."),
        ));
    }
    let arguments: Value = serde_json::from_str(arguments).map_err(|source| {
        usage(
            Error::new(
                "arguments-not-json",
                format!("the arguments are not JSON: {source}"),
            )
            .with_remedy("Write an object, for example '{\"experiment\": \"my-run\"}'."),
        )
    })?;
    serde_json::from_value(json!({ "command": name, "arguments": arguments })).map_err(|source| {
        usage(
            Error::new(
                "arguments-invalid",
                format!("`{name}` does not take these arguments: {source}"),
            )
            .with_remedy("ui/src/backend/generated/types.ts describes what each command takes."),
        )
    })
}

fn remove(what: String, agreed: bool, call: Call) -> Work {
    Work::Remove(Box::new(Removal { what, agreed, call }))
}

fn data(command: DataCommand) -> Work {
    match command {
        DataCommand::Import {
            file,
            name,
            leave_out,
            hold_out,
        } => {
            let DataCheckRequest {
                path,
                shape,
                columns,
                member,
                model,
                max_length,
            } = file_request(file);
            call(Call::DataImport(DataImportRequest {
                path,
                name,
                shape,
                columns,
                member,
                model,
                max_length,
                leave_out: leave_out
                    .into_iter()
                    .map(|problem| match problem {
                        LeaveOut::Duplicate => ProblemKind::Duplicate,
                        LeaveOut::UnreadableCharacters => ProblemKind::UnreadableCharacters,
                        LeaveOut::TooLong => ProblemKind::TooLong,
                    })
                    .collect(),
                hold_out,
            }))
        }
        DataCommand::Preview {
            dataset,
            model,
            first,
            count,
            max_length,
        } => call(Call::DataPreview(DataPreviewRequest {
            dataset: Some(dataset),
            model,
            first: first - 1,
            count,
            max_length,
            ..DataPreviewRequest::default()
        })),
        DataCommand::Check(file) => call(Call::DataCheck(file_request(file))),
        DataCommand::List => call(Call::DataList(DataListRequest {})),
        DataCommand::Show {
            dataset,
            first,
            count,
        } => call(Call::DataShow(DataShowRequest {
            dataset,
            first: first - 1,
            count,
        })),
        DataCommand::Remove { dataset, consent } => remove_dataset(dataset, consent.yes),
    }
}

fn file_request(file: FileArguments) -> DataCheckRequest {
    let FileArguments {
        path,
        prompt,
        answer,
        system,
        messages,
        text,
        member,
        model,
        max_length,
    } = file;
    let columns = ColumnChoice {
        system,
        prompt,
        answer,
        messages,
        text,
    };
    DataCheckRequest {
        path,
        shape: None,
        columns,
        member,
        model,
        max_length,
    }
}

fn models(command: ModelsCommand) -> Call {
    match command {
        ModelsCommand::List => Call::ModelsList(ModelsListRequest {}),
        ModelsCommand::Add { path, name } => Call::ModelsAdd(ModelsAddRequest { path, name }),
        ModelsCommand::Inspect { model } => Call::ModelsInspect(ModelsInspectRequest { model }),
        ModelsCommand::Remove { model } => Call::ModelsRemove(ModelsRemoveRequest { model }),
    }
}

fn start(arguments: TrainArguments) -> ExperimentStartRequest {
    let TrainArguments {
        config,
        model,
        dataset,
        name,
        set,
        dry_run,
    } = arguments;
    let named = [
        ("model", model),
        ("dataset", dataset),
        ("experiment_name", name),
    ];
    let settings: Map<String, Value> = named
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
        .collect();
    ExperimentStartRequest {
        config,
        settings,
        set,
        dry_run,
    }
}

fn experiments(command: ExperimentsCommand) -> Work {
    let one = |which: Which| ExperimentRequest {
        experiment: which.experiment,
    };
    match command {
        ExperimentsCommand::List => call(Call::ExperimentsList(ExperimentsListRequest {})),
        ExperimentsCommand::Show { which, compare } => {
            call(Call::ExperimentsShow(ExperimentsShowRequest {
                experiment: which.experiment,
                compare,
            }))
        }
        ExperimentsCommand::Log(which) => call(Call::ExperimentsLog(one(which))),
        ExperimentsCommand::Samples(which) => call(Call::ExperimentsSamples(one(which))),
        ExperimentsCommand::Rename { which, name } => {
            call(Call::ExperimentsRename(ExperimentsRenameRequest {
                experiment: which.experiment,
                name,
            }))
        }
        ExperimentsCommand::Pause(which) => call(Call::ExperimentsPause(one(which))),
        ExperimentsCommand::Resume(which) => call(Call::ExperimentsResume(one(which))),
        ExperimentsCommand::Stop(which) => call(Call::ExperimentsStop(one(which))),
        ExperimentsCommand::Delete { which, consent } => {
            delete_experiment(which.experiment, consent.yes)
        }
    }
}

fn weights(arguments: WeightsArguments) -> Weights {
    let WeightsArguments {
        model,
        adapter,
        experiment,
        checkpoint,
    } = arguments;
    let checkpoint = checkpoint.map(|choice| match choice {
        Checkpoint::Best => CheckpointChoice::Best,
        Checkpoint::Last => CheckpointChoice::Last,
    });
    Weights {
        model,
        adapter,
        experiment,
        checkpoint,
    }
}

fn evaluate(arguments: EvaluateArguments, json: bool) -> Call {
    Call::Evaluate(EvaluateRequest {
        weights: weights(arguments.weights),
        data: arguments.data,
        held_out_of: arguments.held_out_of,
        limit: arguments.limit,
        loss_only: arguments.loss_only,
        rows: arguments.rows || json,
        keep: arguments.keep,
        max_length: arguments.max_length,
        max_new_tokens: arguments.max_new_tokens,
        batch_size: arguments.batch_size,
    })
}

fn score(arguments: ScoreArguments) -> Call {
    let input = arguments.input;
    Call::Score(ScoreRequest {
        weights: weights(arguments.weights),
        tokens: input.tokens,
        text: input.text,
    })
}

fn chat(arguments: ChatArguments) -> Conversation {
    Conversation {
        weights: weights(arguments.weights),
        system: arguments.system,
        prompt: arguments.prompt,
        sampling: sampling(arguments.sampling),
    }
}

/// Nothing when no flag is given: the experiment's own settings then decide.
fn sampling(arguments: SamplingArguments) -> Option<SamplingOptions> {
    let SamplingArguments {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        max_new_tokens,
        stop,
        seed,
    } = arguments;
    let numbers = [temperature, top_p, min_p, repetition_penalty];
    let given = numbers.iter().any(Option::is_some)
        || [top_k, max_new_tokens].iter().any(Option::is_some)
        || seed.is_some()
        || !stop.is_empty();
    let plain = SamplingOptions::default();
    let options = SamplingOptions {
        temperature: temperature.unwrap_or(plain.temperature),
        top_k: top_k.unwrap_or(plain.top_k),
        top_p: top_p.unwrap_or(plain.top_p),
        min_p: min_p.unwrap_or(plain.min_p),
        repetition_penalty: repetition_penalty
            .map_or(plain.repetition_penalty, |penalty| penalty as f32),
        max_new_tokens: max_new_tokens.unwrap_or(plain.max_new_tokens),
        stop_strings: stop,
        seed: seed.unwrap_or(plain.seed),
    };
    given.then_some(options)
}

fn export(arguments: ExportArguments) -> Call {
    let named = weights(arguments.weights);
    let experiment = arguments.made_by.or(named.experiment);
    Call::Export(ExportRequest {
        weights: Weights {
            experiment,
            ..named
        },
        format: match arguments.format {
            Format::Adapter => ExportFormat::Adapter,
            Format::Merged => ExportFormat::Merged,
        },
        folder: arguments.to,
        overwrite: arguments.overwrite,
        dtype: arguments.dtype.map(|dtype| match dtype {
            Dtype::Float32 => ExportDtype::Float32,
            Dtype::Bfloat16 => ExportDtype::Bfloat16,
            Dtype::Float16 => ExportDtype::Float16,
        }),
    })
}
