// Generated from `studio::api` by `make generated`. Not written by hand.

/**
 * The model's answer; its text was streamed as events before.
 */
export type Answer = { 
/**
 * The whole answer.
 */
text: string, 
/**
 * Tokens of the prompt, template included.
 */
prompt_tokens: number, 
/**
 * Tokens generated.
 */
answer_tokens: number, 
/**
 * Seconds of generation, loading excluded.
 */
seconds: number, 
/**
 * Generated tokens per second.
 */
tokens_per_second: number, 
/**
 * Why it ended.
 */
stop_reason: StopReason, };

/**
 * Light or dark.
 */
export type Appearance = "system" | "light" | "dark";

/**
 * One kind of device and whether it can be used.
 */
export type Backend = { 
/**
 * Which kind.
 */
kind: GpuBackendKind, 
/**
 * Whether it can be used, and if not, what stands in the way.
 */
state: BackendState, 
/**
 * Its name, where it is known: `NVIDIA H100 80GB HBM3`.
 */
name: string | null, 
/**
 * What was found, in a sentence.
 */
reason: string, 
/**
 * What would make it usable.
 */
remedy: string | null, 
/**
 * Its memory, where it is known.
 */
memory: Memory | null, };

/**
 * What the check of a device found.
 */
export type BackendCheck = { 
/**
 * Which kind of device.
 */
kind: GpuBackendKind, 
/**
 * What came out.
 */
result: DeviceCheck | null, 
/**
 * Why nothing did.
 */
problem: Error | null, };

/**
 * What stands in the way of a device.
 */
export type BackendState = "ready" | "no_device" | "no_driver" | "driver_too_old" | "library_missing" | "not_built" | "busy" | "out_of_memory" | "refused";

/**
 * A bar of the histogram.
 */
export type Bin = { 
/**
 * The least length.
 */
from: number, 
/**
 * The greatest length.
 */
to: number, 
/**
 * Conversations.
 */
count: number, };

/**
 * The largest model that a method can tune here.
 */
export type Capacity = { 
/**
 * `lora`, `lora_bfloat16`, `qlora` or `full`.
 */
method: string, 
/**
 * For people.
 */
title: string, 
/**
 * Parameters of a Llama-like model that fits with the default settings, about.
 */
parameters: number, };

/**
 * Arguments of `chat`.
 */
export type ChatRequest = { 
/**
 * The conversation so far, ending with the person's turn.
 */
turns: Array<Turn>, 
/**
 * How to choose tokens. Absent: greedy for a plain answer.
 */
sampling: SamplingOptions | null, 
/**
 * Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
 */
model: string | null, 
/**
 * An adapter folder in PEFT layout, on top of `model`.
 */
adapter: string | null, 
/**
 * Id, name or unambiguous prefix of an experiment; excludes `adapter`.
 */
experiment: string | null, 
/**
 * Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
 */
checkpoint: CheckpointChoice | null, };

/**
 * Which checkpoint of an experiment.
 */
export type CheckpointChoice = "best" | "last";

/**
 * Who chose the device. An earlier one overrules the later ones.
 */
export type ChosenBy = "flag" | "environment" | "preference" | "detection";

/**
 * A column of the file.
 */
export type Column = { 
/**
 * Its name.
 */
name: string, 
/**
 * What its values are.
 */
kind: ColumnKind, 
/**
 * The first values that differ, shortened.
 */
examples: Array<string>, 
/**
 * Rows in which it holds nothing: null, blank text or an empty list.
 */
empty: number, };

/**
 * Columns a person has chosen; those left out are as guessed.
 */
export type ColumnChoice = { 
/**
 * The system message of each row; an empty name for none.
 */
system: string | null, 
/**
 * The columns of the question.
 */
prompt: Array<string>, 
/**
 * The answer.
 */
answer: string | null, 
/**
 * A list of messages.
 */
messages: string | null, 
/**
 * Plain text.
 */
text: string | null, };

/**
 * What the values of a column are, in a user's words.
 */
export type ColumnKind = "text" | "integer" | "number" | "boolean" | "list" | "object" | "other";

/**
 * Another setting that must have one value for this one to matter.
 */
export type Condition = { 
/**
 * The other setting.
 */
key: string, 
/**
 * The value it must have.
 */
value: JsonValue, };

/**
 * The turns of one row, in order.
 */
export type Conversation = { 
/**
 * System, user and assistant turns, or a single `Role::Text`.
 */
turns: Array<Turn>, };

/**
 * Arguments of `data_check`: as for an import, of which nothing is kept.
 */
export type DataCheckRequest = { 
/**
 * The file.
 */
path: string, 
/**
 * Which columns are what; guessed without it.
 */
shape: Shape | null, 
/**
 * The columns a person has chosen, where `shape` is not given; the rest is guessed.
 */
columns: ColumnChoice, 
/**
 * Which file of an archive.
 */
member: string | null, 
/**
 * Measure token lengths with this model's tokenizer.
 */
model: string | null, 
/**
 * Count rows longer than this many tokens, with `model`.
 */
max_length: number | null, };

/**
 * Arguments of `data_import`.
 */
export type DataImportRequest = { 
/**
 * The file: CSV, TSV, JSON, JSONL, Parquet, or a zip of one of them.
 */
path: string, 
/**
 * A name; the file's own without one.
 */
name: string | null, 
/**
 * Which columns are what; guessed without it.
 */
shape: Shape | null, 
/**
 * The columns a person has chosen, where `shape` is not given; the rest is guessed.
 */
columns: ColumnChoice, 
/**
 * Which file of an archive.
 */
member: string | null, 
/**
 * Measure token lengths with this model's tokenizer.
 */
model: string | null, 
/**
 * Count rows longer than this many tokens, with `model`; the setting's default without it.
 */
max_length: number | null, 
/**
 * Leave out the rows that have these problems, beside those that make no conversation:
 * `duplicate`, `unreadable_characters`, and, with `model`, `too_long`.
 */
leave_out: Array<ProblemKind>, 
/**
 * Share of the conversations that becomes a second dataset, never trained on; 0 for none.
 */
hold_out: number, };

/**
 * Arguments of `data_list`.
 */
export type DataListRequest = Record<symbol, never>;

/**
 * Conversations under a model's template.
 */
export type DataPreview = { 
/**
 * Where the template comes from: `chat_template.jinja`, `tokenizer_config.json`, `ChatML`.
 */
template: string, 
/**
 * Index of the first conversation below.
 */
first: number, 
/**
 * The conversations asked for, as far as there are any.
 */
samples: Array<RenderedSample>, };

/**
 * Arguments of `data_preview`. The conversations are those of `dataset`, or those an import of
 * `path` would make.
 */
export type DataPreviewRequest = { 
/**
 * A dataset: id, name or unambiguous prefix.
 */
dataset: string | null, 
/**
 * A file outside the library, with the choices of an import.
 */
path: string | null, 
/**
 * Which columns are what; guessed without it.
 */
shape: Shape | null, 
/**
 * The columns a person has chosen, where `shape` is not given; the rest is guessed.
 */
columns: ColumnChoice, 
/**
 * Which file of an archive.
 */
member: string | null, 
/**
 * The model whose template and tokenizer are used.
 */
model: string, 
/**
 * Tokens at which samples are cut; the setting's default without it.
 */
max_length: number | null, 
/**
 * Whether every token counts in the loss, not only those of answers.
 */
train_on_prompts: boolean, 
/**
 * The first conversation, from 0.
 */
first: number, 
/**
 * How many, at most.
 */
count: number, };

