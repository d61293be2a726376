//! The command line: every command, every flag and its help. It is written for people who have
//! never tuned a model.

use std::path::PathBuf;

use attune_studio::DeviceWish;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
First steps:
  attune demo                               The whole story on a bundled model, offline
  attune doctor                             What this machine can do
  attune data import my.jsonl               Your own data: CSV, TSV, JSON, JSONL, Parquet, zip
  attune models list                        Which models are here
  attune train --dataset my --model MODEL   Tune

Output:
  Results go to stdout, progress and notes to stderr. With --json, stdout is one JSON document.
  `train`, `experiments resume`, `demo` and `chat` without --prompt write JSON lines instead:
  one event a line, the result last, as {\"type\": \"result\", …}.
  A refusal is {\"error\": {\"code\", \"message\", \"remedy\", \"where\"}}.

Exit codes:
  0 done · 1 failed · 2 the command line is wrong · 3 paused from elsewhere
  130 interrupted with Ctrl-C · 143 asked to terminate";

/// Global flags come last in every help text.
const GLOBAL: &str = "Everywhere";

/// Tune language models on your own data, on your own machine
#[derive(Debug, Parser)]
#[command(name = "attune", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Write JSON for programs instead of words for people
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Keep everything in this folder, instead of ATTUNE_HOME or the system's place
    #[arg(long, global = true, value_name = "FOLDER", help_heading = GLOBAL)]
    pub(crate) home: Option<PathBuf>,
    /// Compute on auto, cpu, cuda or metal, instead of ATTUNE_DEVICE or the preferences
    #[arg(long, global = true, value_name = "NAME", value_parser = device, help_heading = GLOBAL)]
    pub(crate) device: Option<DeviceWish>,
    /// Say on stderr what happens inside; -vv and -vvv say more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// `auto`, `cpu`, `cuda` or `metal`.
fn device(word: &str) -> Result<DeviceWish, String> {
    DeviceWish::parse(word).map_err(|error| match error.remedy {
        Some(remedy) => format!("{}. {remedy}", error.message),
        None => error.message,
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what this machine is, and check what Attune can use of it
    Doctor,
    /// Bring data into the library, and look at it
    #[command(subcommand)]
    Data(DataCommand),
    /// List models, add your own, look at them
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Tune a model on a dataset
    ///
    /// Settings come from CONFIG.yaml, then from the flags; `attune settings` lists them with their
    /// defaults. The run is kept as an experiment. Ctrl-C pauses it; `attune experiments resume`
    /// continues it exactly where it was.
    Train(TrainArguments),
    /// Say what a run would take: memory by part, steps, tokens, time
    Estimate(TrainArguments),
    /// List runs; pause, continue, stop or delete them
    #[command(subcommand)]
    Experiments(ExperimentsCommand),
    /// See what works or waits, in whatever program, and end it
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Measure a model on data: loss, perplexity, and how many answers are exactly right
    Evaluate(EvaluateArguments),
    /// Say how probable a model finds each token of a text (natural logarithms)
    Score(ScoreArguments),
    /// Talk to a model, or ask it one question with --prompt
    Chat(ChatArguments),
    /// Write an adapter, or a whole tuned model, into a folder of its own
    Export(ExportArguments),
    /// Describe every setting of an experiment, or one
    Settings {
        /// Only this setting, in full
        key: Option<String>,
    },
    /// Install the bundled starter model and its sample data
    Starter,
    /// Run any command of the program by its name, with JSON in and JSON out
    ///
    /// docs/commands.md lists the names. Everything the window can do can be done this way.
    Call {
        /// The command's name, for example system_load
        name: String,
        /// Its arguments, for example '{"experiment": "my-run"}'; - reads them from stdin
        #[arg(default_value = "{}", value_name = "JSON")]
        arguments: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// See the whole story: import, measure, tune, measure again, chat, export
    Demo(DemoArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Import a file: CSV, TSV, JSON, JSONL, Parquet, or a zip of one of them
    Import {
        #[command(flatten)]
        file: FileArguments,
        /// A name; the file's own without it
        #[arg(long)]
        name: Option<String>,
        /// Leave out the conversations with this problem; may be repeated
        #[arg(long, value_name = "PROBLEM")]
        leave_out: Vec<LeaveOut>,
        /// Make a second dataset of this share of the conversations, never trained on
        #[arg(long, value_name = "0…0.95", default_value_t = 0.0)]
        hold_out: f64,
    },
    /// Show conversations token by token, as a model would learn them
    Preview {
        /// Id, name, or the beginning of either
        dataset: String,
        /// The model whose template and tokenizer are used
        #[arg(long)]
        model: String,
        /// The first conversation to show, counted from 1
        #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        first: u64,
        /// How many conversations to show
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        count: u64,
        /// Cut after this many tokens
        #[arg(long, value_name = "TOKENS")]
        max_length: Option<usize>,
    },
    /// Say what an import would find; keep nothing
    Check(FileArguments),
    /// List the datasets, newest first
    List,
    /// Show a dataset and some of its conversations
    Show {
        /// Id, name, or the beginning of either
        dataset: String,
        /// The first conversation to show, counted from 1
        #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        first: u64,
        /// How many conversations to show
        #[arg(long, default_value_t = 3, value_name = "NUMBER")]
        count: u64,
    },
    /// Remove a dataset and its files
    Remove {
        /// Id, name, or the beginning of either
        dataset: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Problems whose rows can be left out.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LeaveOut {
    /// The same conversation stood in an earlier row
    Duplicate,
    /// Characters were lost
    UnreadableCharacters,
    /// Longer than --max-length for --model
    TooLong,
}

#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// The file
    pub(crate) path: PathBuf,
    /// The column with the question; several are joined [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) prompt: Vec<String>,
    /// The column with the answer [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) answer: Option<String>,
    /// The column with the system message [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) system: Option<String>,
    /// The column with a list of messages [default: guessed]
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["prompt", "text"])]
    pub(crate) messages: Option<String>,
    /// The column with plain text, learnt as it is [default: guessed]
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["prompt", "answer"])]
    pub(crate) text: Option<String>,
    /// Which file of a zip
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Count tokens as this model does
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Count the conversations longer than this many tokens
    #[arg(long, value_name = "TOKENS", requires = "model")]
    pub(crate) max_length: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models of this machine: bundled, added, and in the Hugging Face cache
    List,
    /// Add a model folder (config.json, tokenizer.json, safetensors) or a GGUF file; it stays where it is
    Add {
        /// The folder
        path: PathBuf,
        /// A name; the folder's own without it
        #[arg(long)]
        name: Option<String>,
    },
    /// Show a model in detail
    Inspect {
        /// Id, name, the beginning of either, or a folder
        model: String,
    },
    /// Forget an added model; its folder stays
    Remove {
        /// Id, name, or the beginning of either
        model: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// A YAML file with one `key: value` per line
    #[arg(value_name = "CONFIG.yaml")]
    pub(crate) config: Option<PathBuf>,
    /// The model to tune; short for --set model=…
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The dataset to learn from; short for --set dataset=…
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// A name for the run; short for --set experiment_name=…
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A setting, for example --set epochs=3; may be repeated, and wins over the file
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<String>,
    /// Check everything and say what would run; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentsCommand {
    /// List the runs, newest first, and say which can be continued
    List,
    /// Show a run: its numbers, its settings, what happened
    Show {
        #[command(flatten)]
        which: Which,
        /// Show where its settings differ from this experiment's, instead of the defaults
        #[arg(long, value_name = "EXPERIMENT")]
        compare: Option<String>,
    },
    /// Show what a run said
    Log(Which),
    /// Show how a run's answers to the same questions changed
    Samples(Which),
    /// Give a run another name
    Rename {
        #[command(flatten)]
        which: Which,
        /// The new name
        name: String,
    },
    /// Pause a run, also one of another terminal; it can be continued
    Pause(Which),
    /// Continue a run that was paused, interrupted or failed
    Resume(Which),
    /// End a run for good and keep what it has learnt
    Stop(Which),
    /// Delete a run and its files
    Delete {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List the work in progress, and what waits for its turn
    List {
        /// And so many of those that have ended, the newest first
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        ended: usize,
    },
    /// Ask a job to end; training pauses and can be continued
    Cancel {
        /// Its number
        job: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Id, name, or the beginning of either
    pub(crate) experiment: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub(crate) struct WeightsArguments {
    /// The model: a name from `attune models list`, or a folder
    #[arg(long, group = "source")]
    pub(crate) model: Option<String>,
    /// An adapter folder in PEFT layout, on top of the model
    #[arg(long, value_name = "FOLDER", requires = "model")]
    pub(crate) adapter: Option<PathBuf>,
    /// What this experiment made
    #[arg(long, group = "source")]
    pub(crate) experiment: Option<String>,
    /// Which of the experiment's checkpoints [default: what its settings say]
    #[arg(long, requires = "experiment")]
    pub(crate) checkpoint: Option<Checkpoint>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Checkpoint {
    /// The lowest validation loss
    Best,
    /// The newest
    Last,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    #[command(flatten)]
    pub(crate) weights: WeightsArguments,
    /// A dataset of the library, or a file that is only read
    #[arg(long, required_unless_present_any = ["held_out_of", "experiment"], conflicts_with = "held_out_of")]
    pub(crate) data: Option<String>,
    /// The conversations that this experiment did not learn from
    #[arg(long, value_name = "EXPERIMENT")]
    pub(crate) held_out_of: Option<String>,
    /// Only the first so many conversations
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Loss and perplexity only, without generating answers: much faster
    #[arg(long)]
    pub(crate) loss_only: bool,
    /// Show every conversation with its answer; always so with --json
    #[arg(long)]
    pub(crate) rows: bool,
    /// Keep the result with the experiment
    #[arg(long)]
    pub(crate) keep: bool,
    /// Cut conversations after this many tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<usize>,
    /// Longest answer in tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_new_tokens: Option<usize>,
    /// Questions answered together
    #[arg(long, value_name = "NUMBER")]
    pub(crate) batch_size: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArguments {
    #[command(flatten)]
    pub(crate) weights: WeightsArguments,
    #[command(flatten)]
    pub(crate) input: ScoreInput,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ScoreInput {
    /// Token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) tokens: Option<Vec<u32>>,
    /// A text; the tokenizer adds its start token where it has one
    #[arg(long)]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    #[command(flatten)]
    pub(crate) weights: WeightsArguments,
    /// Ask this and end
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Instructions that stand before the conversation
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
}

/// How tokens are chosen. Without any of these flags, as the experiment's settings say, or the
/// likeliest token each time.
#[derive(Debug, Args)]
#[command(next_help_heading = "How answers are chosen")]
pub(crate) struct SamplingArguments {
    /// Randomness; 0 takes the likeliest token each time
    #[arg(long, value_name = "0…10", value_parser = between::<0, 10>)]
    pub(crate) temperature: Option<f64>,
    /// Choose among this many likeliest tokens; 0 among all
    #[arg(long, value_name = "NUMBER")]
    pub(crate) top_k: Option<usize>,
    /// Choose among the likeliest tokens that together reach this probability
    #[arg(long, value_name = "0…1", value_parser = between::<0, 1>)]
    pub(crate) top_p: Option<f64>,
    /// Leave out tokens less likely than this share of the likeliest
    #[arg(long, value_name = "0…1", value_parser = between::<0, 1>)]
    pub(crate) min_p: Option<f64>,
    /// Make tokens that already occurred less likely; 1 turns it off
    #[arg(long, value_name = "1…10", value_parser = between::<1, 10>)]
    pub(crate) repetition_penalty: Option<f64>,
    /// Longest answer in tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_new_tokens: Option<usize>,
    /// End the answer before this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Decides the random choices: the same seed gives the same answer
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// What this experiment made; the same as --experiment
    #[arg(group = "source", value_name = "EXPERIMENT")]
    pub(crate) made_by: Option<String>,
    #[command(flatten)]
    pub(crate) weights: WeightsArguments,
    /// The folder to make
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Adapter)]
    pub(crate) format: Format,
    /// Precision of merged weights [default: the model's own]
    #[arg(long)]
    pub(crate) dtype: Option<Dtype>,
    /// Replace what is in the folder, if it is a model or an adapter
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// The adapter alone, in PEFT layout: small, needs the base model
    Adapter,
    /// The whole model with the adapter merged in, as safetensors
    Merged,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Dtype {
    Float32,
    Bfloat16,
    Float16,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Tune again, although the demo has been tuned before; its earlier run is deleted
    #[arg(long)]
    pub(crate) again: bool,
    /// Take so few steps that it shows nothing but that it runs; for tests
    #[arg(long, hide = true)]
    pub(crate) quick: bool,
}

fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE, for example learning_rate=2e-4".to_owned()),
    }
}

fn between<const LOWEST: u32, const HIGHEST: u32>(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (f64::from(LOWEST)..=f64::from(HIGHEST)).contains(&number) {
        Ok(number)
    } else {
        Err(format!("expected a number from {LOWEST} to {HIGHEST}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// clap checks names, conflicts and defaults of the whole tree only when asked.
    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
