//! The single list of what the program can do.
//!
//! [`for_each_command`] holds one line per command: its documentation, its name, its request, its
//! reply and the function that does it. Everything else follows from that list: [`Call`],
//! [`Reply`], [`COMMANDS`], the documented functions of this module and [`Studio::call`]. A host
//! matches on `Call` or `Reply` without a wildcard, or gives its own macro to `for_each_command`:
//! a command that a host does not handle does not compile.

mod application;
mod dataset;
mod estimate;
mod event;
mod experiment;
mod history;
mod job;
mod machine;
mod model;
mod preview;
mod work;

use serde::{Deserialize, Serialize};

pub use application::{
    Appearance, Diagnostics, DiagnosticsRequest, Key, KeysListRequest, KeysRemoveRequest,
    KeysSetRequest, Licence, LicencesRequest, OutboundRequest, Preferences, PreferencesRequest,
    PreferencesSetRequest, RequestsListRequest, SystemLoad, SystemLoadRequest,
};
pub use dataset::{
    DataCheckRequest, DataImportRequest, DataListRequest, DataRemoveRequest, DataShowRequest,
    Dataset, DatasetPage, DatasetReport, Removed,
};
pub use estimate::{Capacity, Estimate, MemoryEstimate, MemoryPart, MethodFit, Suggestion};
pub(crate) use event::Progress;
pub use event::{Control, Event, Level, Session};
pub use experiment::{
    Difference, Experiment, ExperimentReport, ExperimentRequest, ExperimentStartRequest,
    ExperimentState, ExperimentsListRequest, ExperimentsShowRequest, LoggedEvent,
};
pub use history::{
    EventsPage, ExperimentsEventsRequest, ExperimentsRenameRequest, KeptEvaluation, LogLine,
    SamplePrompt, SampleRound, Samples,
};
pub use job::{Job, JobKind, JobRequest, JobState, JobsListRequest};
pub use machine::{
    Backend, BackendCheck, BackendState, ChosenBy, Condition, DeviceCheck, Disk, DoctorReport,
    DoctorRequest, GpuBackend, GpuBackendKind, Memory, Platform, SettingDefinition, SettingKind,
    SettingsRequest, Starter, StarterRequest,
};
pub use model::{
    CheckpointChoice, Model, ModelFacts, ModelOrigin, ModelReport, ModelsAddRequest,
    ModelsInspectRequest, ModelsListRequest, ModelsRemoveRequest, Weights,
};
pub use preview::{DataPreview, DataPreviewRequest, FirstBatch, RenderedSample, RenderedToken};
pub use work::{
    Answer, ChatRequest, EvaluateRequest, Evaluation, EvaluationRow, Export, ExportDtype,
    ExportFormat, ExportRequest, Score, ScoreRequest,
};

pub use attune_data::{
    Budgeted, ColumnChoice, Conversation, Inspection, ProblemKind, Role, Shape, Turn,
};
pub use attune_engine::{Allocator, SamplingOptions, StopReason, TrainEvent, peak_memory};

use crate::Studio;
use crate::error::Result;