/**
 * Arguments of `data_remove`.
 */
export type DataRemoveRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
dataset: string, };

/**
 * Arguments of `data_show`.
 */
export type DataShowRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
dataset: string, 
/**
 * The first conversation to show, from 0.
 */
first: number, 
/**
 * How many conversations to show.
 */
count: number, };

/**
 * A dataset of the library.
 */
export type Dataset = { 
/**
 * Unique, short, readable: `orders`, `orders-2`.
 */
id: string, 
/**
 * The name its owner gave it.
 */
name: string, 
/**
 * Conversations that can be trained on.
 */
conversations: number, 
/**
 * The detected or chosen shape, in a word: `messages`, `alpaca`.
 */
shape: string, 
/**
 * Name of the imported file.
 */
file: string, 
/**
 * SHA-256 of the imported bytes, in hex.
 */
sha256: string, 
/**
 * Size of the imported file in bytes.
 */
bytes: number, 
/**
 * Seconds since 1970 at import.
 */
created_at: number, 
/**
 * Where its files lie.
 */
folder: string, };

/**
 * A dataset, what was found in it, and some of its conversations.
 */
export type DatasetPage = { 
/**
 * The dataset.
 */
dataset: Dataset, 
/**
 * What the importer found.
 */
inspection: Inspection, 
/**
 * Index of the first conversation below.
 */
first: number, 
/**
 * The conversations asked for, as far as there are any.
 */
conversations: Array<Conversation>, };

/**
 * A dataset with what the importer found in it.
 */
export type DatasetReport = { 
/**
 * The dataset.
 */
dataset: Dataset, 
/**
 * Rows, columns, shape, problems, lengths.
 */
inspection: Inspection, 
/**
 * The dataset of the rows that were held out.
 */
held_out: Dataset | null, };

/**
 * What a check of a device found. Differences are relative to the largest value that should have
 * come out.
 */
export type DeviceCheck = { 
/**
 * Loss of the small model, nats per token.
 */
loss: number, 
/**
 * Of the loss.
 */
loss_difference: number, 
/**
 * The largest of any gradient.
 */
gradient_difference: number, 
/**
 * The largest of any change by a step of AdamW.
 */
step_difference: number, 
/**
 * The most that rounding explains: the sums have another order.
 */
tolerance: number, 
/**
 * Operations compared one by one with the processor's; none on the processor itself.
 */
operations: number, 
/**
 * Kernels of ours that are switched off on this device, and operations that differ even so.
 */
concerns: Array<string>, 
/**
 * Whether all three differences are within the tolerance, and every operation agrees.
 */
agrees: boolean, 
/**
 * Tokens per second of the small model's steps. A large model's steps use a GPU better.
 */
tokens_per_second: number, 
/**
 * Floating-point operations per second of an f32 matrix product.
 */
operations_per_second: number, };

/**
 * A diagnostics bundle that was written.
 */
export type Diagnostics = { 
/**
 * The zip file.
 */
path: string, 
/**
 * Files in it, by name.
 */
files: Array<string>, 
/**
 * Its size in bytes.
 */
bytes: number, };

/**
 * Arguments of `diagnostics`.
 */
export type DiagnosticsRequest = { 
/**
 * The zip file to write.
 */
path: string, };

/**
 * A setting on which two configurations differ.
 */
export type Difference = { 
/**
 * The setting's key.
 */
key: string, 
/**
 * The value here.
 */
value: JsonValue, 
/**
 * The value there: the default, or the other experiment's.
 */
other: JsonValue, };

/**
 * A disk in bytes.
 */
export type Disk = { 
/**
 * Size; 0 when it cannot be known.
 */
total: number, 
/**
 * Free.
 */
available: number, };

/**
 * What this machine is and what Attune can use of it.
 */
export type DoctorReport = { 
/**
 * The processor and the system.
 */
platform: Platform, 
/**
 * What computes, and what else was looked at.
 */
gpu_backend: GpuBackend, 
/**
 * What the checks of the devices found, where they were asked for.
 */
checks: Array<BackendCheck>, 
/**
 * Working memory of the processor.
 */
memory: Memory, 
/**
 * The disk under the home folder.
 */
disk: Disk, 
/**
 * The home folder.
 */
home: string, 
/**
 * Why the home folder has its place: `ATTUNE_HOME` or the platform's folder.
 */
home_reason: string, 
/**
 * The Hugging Face cache that is searched for models.
 */
model_cache: string, 
/**
 * The largest models that each method can tune here.
 */
capacity: Array<Capacity>, 
/**
 * Version of Attune.
 */
version: string, 
/**
 * What is wrong or worth knowing, one sentence each; empty when all is well.
 */
findings: Array<string>, };

/**
 * Arguments of `doctor`.
 */
export type DoctorRequest = { 
/**
 * Run a small model on each device that can be used, compare it with the formulas, and
 * measure. Takes a second or so.
 */
check: boolean, };

/**
 * A refusal. Hosts branch on `code`, and show the rest as it is.
 */
export type Error = { 
/**
 * What kind of refusal, in kebab-case: `data-broken-line`, `not-found`. Stable.
 */
code: string, 
/**
 * One sentence: what failed, and why.
 */
message: string, 
/**
 * What the person can do about it.
 */
remedy?: string | null, 
/**
 * File and line, setting or field.
 */
where?: string | null, };

/**
 * What a run would take, before it is started.
 */
export type Estimate = { 
/**
 * The settings as the run's `config.yaml` would hold them.
 */
config: string, 
/**
 * Conversations to learn from.
 */
train_conversations: number, 
/**
 * Conversations held out.
 */
validation_conversations: number, 
/**
 * Optimiser steps.
 */
steps: number, 
/**
 * Tokens of all steps, about.
 */
tokens: number, 
/**
 * Seconds of training, about.
 */
seconds: number, 
/**
 * Tokens per second it is computed with.
 */
tokens_per_second: number, 
/**
 * Where that rate comes from, in a sentence.
 */
rate_reason: string, 
/**
 * Memory by part.
 */
memory: MemoryEstimate, 
/**
 * Bytes its checkpoints need on disk.
 */
disk: number, 
/**
 * What would make it smaller, the mildest first; empty when it fits with room.
 */
suggestions: Array<Suggestion>, 
/**
 * Worth knowing, one sentence each.
 */
notes: Array<string>, };

/**
 * Arguments of `evaluate`. Rows come from `data`, or are those `held_out_of` an experiment;
 * without either, those held out by the experiment of `weights`.
 */
export type EvaluateRequest = { 
/**
 * A dataset (id, name, unambiguous prefix), or a file that is read without being imported.
 */
data: string | null, 
/**
 * Evaluate the rows this experiment did not train on.
 */
held_out_of: string | null, 
/**
 * Only the first so many rows.
 */
limit: number | null, 
/**
 * Skip generation: loss and perplexity only.
 */
loss_only: boolean, 
/**
 * Return every row.
 */
rows: boolean, 
/**
 * Keep the result, with every row, beside the experiment that is evaluated or whose held-out
 * rows are used.
 */
keep: boolean, 
/**
 * Longest sample in tokens; the setting's default without it.
 */
max_length: number | null, 
/**
 * Longest answer in tokens; the setting's default without it.
 */
max_new_tokens: number | null, 
/**
 * Prompts generated together; a size that fits without it.
 */
batch_size: number | null, 
/**
 * Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
 */
model: string | null, 
/**
 * An adapter folder in PEFT layout, on top of `model`.
 */
adapter: string | null, 
/**
 * Id, name or unambiguous prefix of an experiment; excludes `adapter`.
 */
experiment: string | null, 
/**
 * Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
 */
checkpoint: CheckpointChoice | null, };

/**
 * What an evaluation measured.
 */
export type Evaluation = { 
/**
 * The model evaluated: a name for people.
 */
model: string, 
/**
 * The data: a name for people.
 */
data: string, 
/**
 * Conversations evaluated.
 */
conversations: number, 
/**
 * Tokens the loss is a mean over.
 */
trained_tokens: number, 
/**
 * Mean negative log-likelihood per trained token, in nats.
 */
loss: number, 
/**
 * exp(loss).
 */
perplexity: number, 
/**
 * Greedy answers equal to the reference after trimming, of `answered`; absent with `loss_only`.
 */
exact_matches: number | null, 
/**
 * Conversations that end in an answer and were generated; absent with `loss_only`.
 */
answered: number | null, 
/**
 * `exact_matches / answered`, 0 to 1.
 */
exact_match: number | null, 
/**
 * Wall time in seconds, loading included.
 */
seconds: number, 
/**
 * Every row, when asked for.
 */
rows: Array<EvaluationRow>, };

/**
 * One conversation of an evaluation.
 */
export type EvaluationRow = { 
/**
 * Index in the dataset, from 0.
 */
row: number, 
/**
 * The last user turn.
 */
prompt: string, 
/**
 * The reference answer.
 */
answer: string, 
/**
 * The model's answer; absent with `loss_only` or for plain text.
 */
prediction: string | null, 
/**
 * Whether both are equal after trimming.
 */
exact_match: boolean | null, 
/**
 * Mean loss over this row's trained tokens; absent when it has none.
 */
loss: number | null, 
/**
 * Trained tokens of this row.
 */
trained_tokens: number, };

/**
 * One report of a running command.
 */
export type Event = { "type": "progress", 
/**
 * The work, as a person would say it: `Reading orders.jsonl`. A new name starts a new bar.
 */
what: string, 
/**
 * Units done.
 */
done: number, 
/**
 * Units in all, where known.
 */
total: number | null, 
/**
 * Estimated seconds left, once there is something to estimate from.
 */
seconds_left: number | null, } | { "type": "created", 
/**
 * Its id.
 */
experiment: string, } | { "type": "waiting", 
/**
 * What the waiting job works on: an experiment's id.
 */
subject: string, 
/**
 * The experiment or job that holds the device.
 */
behind: string, } | { "type": "train", 
/**
 * The experiment's id.
 */
experiment: string, 
/**
 * The engine's report, as it is.
 */
event: TrainEvent, 
/**
 * Estimated seconds left of the whole run, once there is something to estimate from.
 */
seconds_left: number | null, } | { "type": "text", 
/**
 * The piece.
 */
text: string, } | { "type": "log", 
/**
 * How loud.
 */
level: Level, 
/**
 * One sentence.
 */
message: string, };

/**
 * What has happened since.
 */
export type EventsPage = { 
/**
 * The experiment as it is now.
 */
experiment: Experiment, 
/**
 * The new events, in order. A `started` event supersedes every event of a step after its
 * `resumed_from`, or of every step when it has none.
 */
events: Array<LoggedEvent>, 
/**
 * Where to go on.
 */
next: number, };

/**
 * One run and its latest numbers.
 */
export type Experiment = { 
/**
 * Unique, short, readable.
 */
id: string, 
/**
 * The name its owner gave it.
 */
name: string, 
/**
 * Where it stands.
 */
state: ExperimentState, 
/**
 * Id of the dataset.
 */
dataset: string, 
/**
 * Id or folder of the model.
 */
model: string, 
/**
 * `lora` or `full`.
 */
method: string, 
/**
 * Seconds since 1970.
 */
created_at: number, 
/**
 * Seconds since 1970 of the first start.
 */
started_at: number | null, 
/**
 * Seconds since 1970 of the end, whatever the end was.
 */
ended_at: number | null, 
/**
 * Optimiser steps done.
 */
step: number, 
/**
 * Optimiser steps in all, once known.
 */
total_steps: number | null, 
/**
 * Passes over the data done.
 */
epoch: number, 
/**
 * Training loss of the last step.
 */
loss: number | null, 
/**
 * Validation loss of the last evaluation.
 */
validation_loss: number | null, 
/**
 * Lowest validation loss.
 */
best_validation_loss: number | null, 
/**
 * The step with the lowest validation loss.
 */
best_step: number | null, 
/**
 * Rate of the last step.
 */
tokens_per_second: number | null, 
/**
 * What computed the last step.
 */
device?: GpuBackendKind, 
/**
 * Highest memory of the process, in bytes.
 */
peak_memory: number | null, 
/**
 * The same as it was predicted before the first step, in bytes.
 */
predicted_memory: number | null, 
/**
 * Estimated seconds left while running.
 */
seconds_left: number | null, 
/**
 * The process that trains, or trained, it.
 */
pid: number | null, 
/**
 * Why it failed.
 */
error: Error | null, 
/**
 * Where its files lie.
 */
folder: string, };

/**
 * An experiment with its settings and its history.
 */
export type ExperimentReport = { 
/**
 * The experiment.
 */
experiment: Experiment, 
/**
 * Its settings as YAML, complete.
 */
config: string, 
/**
 * The same by key, to start another experiment from.
 */
settings: { [key in string]: JsonValue }, 
/**
 * Where its settings differ from the defaults, or from the experiment compared with.
 */
differences: Array<Difference>, 
/**
 * What happened, in order; steps that a resume took again appear once.
 */
events: Array<LoggedEvent>, 
/**
 * The newest checkpoint.
 */
last_checkpoint: string | null, 
/**
 * The checkpoint with the lowest validation loss.
 */
best_checkpoint: string | null, };

/**
 * Arguments of the commands that take one experiment.
 */
export type ExperimentRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
experiment: string, };

/**
 * Arguments of `experiment_start`. Settings come from the defaults, then `config`, then
 * `settings`, then `set`; all are validated before anything is written.
 */
export type ExperimentStartRequest = { 
/**
 * A YAML file of settings.
 */
config: string | null, 
/**
 * Settings by key, as typed values.
 */
settings: { [key in string]: JsonValue }, 
/**
 * `key=value` as a person types it.
 */
set: Array<string>, 
/**
 * Validate and describe only; nothing is written.
 */
dry_run: boolean, };

/**
 * Where an experiment stands.
 */
export type ExperimentState = "queued" | "running" | "paused" | "interrupted" | "stopped" | "finished" | "failed";

/**
 * Arguments of `experiments_events`.
 */
export type ExperimentsEventsRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
experiment: string, 
/**
 * The `next` of the reply before; 0 for everything.
 */
after: number, };

/**
 * Arguments of `experiments_list`.
 */
export type ExperimentsListRequest = Record<symbol, never>;

/**
 * Arguments of `experiments_rename`.
 */
export type ExperimentsRenameRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
experiment: string, 
/**
 * The new name; the id stays.
 */
name: string, };

/**
 * Arguments of `experiments_show`.
 */