/// Gives the list of commands to the macro named by the argument, one line each:
/// `/// documentation` `name Variant(Request) -> Reply = module::function;`
#[macro_export]
macro_rules! for_each_command {
    ($callback:ident) => {
        $callback! {
            /// Says what this machine is: processor, GPU backend with the reason, memory, disk, versions.
            doctor Doctor(DoctorRequest) -> DoctorReport = doctor::examine;

            /// Imports a file into the library: original bytes, normalised conversations, what was found.
            data_import DataImport(DataImportRequest) -> DatasetReport = datasets::import;
            /// Says what an import of a file would find; keeps nothing.
            data_check DataCheck(DataCheckRequest) -> Inspection = datasets::check;
            /// Shows conversations token by token under a model's template, and what training does with each.
            data_preview DataPreview(DataPreviewRequest) -> DataPreview = preview::preview;
            /// Lists the datasets of the library, newest first.
            data_list DataList(DataListRequest) -> Vec<Dataset> = datasets::list;
            /// Shows a dataset, what was found in it, and some of its conversations.
            data_show DataShow(DataShowRequest) -> DatasetPage = datasets::show;
            /// Removes a dataset and its files; refused while an experiment that can still run needs it.
            data_remove DataRemove(DataRemoveRequest) -> Removed = datasets::remove;

            /// Lists the models this machine has: bundled, added, and found in the Hugging Face cache.
            models_list ModelsList(ModelsListRequest) -> Vec<Model> = models::list;
            /// Adds a model folder to the library; it stays where it is.
            models_add ModelsAdd(ModelsAddRequest) -> Model = models::add;
            /// Shows a model in detail.
            models_inspect ModelsInspect(ModelsInspectRequest) -> ModelReport = models::inspect;
            /// Forgets an added model; its folder stays.
            models_remove ModelsRemove(ModelsRemoveRequest) -> Removed = models::remove;

            /// Says what a run would take: memory by part, steps, tokens, time, and what would make it smaller.
            experiment_estimate ExperimentEstimate(ExperimentStartRequest) -> Estimate = estimate::estimate;
            /// Validates a configuration, makes an experiment of it, waits for the device and trains.
            experiment_start ExperimentStart(ExperimentStartRequest) -> Experiment = experiments::start;
            /// Lists the experiments, newest first.
            experiments_list ExperimentsList(ExperimentsListRequest) -> Vec<Experiment> = experiments::list;
            /// Shows an experiment with its settings and its history.
            experiments_show ExperimentsShow(ExperimentsShowRequest) -> ExperimentReport = experiments::show;
            /// Says what has happened in an experiment since the last call.
            experiments_events ExperimentsEvents(ExperimentsEventsRequest) -> EventsPage = experiments::events;
            /// The log of an experiment: what its runs said, oldest first.
            experiments_log ExperimentsLog(ExperimentRequest) -> Vec<LogLine> = experiments::log;
            /// The first batch of an experiment, token by token, as training sees it.
            experiments_first_batch ExperimentsFirstBatch(ExperimentRequest) -> FirstBatch = preview::first_batch;
            /// What an experiment answered to the same held-out questions at each evaluation.
            experiments_samples ExperimentsSamples(ExperimentRequest) -> Samples = experiments::samples;
            /// The evaluations that were kept with an experiment, newest first.
            experiments_evaluations ExperimentsEvaluations(ExperimentRequest) -> Vec<KeptEvaluation> = evaluate::kept;
            /// Gives an experiment another name; its id stays.
            experiments_rename ExperimentsRename(ExperimentsRenameRequest) -> Experiment = experiments::rename;
            /// Asks a running experiment, in whatever process, to checkpoint and free the device.
            experiments_pause ExperimentsPause(ExperimentRequest) -> Experiment = experiments::pause;
            /// Continues a paused, interrupted or failed experiment from its last checkpoint.
            experiments_resume ExperimentsResume(ExperimentRequest) -> Experiment = experiments::resume;
            /// Asks a running or queued experiment, in whatever process, to end and keep what it has.
            experiments_stop ExperimentsStop(ExperimentRequest) -> Experiment = experiments::stop;
            /// Deletes an experiment with its files; refused while it runs.
            experiments_delete ExperimentsDelete(ExperimentRequest) -> Removed = experiments::delete;

            /// Lists the work in progress, in whatever process, and what waits for its turn.
            jobs_list JobsList(JobsListRequest) -> Vec<Job> = jobs::list;
            /// Asks a job, in whatever process, to end; training pauses and can be continued.
            jobs_cancel JobsCancel(JobRequest) -> Job = jobs::cancel;

            /// Measures loss, perplexity and exact match on a dataset.
            evaluate Evaluate(EvaluateRequest) -> Evaluation = evaluate::evaluate;
            /// The log-probability of each token given those before it.
            score Score(ScoreRequest) -> Score = score::score;
            /// Answers the last turn of a conversation; the text streams as events.
            chat Chat(ChatRequest) -> Answer = chat::chat;
            /// Writes an adapter in PEFT layout, or a merged model.
            export Export(ExportRequest) -> Export = export::export;

            /// Describes every setting of an experiment.
            settings Settings(SettingsRequest) -> Vec<SettingDefinition> = settings::describe;
            /// How busy the compute device and its memory are now.
            system_load SystemLoad(SystemLoadRequest) -> SystemLoad = load::measure;
            /// What a person has chosen for the program as a whole.
            preferences Preferences(PreferencesRequest) -> Preferences = preferences::read;
            /// Replaces the preferences.
            preferences_set PreferencesSet(PreferencesSetRequest) -> Preferences = preferences::write;
            /// Lists the keys the program knows and whether the system's keychain holds them.
            keys_list KeysList(KeysListRequest) -> Vec<Key> = keys::list;
            /// Puts a key into the system's keychain.
            keys_set KeysSet(KeysSetRequest) -> Key = keys::set;
            /// Removes a key from the system's keychain.
            keys_remove KeysRemove(KeysRemoveRequest) -> Key = keys::remove;
            /// Lists what was sent over the network, newest first.
            requests_list RequestsList(RequestsListRequest) -> Vec<OutboundRequest> = ledger::list;
            /// Writes a zip for a problem report: machine, versions, settings, logs; no data and no secrets.
            diagnostics Diagnostics(DiagnosticsRequest) -> Diagnostics = diagnostics::write;
            /// Lists the libraries the program is made with and their licences.
            licences Licences(LicencesRequest) -> Vec<Licence> = licences::list;
            /// Installs the bundled starter model and sample dataset, if they are not there.
            starter Starter(StarterRequest) -> Starter = first_start::install;
        }
    };
}