export type ExperimentsShowRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
experiment: string, 
/**
 * Another experiment to compare settings with; the defaults without it.
 */
compare: string | null, };

/**
 * What an export wrote.
 */
export type Export = { 
/**
 * The folder.
 */
folder: string, 
/**
 * What was written.
 */
format: ExportFormat, 
/**
 * Files in it, by name.
 */
files: Array<string>, 
/**
 * Their size in bytes.
 */
bytes: number, };

/**
 * How exported weights are stored.
 */
export type ExportDtype = "float32" | "bfloat16" | "float16";

/**
 * What to write.
 */
export type ExportFormat = "adapter" | "merged";

/**
 * Arguments of `export`.
 */
export type ExportRequest = { 
/**
 * What to write.
 */
format: ExportFormat, 
/**
 * The folder to make.
 */
folder: string, 
/**
 * Replace `folder` if it holds something.
 */
overwrite: boolean, 
/**
 * Precision of merged weights; the model's own without it.
 */
dtype: ExportDtype | null, 
/**
 * Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
 */
model: string | null, 
/**
 * An adapter folder in PEFT layout, on top of `model`.
 */
adapter: string | null, 
/**
 * Id, name or unambiguous prefix of an experiment; excludes `adapter`.
 */
experiment: string | null, 
/**
 * Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
 */
checkpoint: CheckpointChoice | null, };

/**
 * The samples of a run's first optimiser step.
 */
export type FirstBatch = { 
/**
 * For each micro-batch its samples, in order.
 */
micro_batches: Array<Array<RenderedSample>>, 
/**
 * Tokens in all.
 */
tokens: number, 
/**
 * Those that count in the loss.
 */
trained_tokens: number, };

/**
 * How a file is laid out.
 */
export type Format = "csv" | "tsv" | "json" | "json_lines" | "parquet";

/**
 * What computes, and why.
 */
export type GpuBackend = { 
/**
 * The choice.
 */
kind: GpuBackendKind, 
/**
 * Why, in a sentence.
 */
reason: string, 
/**
 * Who chose.
 */
chosen_by: ChosenBy, 
/**
 * Everything that could compute, in the order of preference; the processor last.
 */
backends: Array<Backend>, };

/**
 * What can compute.
 */
export type GpuBackendKind = "cuda" | "metal" | "cpu";

/**
 * The findings.
 */
export type Inspection = { 
/**
 * The format, as the content shows it.
 */
format: Format, 
/**
 * The encoding of text.
 */
encoding: string | null, 
/**
 * What separates columns of text.
 */
delimiter: string | null, 
/**
 * The member of an archive that was read.
 */
member: string | null, 
/**
 * All members of an archive that could be read.
 */
members: Array<string>, 
/**
 * Size of the file, unpacked.
 */
bytes: number, 
/**
 * Rows in the file.
 */
rows: number, 
/**
 * The columns, in order.
 */
columns: Array<Column>, 
/**
 * How rows become conversations.
 */
shape: Shape, 
/**
 * Rows that became conversations.
 */
conversations: number, 
/**
 * Their turns.
 */
turns: number, 
/**
 * The first conversations.
 */
preview: Array<Conversation>, 
/**
 * What is wrong, the most frequent first.
 */
problems: Array<Problem>, 
/**
 * Lengths in tokens, where a tokenizer was given.
 */
lengths: Lengths | null, };

/**
 * A piece of long work.
 */
export type Job = { 
/**
 * Number in order of arrival.
 */
id: number, 
/**
 * What it does.
 */
kind: JobKind, 
/**
 * What it works on: an experiment's id, a file, a folder, a model.
 */
subject: string, 
/**
 * Where it stands.
 */
state: JobState, 
/**
 * What it is doing now, as a person would say it.
 */
what: string | null, 
/**
 * Units of that done.
 */
done: number, 
/**
 * Units of that in all, where known.
 */
total: number | null, 
/**
 * Estimated seconds left of that, while it works.
 */
seconds_left: number | null, 
/**
 * The process that works.
 */
pid: number, 
/**
 * Seconds since 1970.
 */
created_at: number, 
/**
 * Seconds since 1970 at which it got its device.
 */
started_at: number | null, 
/**
 * Seconds since 1970.
 */
ended_at: number | null, 
/**
 * Why it failed.
 */
error: Error | null, };

/**
 * What a job does.
 */
export type JobKind = "import" | "train" | "evaluate" | "export";

/**
 * Arguments of the commands that take one job.
 */
export type JobRequest = { 
/**
 * Its number.
 */
job: number, };

/**
 * Where a job stands.
 */
export type JobState = "queued" | "running" | "finished" | "failed" | "cancelled" | "interrupted";

/**
 * Arguments of `jobs_list`.
 */
export type JobsListRequest = { 
/**
 * So many of those that have ended, too.
 */
ended: number, };

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

/**
 * An evaluation that was kept with the experiment it concerns.
 */
export type KeptEvaluation = { 
/**
 * Seconds since 1970.
 */
time: number, 
/**
 * What was evaluated.
 */
weights: Weights, 
/**
 * What came out, with every row.
 */
evaluation: Evaluation, };

/**
 * A secret in the system's keychain. Its value never leaves the keychain by this list.
 */
export type Key = { 
/**
 * `huggingface`.
 */
name: string, 
/**
 * For people.
 */
title: string, 
/**
 * What it is for.
 */
help: string, 
/**
 * Whether the keychain holds one.
 */
stored: boolean, 
/**
 * Why that cannot be known.
 */
problem: Error | null, };

/**
 * Arguments of `keys_list`.
 */
export type KeysListRequest = Record<symbol, never>;

/**
 * Arguments of `keys_remove`.
 */
export type KeysRemoveRequest = { 
/**
 * Which key.
 */
name: string, };

/**
 * Arguments of `keys_set`.
 */
export type KeysSetRequest = { 
/**
 * Which key.
 */
name: string, 
/**
 * The secret.
 */
value: string, };

/**
 * How long the conversations are for a model, before any cut unless it is said.
 */
export type Lengths = { 
/**
 * Tokens at which samples are cut.
 */
max_length: number, 
/**
 * Conversations that were tokenised.
 */
samples: number, 
/**
 * Tokens of the shortest.
 */
min: number, 
/**
 * Half of them have at most as many.
 */
median: number, 
/**
 * Tokens of all, by their number.
 */
mean: number, 
/**
 * 95 of 100 have at most as many.
 */
p95: number, 
/**
 * Tokens of the longest.
 */
max: number, 
/**
 * Tokens of all.
 */
total: number, 
/**
 * Tokens of all that are learnt, after cutting.
 */
trained: number, 
/**
 * Conversations that are cut.
 */
cut: number, 
/**
 * How many have which length; together the bars hold all.
 */
histogram: Array<Bin>, };

/**
 * How loud a log line is.
 */
export type Level = "info" | "warning";

/**
 * A library the program is made with.
 */
export type Licence = { 
/**
 * Its name.
 */
name: string, 
/**
 * Its version.
 */
version: string, 
/**
 * SPDX expression: `MIT OR Apache-2.0`.
 */
licence: string, };

/**
 * Arguments of `licences`.
 */
export type LicencesRequest = Record<symbol, never>;

/**
 * A line of a run's log.
 */
export type LogLine = { 
/**
 * Seconds since 1970.
 */
time: number, 
/**
 * How loud.
 */
level: Level, 
/**
 * One sentence.
 */
message: string, };

/**
 * A line of `events.jsonl`.
 */
export type LoggedEvent = { 
/**
 * Seconds since 1970.
 */
time: number, } & ({ "event": "started", 
/**
 * The step of the checkpoint it goes on from. Without one it begins anew, and steps that
 * an earlier process took and lost are taken again.
 */
resumed_from: number | null, 
/**
 * Optimiser steps in all.
 */
total_steps: number, 
/**
 * Optimiser steps of the first epoch.
 */
steps_per_epoch: number, 
/**
 * Samples to learn from.
 */
train_samples: number, 
/**
 * Samples held out.
 */
validation_samples: number, 
/**
 * Weights that training changes.
 */
trainable_parameters: number, 
/**
 * Weights in all.
 */
total_parameters: number, } | { "event": "step", 
/**
 * Counted from 1.
 */
step: number, 
/**
 * Epochs done.
 */
epoch: number, 
/**
 * Mean loss of the step: in nats over its trained tokens, or what another objective says.
 */
loss: number, 
/**
 * After the schedule.
 */
learning_rate: number, 
/**
 * Global norm before clipping.
 */
grad_norm: number, 
/**
 * Tokens of this step that counted in the loss.
 */
trained_tokens: number, 
/**
 * All tokens of this step over its wall time.
 */
tokens_per_second: number, 
/**
 * Largest resident size of the process so far, in bytes.
 */
peak_memory: number, 
/**
 * What else the objective measured, by the names TRL and transformers log it under:
 * `rewards/margins`, `rewards/accuracies`, `accuracy`, `mse`, …
 */
metrics?: { [key in string]: number }, } | { "event": "evaluation", 
/**
 * Steps done.
 */
step: number, 
/**
 * Mean loss of the trained tokens, in nats, or what another objective says.
 */
loss: number, 
/**
 * `e^loss`: the perplexity where tokens are predicted.
 */
perplexity: number, 
/**
 * Whether it is the lowest so far.
 */
best: boolean, 
/**
 * As with a step.
 */
metrics?: { [key in string]: number }, } | { "event": "checkpoint", 
/**
 * Steps done.
 */
step: number, 
/**
 * Whether it is the best so far by validation loss.
 */
best: boolean, } | { "event": "paused", 
/**
 * Steps done.
 */
step: number, } | { "event": "resumed", 
/**
 * Steps done.
 */
step: number, } | { "event": "stopped", 
/**
 * Steps done.
 */
step: number, 
/**
 * Why.
 */
reason: string, } | { "event": "finished", 
/**
 * Steps done.
 */
step: number, 
/**
 * Whether early stopping ended it.
 */
early: boolean, });

/**
 * Working memory in bytes.
 */
export type Memory = { 
/**
 * Of the machine, or of the container that limits this process.
 */
total: number, 
/**
 * Free for this process now.
 */
available: number, 
/**
 * The container's limit, where there is one below the machine's memory.
 */
limit: number | null, 
/**
 * Whether processor and GPU share it.
 */
unified: boolean, };

/**
 * Memory by part, against what this machine gives.
 */
export type MemoryEstimate = { 
/**
 * The parts, the largest contributors of a run in a fixed order.
 */
parts: Array<MemoryPart>, 
/**
 * Their sum in bytes.
 */
total: number, 
/**
 * Bytes a run may use: the limit of the preferences, else what the machine has for it.
 */
usable: number, 
/**
 * Whether the sum is within it.
 */
fits: boolean, };

/**
 * One part of the memory of a run.
 */
export type MemoryPart = { 
/**
 * What it holds: `Weights`, `Optimiser`.
 */
name: string, 
/**
 * Bytes.
 */
bytes: number, };

/**
 * Whether a model can be tuned here with a method.
 */
export type MethodFit = { 
/**
 * `lora`, `lora_bfloat16`, `qlora` or `full`.
 */
method: string, 
/**
 * For people: `LoRA`, `LoRA on 16-bit weights`, `QLoRA on 4-bit weights`, `Full fine-tuning`.
 */
title: string, 
/**
 * Bytes a run with the default settings needs.
 */
bytes: number, 
/**
 * Whether this machine has them.
 */
fits: boolean, };

/**
 * A model this machine has.
 */
export type Model = { 
/**
 * Unique: `attune-starter`, or `Qwen/Qwen3-0.6B` for one of the cache.
 */
id: string, 
/**
 * The name its owner gave it, or the id.
 */
name: string, 
/**
 * Where it comes from.
 */
origin: ModelOrigin, 
/**
 * The folder with `config.json` and the weights, or the GGUF file.
 */
folder: string, 
/**
 * What its configuration says; absent when it cannot be used.
 */
facts: ModelFacts | null, 
/**
 * Why it cannot be used.
 */
problem: Error | null, 
/**
 * Which methods of tuning fit on this machine; empty when it cannot be used.
 */
fits: Array<MethodFit>, };

/**
 * What a model's files say about it.
 */
export type ModelFacts = { 
/**
 * `llama`, `qwen3`, …
 */
family: string, 
/**
 * Parameters in all.
 */
parameters: number, 
/**
 * How the weights are stored: `bfloat16`, or `Q4_K_M` in a GGUF file.
 */
dtype: string, 
/**
 * Size of the weight files in bytes.
 */
bytes: number, 
/**
 * Longest context in tokens.
 */
context: number, 
/**
 * Where the chat template comes from: `chat_template.jinja`, `tokenizer_config.json`, `ChatML`.
 */
template: string, 
/**
 * The licence its card names, as the hub writes it: `apache-2.0`.
 */
licence: string | null, };

/**
 * Where a model comes from.
 */
export type ModelOrigin = "bundled" | "added" | "cache" | "folder";

/**
 * A model in detail.
 */
export type ModelReport = { 
/**
 * The model.
 */
model: Model, 
/**
 * Vocabulary of the model, in tokens.
 */
vocabulary: number, 
/**
 * Decoder layers.
 */
layers: number, 
/**
 * Width of the residual stream.
 */
hidden_size: number, 
/**
 * Width inside the feed-forward block.
 */
intermediate_size: number, 
/**
 * Matrices of the feed-forward block: three where it is gated, else two.
 */
feed_forward_matrices: number, 
/**
 * The non-linearity of the feed-forward block, by its name in `config.json`.
 */
activation: string, 
/**
 * What sets it apart from Llama, in a few words each.
 */
features: Array<string>, 
/**
 * Query heads.
 */
attention_heads: number, 
/**
 * Key and value heads.
 */
key_value_heads: number, 
/**
 * Whether the head shares the embedding's weights.
 */
tied_head: boolean, 
/**
 * Texts of the tokens that end an answer.
 */
stop_tokens: Array<string>, 
/**
 * The chat template, as Jinja.
 */
template_source: string, 
/**
 * Ids of the experiments that tuned this model.
 */
experiments: Array<string>, };

/**
 * Arguments of `models_add`: the folder stays where it is.
 */
export type ModelsAddRequest = { 
/**
 * A folder with `config.json`, `tokenizer.json` and safetensors, or a GGUF file.
 */
path: string, 
/**
 * A name; the folder's own without one.
 */
name: string | null, };

/**
 * Arguments of `models_inspect`.
 */
export type ModelsInspectRequest = { 
/**
 * Id, name, unambiguous prefix, or a folder.
 */
model: string, };