/// A command's name and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Command {
    /// As in [`Call`]'s `command` field.
    pub name: &'static str,
    /// A sentence.
    pub help: &'static str,
}

macro_rules! define_commands {
    ($($(#[doc = $help:literal])+ $name:ident $variant:ident($request:ty) -> $reply:ty = $($function:ident)::+;)+) => {
        /// A request to run one command: `{"command": "data_show", "arguments": {…}}`.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "command", content = "arguments", rename_all = "snake_case")]
        pub enum Call {
            $($(#[doc = $help])+ $variant($request),)+
        }

        /// What a command returned: `{"command": "data_show", "result": {…}}`.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "command", content = "result", rename_all = "snake_case")]
        pub enum Reply {
            $($(#[doc = $help])+ $variant($reply),)+
        }

        /// Every command, in the order of the list.
        pub const COMMANDS: &[Command] =
            &[$(Command { name: stringify!($name), help: concat!($($help),+).trim_ascii() }),+];

        impl Call {
            /// The command's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($name),)+
                }
            }
        }

        impl Studio {
            /// Runs one command here and now. Reports go to `on_event` on this thread; any thread
            /// may use `control` to pause or stop it.
            pub fn call(&self, call: Call, on_event: &mut dyn FnMut(Event), control: &Control) -> Result<Reply> {
                let mut session = Session::new(on_event, control);
                match call {
                    $(Call::$variant(request) => $name(self, request, &mut session).map(Reply::$variant),)+
                }
            }
        }

        $($(#[doc = $help])+
        pub fn $name(studio: &Studio, request: $request, session: &mut Session<'_>) -> Result<$reply> {
            crate::$($function)::+(studio, request, session)
        })+
    };
}

for_each_command!(define_commands);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Hosts write the names by hand, in menus and scripts; the wire must use the same.
    #[test]
    fn a_command_has_one_name_everywhere() {
        let calls = [
            Call::Doctor(DoctorRequest::default()),
            Call::ExperimentsShow(ExperimentsShowRequest::default()),
            Call::DataImport(DataImportRequest::default()),
        ];
        for call in calls {
            let wire = serde_json::to_value(&call).unwrap();
            assert_eq!(wire["command"], call.name());
            assert!(COMMANDS.iter().any(|command| command.name == call.name()));
            let back: Call = serde_json::from_value(wire).unwrap();
            assert_eq!(back.name(), call.name());
        }
    }

    #[test]
    fn arguments_left_out_have_their_defaults() {
        let wire = r#"{"command": "data_show", "arguments": {"dataset": "orders"}}"#;
        let Call::DataShow(request) = serde_json::from_str(wire).unwrap() else {
            panic!("another command")
        };
        assert_eq!((request.dataset.as_str(), request.first), ("orders", 0));
    }
}