/**
 * Arguments of `models_list`.
 */
export type ModelsListRequest = Record<symbol, never>;

/**
 * Arguments of `models_remove`. An added folder is only forgotten, never deleted.
 */
export type ModelsRemoveRequest = { 
/**
 * Id, name or unambiguous prefix.
 */
model: string, };

/**
 * Something that was sent over the network.
 */
export type OutboundRequest = { 
/**
 * Seconds since 1970.
 */
time: number, 
/**
 * Where to.
 */
url: string, 
/**
 * What the person did that made it necessary.
 */
reason: string, 
/**
 * Bytes that came back.
 */
bytes: number, 
/**
 * What came of it.
 */
outcome: string, };

/**
 * The processor and the system.
 */
export type Platform = { 
/**
 * `arm64` or `x86_64`.
 */
architecture: string, 
/**
 * `linux` or `macos`.
 */
system: string, 
/**
 * Name and version of the system, for people.
 */
system_name: string, 
/**
 * Version of the kernel.
 */
kernel: string, 
/**
 * Name of the processor, as Apple, the board or the processor itself gives it.
 */
chip: string, 
/**
 * Name of the computer or board, where it has one: `NVIDIA DGX Spark`.
 */
model: string | null, 
/**
 * Whether this is a program for Intel Macs on Apple Silicon (Rosetta).
 */
translated: boolean, 
/**
 * Logical cores of the machine.
 */
cores: number, 
/**
 * Cores this process may use.
 */
usable_cores: number, };

/**
 * What a person has chosen for the program as a whole.
 */
export type Preferences = { 
/**
 * Light or dark.
 */
appearance: Appearance, 
/**
 * Tell the desktop when a run ends while the window is elsewhere.
 */
notifications: boolean, 
/**
 * Keep the machine from sleeping while a run works.
 */
keep_awake: boolean, 
/**
 * The device to compute on: `auto`, `cpu`, `cuda` or `metal`.
 */
device: string, 
/**
 * Bytes that estimates take as what a run may use; what the machine has without it.
 */
memory_limit: number | null, 
/**
 * Milliseconds that the work given to a Mac's GPU at once may take, 10 to 1000; without it 50.
 * macOS ends work that keeps the GPU from the screen.
 */
longest_dispatch: number | null, 
/**
 * Settings that the form of a new experiment starts from, where they differ from the defaults.
 */
defaults: { [key in string]: JsonValue }, };

/**
 * Arguments of `preferences`.
 */
export type PreferencesRequest = Record<symbol, never>;

/**
 * Arguments of `preferences_set`.
 */
export type PreferencesSetRequest = { 
/**
 * All of them, as they shall be.
 */
preferences: Preferences, };

/**
 * Something that is wrong with some rows.
 */
export type Problem = { 
/**
 * What it is.
 */
kind: ProblemKind, 
/**
 * Rows that have it.
 */
count: number, 
/**
 * The first of them, counted from 1.
 */
rows: Array<number>, 
/**
 * The text of the first of them, shortened.
 */
examples: Array<string>, 
/**
 * What was found in the first of them.
 */
detail: string, 
/**
 * Whether these rows are left out of the dataset.
 */
left_out: boolean, 
/**
 * What a user can do about it.
 */
remedy: string, };

/**
 * The problems that are known.
 */
export type ProblemKind = "empty_prompt" | "empty_answer" | "no_answer" | "empty_text" | "no_messages" | "roles_out_of_order" | "unknown_role" | "not_text" | "duplicate" | "unreadable_characters" | "too_long" | "nothing_trained" | "template_refused";

/**
 * Something that is gone.
 */
export type Removed = { 
/**
 * Its id.
 */
id: string, 
/**
 * Its name.
 */
name: string, 
/**
 * Bytes freed on disk.
 */
freed: number, };

/**
 * A conversation token by token.
 */
export type RenderedSample = { 
/**
 * Its index in the dataset, from 0.
 */
row: number, 
/**
 * What was said.
 */
conversation: Conversation, 
/**
 * Its tokens, cut at the maximum length.
 */
tokens: Array<RenderedToken>, 
/**
 * Tokens beyond the maximum length.
 */
cut: number, 
/**
 * Why nothing can be learnt from it.
 */
problem: Error | null, };

/**
 * A token, and what training does with it.
 */
export type RenderedToken = { 
/**
 * Its number in the vocabulary.
 */
id: number, 
/**
 * The characters it completes; empty where it is a part of one.
 */
text: string, 
/**
 * Whether it counts in the loss.
 */
trained: boolean, 
/**
 * Whether it ends an answer.
 */
stop: boolean, };

/**
 * Arguments of `requests_list`.
 */
export type RequestsListRequest = Record<symbol, never>;

/**
 * Who speaks.
 */
export type Role = "system" | "user" | "assistant" | "text";

/**
 * A question that is asked again and again.
 */
export type SamplePrompt = { 
/**
 * Index in the dataset, from 0.
 */
row: number, 
/**
 * The last user turn.
 */
prompt: string, 
/**
 * The reference answer.
 */
answer: string, };

/**
 * The answers after some steps.
 */
export type SampleRound = { 
/**
 * Optimiser steps done.
 */
step: number, 
/**
 * One answer for each prompt.
 */
answers: Array<string>, };

/**
 * Answers of a run to the same questions, as it learns.
 */
export type Samples = { 
/**
 * The questions, from the held-out rows.
 */
prompts: Array<SamplePrompt>, 
/**
 * The answers, oldest first; those of step 0 are the model's before tuning.
 */
rounds: Array<SampleRound>, };

/**
 * How tokens are chosen and when to end.
 */
export type SamplingOptions = { 
/**
 * 0 takes the likeliest token.
 */
temperature: number, 
/**
 * Sample among this many of the likeliest; 0 for all.
 */
top_k: number, 
/**
 * Sample among the likeliest that together reach this probability; 1 for all.
 */
top_p: number, 
/**
 * Leave out tokens less likely than this part of the likeliest; 0 for none.
 */
min_p: number, 
/**
 * Divides the scores of tokens already seen; 1 for no change.
 */
repetition_penalty: number, 
/**
 * Ends after this many tokens.
 */
max_new_tokens: number, 
/**
 * Ends before any of these texts.
 */
stop_strings: Array<string>, 
/**
 * Of the random choices.
 */
seed: number, };

/**
 * The log-probability of each token given those before it.
 */
export type Score = { 
/**
 * Token ids.
 */
tokens: Array<number>, 
/**
 * Natural logarithms; null for the first token, which nothing precedes.
 */
logprobs: Array<number | null>, };

/**
 * Arguments of `score`: exactly one of `tokens` and `text`.
 */
export type ScoreRequest = { 
/**
 * Token ids.
 */
tokens: Array<number> | null, 
/**
 * Text, encoded as the tokenizer does by itself (with its start token where it has one).
 */
text: string | null, 
/**
 * Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
 */
model: string | null, 
/**
 * An adapter folder in PEFT layout, on top of `model`.
 */
adapter: string | null, 
/**
 * Id, name or unambiguous prefix of an experiment; excludes `adapter`.
 */
experiment: string | null, 
/**
 * Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
 */
checkpoint: CheckpointChoice | null, };

/**
 * One setting of an experiment, as forms, help and documents need it.
 */
export type SettingDefinition = { 
/**
 * YAML key and `--set` key.
 */
key: string, 
/**
 * Name for people.
 */
title: string, 
/**
 * What it does and when to change it.
 */
help: string, 
/**
 * Heading it stands under: `Dataset`, `Training`.
 */
group: string, 
/**
 * `basic`, `advanced` or `expert`.
 */
level: string, 
/**
 * What a value may be.
 */
kind: SettingKind, 
/**
 * Value without a choice; null where one must be given or none is needed.
 */
default: JsonValue, 
/**
 * Whether a value must be given.
 */
required: boolean, 
/**
 * When it matters. Absent: always.
 */
applies_when: Condition | null, 
/**
 * H2O LLM Studio's name, where it has the setting.
 */
h2o_name: string | null, };

/**
 * What a value may be.
 */
export type SettingKind = { "type": "switch" } | { "type": "integer", 
/**
 * Lowest.
 */
min: number, 
/**
 * Highest.
 */
max: number, } | { "type": "number", 
/**
 * Lowest.
 */
min: number, 
/**
 * Highest.
 */
max: number, } | { "type": "choice", 
/**
 * The words.
 */
choices: Array<string>, } | { "type": "text" } | { "type": "list", 
/**
 * The only texts there are; empty where any may stand.
 */
choices: Array<string>, };

/**
 * Arguments of `settings`.
 */
export type SettingsRequest = Record<symbol, never>;

/**
 * The columns of a dataset and what each is. The guess is made by [`Shape::guess`]; it can be
 * written down, changed and read back.
 */
export type Shape = { "kind": "messages", 
/**
 * The column with the list.
 */
column: string, 
/**
 * A column with the system message of each row.
 */
system?: string | null, 
/**
 * A column with the last answer, as preference data have it.
 */
answer?: string | null, } | { "kind": "share_gpt", 
/**
 * The column with the list.
 */
column: string, 
/**
 * A column with the system message of each row.
 */
system?: string | null, 
/**
 * A column with the last answer, as preference data have it.
 */
answer?: string | null, } | { "kind": "alpaca", 
/**
 * The column with the instruction.
 */
instruction: string, 
/**
 * The column with what it is about; most rows leave it empty.
 */
input?: string | null, 
/**
 * The column with the answer.
 */
output: string, 
/**
 * A column with the system message of each row.
 */
system?: string | null, } | { "kind": "prompt_answer", 
/**
 * A column with the system message of each row.
 */
system?: string | null, 
/**
 * The columns of the question, joined by `separator`; empty ones are left out.
 */
prompt: Array<string>, 
/**
 * What stands between the columns of a question.
 */
separator: string, 
/**
 * The column with the answer.
 */
answer: string, } | { "kind": "text", 
/**
 * The column with the text.
 */
column: string, };

/**
 * What the starter installed, or found installed.
 */
export type Starter = { 
/**
 * Id of the model.
 */
model: string, 
/**
 * Id of the dataset to train on.
 */
dataset: string, 
/**
 * Id of the dataset that training never sees.
 */
held_out: string, 
/**
 * A prompt the untuned model cannot answer and the tuned one can.
 */
prompt: string, 
/**
 * Settings of a run that are known to suit this model and this dataset.
 */
settings: { [key in string]: JsonValue }, };

/**
 * Arguments of `starter`.
 */
export type StarterRequest = Record<symbol, never>;

/**
 * Why an answer ended.
 */
export type StopReason = "stop_token" | "stop_string" | "length" | "cancelled";

/**
 * A change of settings that saves memory.
 */
export type Suggestion = { 
/**
 * What to do, as a button says it: `Hold weights in bfloat16`.
 */
title: string, 
/**
 * The settings to change.
 */
settings: { [key in string]: JsonValue }, 
/**
 * Bytes saved.
 */
saves: number, 
/**
 * Whether the run fits after it.
 */
fits: boolean, };

/**
 * How busy the compute device is now.
 */
export type SystemLoad = { 
/**
 * What computes.
 */
device: GpuBackendKind, 
/**
 * Bytes of its memory in use, by all programs.
 */
memory_used: number, 
/**
 * Bytes it has.
 */
memory_total: number, 
/**
 * Bytes this process holds; unknown of a GPU with memory of its own.
 */
memory_process: number | null, 
/**
 * Bytes a run may use.
 */
memory_usable: number, 
/**
 * Share of its computing power in use, 0 to 1, since the last call; unknown on a GPU.
 */
load: number | null, };

/**
 * Arguments of `system_load`.
 */
export type SystemLoadRequest = Record<symbol, never>;

/**
 * One thing that happened.
 */
export type TrainEvent = { "event": "started", 
/**
 * The step of the checkpoint it goes on from. Without one it begins anew, and steps that
 * an earlier process took and lost are taken again.
 */
resumed_from: number | null, 
/**
 * Optimiser steps in all.
 */
total_steps: number, 
/**
 * Optimiser steps of the first epoch.
 */
steps_per_epoch: number, 
/**
 * Samples to learn from.
 */
train_samples: number, 
/**
 * Samples held out.
 */
validation_samples: number, 
/**
 * Weights that training changes.
 */
trainable_parameters: number, 
/**
 * Weights in all.
 */
total_parameters: number, } | { "event": "step", 
/**
 * Counted from 1.
 */
step: number, 
/**
 * Epochs done.
 */
epoch: number, 
/**
 * Mean loss of the step: in nats over its trained tokens, or what another objective says.
 */
loss: number, 
/**
 * After the schedule.
 */
learning_rate: number, 
/**
 * Global norm before clipping.
 */
grad_norm: number, 
/**
 * Tokens of this step that counted in the loss.
 */
trained_tokens: number, 
/**
 * All tokens of this step over its wall time.
 */
tokens_per_second: number, 
/**
 * Largest resident size of the process so far, in bytes.
 */
peak_memory: number, 
/**
 * What else the objective measured, by the names TRL and transformers log it under:
 * `rewards/margins`, `rewards/accuracies`, `accuracy`, `mse`, …
 */
metrics?: { [key in string]: number }, } | { "event": "evaluation", 
/**
 * Steps done.
 */
step: number, 
/**
 * Mean loss of the trained tokens, in nats, or what another objective says.
 */
loss: number, 
/**
 * `e^loss`: the perplexity where tokens are predicted.
 */
perplexity: number, 
/**
 * Whether it is the lowest so far.
 */
best: boolean, 
/**
 * As with a step.
 */
metrics?: { [key in string]: number }, } | { "event": "checkpoint", 
/**
 * Steps done.
 */
step: number, 
/**
 * Whether it is the best so far by validation loss.
 */
best: boolean, } | { "event": "paused", 
/**
 * Steps done.
 */
step: number, } | { "event": "resumed", 
/**
 * Steps done.
 */
step: number, } | { "event": "stopped", 
/**
 * Steps done.
 */
step: number, 
/**
 * Why.
 */
reason: string, } | { "event": "finished", 
/**
 * Steps done.
 */
step: number, 
/**
 * Whether early stopping ended it.
 */
early: boolean, };

/**
 * One message.
 */
export type Turn = { 
/**
 * Who speaks.
 */
role: Role, 
/**
 * What is said.
 */
content: string, };

/**
 * Which weights to use: a model, or a model with an adapter, or what an experiment made.
 */
export type Weights = { 
/**
 * Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
 */
model: string | null, 
/**
 * An adapter folder in PEFT layout, on top of `model`.
 */
adapter: string | null, 
/**
 * Id, name or unambiguous prefix of an experiment; excludes `adapter`.
 */
experiment: string | null, 
/**
 * Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
 */
checkpoint: CheckpointChoice | null, };

/** Every command: what it takes and what it returns. */
export interface Commands {
  /** Says what this machine is: processor, GPU backend with the reason, memory, disk, versions. */
  doctor: { request: Partial<DoctorRequest>; reply: DoctorReport };
  /** Imports a file into the library: original bytes, normalised conversations, what was found. */
  data_import: { request: Partial<DataImportRequest>; reply: DatasetReport };
  /** Says what an import of a file would find; keeps nothing. */
  data_check: { request: Partial<DataCheckRequest>; reply: Inspection };
  /** Shows conversations token by token under a model's template, and what training does with each. */
  data_preview: { request: Partial<DataPreviewRequest>; reply: DataPreview };
  /** Lists the datasets of the library, newest first. */
  data_list: { request: Partial<DataListRequest>; reply: Array<Dataset> };
  /** Shows a dataset, what was found in it, and some of its conversations. */
  data_show: { request: Partial<DataShowRequest>; reply: DatasetPage };
  /** Removes a dataset and its files; refused while an experiment that can still run needs it. */
  data_remove: { request: Partial<DataRemoveRequest>; reply: Removed };
  /** Lists the models this machine has: bundled, added, and found in the Hugging Face cache. */
  models_list: { request: Partial<ModelsListRequest>; reply: Array<Model> };
  /** Adds a model folder to the library; it stays where it is. */
  models_add: { request: Partial<ModelsAddRequest>; reply: Model };
  /** Shows a model in detail. */
  models_inspect: { request: Partial<ModelsInspectRequest>; reply: ModelReport };
  /** Forgets an added model; its folder stays. */
  models_remove: { request: Partial<ModelsRemoveRequest>; reply: Removed };
  /** Says what a run would take: memory by part, steps, tokens, time, and what would make it smaller. */
  experiment_estimate: { request: Partial<ExperimentStartRequest>; reply: Estimate };
  /** Validates a configuration, makes an experiment of it, waits for the device and trains. */
  experiment_start: { request: Partial<ExperimentStartRequest>; reply: Experiment };
  /** Lists the experiments, newest first. */
  experiments_list: { request: Partial<ExperimentsListRequest>; reply: Array<Experiment> };
  /** Shows an experiment with its settings and its history. */
  experiments_show: { request: Partial<ExperimentsShowRequest>; reply: ExperimentReport };
  /** Says what has happened in an experiment since the last call. */
  experiments_events: { request: Partial<ExperimentsEventsRequest>; reply: EventsPage };
  /** The log of an experiment: what its runs said, oldest first. */
  experiments_log: { request: Partial<ExperimentRequest>; reply: Array<LogLine> };
  /** The first batch of an experiment, token by token, as training sees it. */
  experiments_first_batch: { request: Partial<ExperimentRequest>; reply: FirstBatch };
  /** What an experiment answered to the same held-out questions at each evaluation. */
  experiments_samples: { request: Partial<ExperimentRequest>; reply: Samples };
  /** The evaluations that were kept with an experiment, newest first. */
  experiments_evaluations: { request: Partial<ExperimentRequest>; reply: Array<KeptEvaluation> };
  /** Gives an experiment another name; its id stays. */
  experiments_rename: { request: Partial<ExperimentsRenameRequest>; reply: Experiment };
  /** Asks a running experiment, in whatever process, to checkpoint and free the device. */
  experiments_pause: { request: Partial<ExperimentRequest>; reply: Experiment };
  /** Continues a paused, interrupted or failed experiment from its last checkpoint. */
  experiments_resume: { request: Partial<ExperimentRequest>; reply: Experiment };
  /** Asks a running or queued experiment, in whatever process, to end and keep what it has. */
  experiments_stop: { request: Partial<ExperimentRequest>; reply: Experiment };
  /** Deletes an experiment with its files; refused while it runs. */
  experiments_delete: { request: Partial<ExperimentRequest>; reply: Removed };
  /** Lists the work in progress, in whatever process, and what waits for its turn. */
  jobs_list: { request: Partial<JobsListRequest>; reply: Array<Job> };
  /** Asks a job, in whatever process, to end; training pauses and can be continued. */
  jobs_cancel: { request: Partial<JobRequest>; reply: Job };
  /** Measures loss, perplexity and exact match on a dataset. */
  evaluate: { request: Partial<EvaluateRequest>; reply: Evaluation };
  /** The log-probability of each token given those before it. */
  score: { request: Partial<ScoreRequest>; reply: Score };
  /** Answers the last turn of a conversation; the text streams as events. */
  chat: { request: Partial<ChatRequest>; reply: Answer };
  /** Writes an adapter in PEFT layout, or a merged model. */
  export: { request: Partial<ExportRequest>; reply: Export };
  /** Describes every setting of an experiment. */
  settings: { request: Partial<SettingsRequest>; reply: Array<SettingDefinition> };
  /** How busy the compute device and its memory are now. */
  system_load: { request: Partial<SystemLoadRequest>; reply: SystemLoad };
  /** What a person has chosen for the program as a whole. */
  preferences: { request: Partial<PreferencesRequest>; reply: Preferences };
  /** Replaces the preferences. */
  preferences_set: { request: Partial<PreferencesSetRequest>; reply: Preferences };
  /** Lists the keys the program knows and whether the system's keychain holds them. */
  keys_list: { request: Partial<KeysListRequest>; reply: Array<Key> };
  /** Puts a key into the system's keychain. */
  keys_set: { request: Partial<KeysSetRequest>; reply: Key };
  /** Removes a key from the system's keychain. */
  keys_remove: { request: Partial<KeysRemoveRequest>; reply: Key };
  /** Lists what was sent over the network, newest first. */
  requests_list: { request: Partial<RequestsListRequest>; reply: Array<OutboundRequest> };
  /** Writes a zip for a problem report: machine, versions, settings, logs; no data and no secrets. */
  diagnostics: { request: Partial<DiagnosticsRequest>; reply: Diagnostics };
  /** Lists the libraries the program is made with and their licences. */
  licences: { request: Partial<LicencesRequest>; reply: Array<Licence> };
  /** Installs the bundled starter model and sample dataset, if they are not there. */
  starter: { request: Partial<StarterRequest>; reply: Starter };
}

/** The names of all commands, in the order of the list. */
export const COMMANDS = [
  'doctor',
  'data_import',
  'data_check',
  'data_preview',
  'data_list',
  'data_show',
  'data_remove',
  'models_list',
  'models_add',
  'models_inspect',
  'models_remove',
  'experiment_estimate',
  'experiment_start',
  'experiments_list',
  'experiments_show',
  'experiments_events',
  'experiments_log',
  'experiments_first_batch',
  'experiments_samples',
  'experiments_evaluations',
  'experiments_rename',
  'experiments_pause',
  'experiments_resume',
  'experiments_stop',
  'experiments_delete',
  'jobs_list',
  'jobs_cancel',
  'evaluate',
  'score',
  'chat',
  'export',
  'settings',
  'system_load',
  'preferences',
  'preferences_set',
  'keys_list',
  'keys_set',
  'keys_remove',
  'requests_list',
  'diagnostics',
  'licences',
  'starter',
] as const;
