import type { Event, Experiment, ExperimentState, LoggedEvent } from '../generated/types';
import { CommandError } from '../backend';
import { now, readScenario, type Context, type Handlers } from './context';
import { configOf, courseOf, plan, type Plan, type Values } from './estimate';
import { definitions } from './settings';
import { apply, eventsOfStep, withoutSuperseded, type Course } from './simulation';

const home = '/Users/ada/Library/Application Support/attune/experiments';

const hour = 3600;
const day = 24 * hour;

/** What lies in an experiment's folder. Its events are all that were ever written, superseded ones too. */
export interface ExperimentRecord {
  plan: Plan;
  course: Course;
  events: LoggedEvent[];
  /** Seconds since 1970 at which the next step begins, while it runs. */
  clock: number;
}

const records = new Map<string, ExperimentRecord>();
let store: Experiment[] | undefined;

function row(id: string, name: string, state: ExperimentState, createdAt: number, { values }: Plan): Experiment {
  return {
    id, name, state, dataset: String(values.dataset), model: String(values.model), method: values.lora ? 'lora' : 'full', created_at: createdAt,
    started_at: null, ended_at: null, step: 0, total_steps: null, epoch: 0, loss: null, validation_loss: null, best_validation_loss: null, best_step: null,
    tokens_per_second: null, peak_memory: null, predicted_memory: null, seconds_left: null, pid: null, error: null, folder: `${home}/${id}`,
  };
}

interface Seed {
  id: string;
  name: string;
  state: ExperimentState;
  age: number;
  settings: Values;
  step: number;
  course?: Partial<Course>;
}

const maths: Values = { dataset: 'gsm8k', model: 'Qwen/Qwen3-0.6B', epochs: 2, batch_size: 8, data_sample: 0.605, evaluation_epochs: 0.25, checkpoint_steps: 40, learning_rate: 0.0002, warmup_epochs: 0.05 };

const inUse: Seed[] = [
  { id: 'gsm8k-qwen3', name: 'Maths, rank 16', state: 'running', age: 410, step: 340, settings: { ...maths, lora_r: 16, lora_alpha: 32 }, course: { from: 1.9, to: 0.575, tokensPerSecond: 1_344, peakMemory: 9_214_000_000 } },
  { id: 'support-smollm2', name: 'Support tone', state: 'queued', age: 320, step: 0, settings: { dataset: 'support', model: 'HuggingFaceTB/SmolLM2-360M-Instruct', batch_size: 4 } },
  { id: 'orders-starter', name: 'Orders to JSON', state: 'finished', age: 2 * hour, step: 480, settings: { dataset: 'orders', model: 'attune-starter', epochs: 8, batch_size: 8, learning_rate: 0.002, lora_r: 16, max_length: 128, validation_size: 0.05, evaluation_epochs: 0.5, evaluate_before_training: true }, course: { steps: 480, stepsPerEpoch: 60, evaluateEvery: 30, from: 2.31, to: 0.061, overfits: 0.85, peakMemory: 412_000_000, secondsPerStep: 0.13 } },
  { id: 'gsm8k-qwen3-2', name: 'Maths, rank 4', state: 'interrupted', age: day, step: 340, settings: { ...maths, lora_r: 4 }, course: { from: 1.9, to: 0.64, tokensPerSecond: 1_290, peakMemory: 8_900_000_000 } },
  { id: 'house-style', name: 'House style', state: 'failed', age: 3 * day, step: 12, settings: { dataset: 'alpaca-cleaned', model: 'house-style-7b', batch_size: 8, validation_size: 0 }, course: { from: 2.1, to: 1.1, failsAt: 13, peakMemory: 30_400_000_000 } },
  { id: 'radiology-llama', name: 'Radiology, plain text', state: 'stopped', age: 6 * day, step: 610, settings: { dataset: 'radiology', model: 'meta-llama/Llama-3.2-3B-Instruct', epochs: 3, batch_size: 6, max_length: 1_024, backbone_dtype: 'bfloat16', evaluation_epochs: 0.25 }, course: { from: 2.7, to: 1.24, tokensPerSecond: 388, peakMemory: 19_800_000_000, secondsPerStep: 9.9 } },
  { id: 'gsm8k-qwen3-16-bit', name: 'Maths, 16-bit weights', state: 'finished', age: 9 * day, step: 1_120, settings: { ...maths, lora_r: 16, lora_alpha: 32, backbone_dtype: 'bfloat16', schedule: 'Linear', seed: 2_718_281_828 }, course: { from: 1.92, to: 0.61, tokensPerSecond: 1_512, peakMemory: 6_870_000_000, overfits: 0.72 } },
];

function sow({ id, name, state, age, settings, step, course: more }: Seed): Experiment {
  const made = plan({ ...settings, experiment_name: name });
  const experiment = row(id, name, state, now - age, made);
  const course = courseOf(made, more);
  if (more?.tokensPerSecond && !more.secondsPerStep) course.secondsPerStep *= courseOf(made).tokensPerSecond / more.tokensPerSecond;
  const record: ExperimentRecord = { plan: made, course, events: [], clock: now - age + 4 };
  records.set(id, record);
  if (state === 'queued') return experiment;
  begin(experiment, record);
  while (experiment.step < step) take(experiment, record);
  experiment.state = state;
  if (state === 'running') record.clock = now;
  else {
    experiment.seconds_left = null;
    experiment.pid = null;
    experiment.ended_at = Math.round(record.clock);
  }
  if (state === 'stopped') write(experiment, record, { time: record.clock, event: 'checkpoint', step, best: false }, { time: record.clock, event: 'stopped', step, reason: 'asked to stop' });
  if (state === 'failed') experiment.error = outOfMemory(step + 1);
  return experiment;
}

const outOfMemory = (step: number) => ({ code: 'out-of-memory', message: `the device ran out of memory in step ${step}`, remedy: 'Hold weights in bfloat16 (−14.5 GB), or halve the batch.', where: `step ${step}` });

function write(experiment: Experiment, record: ExperimentRecord, ...events: LoggedEvent[]): LoggedEvent[] {
  record.events.push(...events);
  for (const event of events) apply(experiment, event);
  return events;
}

const lastCheckpoint = (record: ExperimentRecord): number | null => {
  const at = withoutSuperseded(record.events).filter((event) => event.event === 'checkpoint').at(-1);
  return at?.event === 'checkpoint' ? at.step : null;
};

/** A process takes the run up, from its last checkpoint or anew. */
function begin(experiment: Experiment, record: ExperimentRecord): LoggedEvent[] {
  const { course } = record;
  const from = lastCheckpoint(record);
  Object.assign(experiment, { state: 'running', step: from ?? 0, pid: 4_711, error: null, ended_at: null });
  experiment.started_at ??= Math.round(record.clock);
  const started: LoggedEvent = { time: record.clock, event: 'started', resumed_from: from, total_steps: course.steps, steps_per_epoch: course.stepsPerEpoch, train_samples: course.samples, validation_samples: course.held, trainable_parameters: course.trained, total_parameters: course.parameters };
  return write(experiment, record, started, ...(from === null ? eventsOfStep(experiment, course, 0, record.clock) : []));
}

/** One optimiser step. */
function take(experiment: Experiment, record: ExperimentRecord): LoggedEvent[] {
  const { course } = record;
  const step = experiment.step + 1;
  record.clock += course.secondsPerStep;
  if (step === course.failsAt) {
    Object.assign(experiment, { state: 'failed', error: outOfMemory(step), seconds_left: null, pid: null, ended_at: Math.round(record.clock) });
    return [];
  }
  const events = write(experiment, record, ...eventsOfStep(experiment, course, step, record.clock));
  experiment.seconds_left = step < 3 ? null : (course.steps - step) * course.secondsPerStep;
  const evaluated = course.patience > 0 && events.some(({ event }) => event === 'evaluation') ? record.events.filter((event) => event.event === 'evaluation').slice(-course.patience) : [];
  const early = evaluated.length === course.patience && course.patience > 0 && evaluated.every((event) => event.event === 'evaluation' && !event.best);
  if (step >= course.steps || early) {
    events.push(...write(experiment, record, { time: record.clock, event: 'finished', step, early }));
    Object.assign(experiment, { state: 'finished', seconds_left: null, pid: null, ended_at: Math.round(record.clock) });
  }
  return events;
}

/** How much faster than the clock runs go; tests set `window.attune.speed`. */
const speed = (): number => (window as unknown as { attune?: { speed?: number } }).attune?.speed ?? 1;

let looked = Date.now() / 1000;
let owed = 0;

/** Lets what runs run on for the time since the last look, and the next one begin. */
function advance(list: Experiment[]): void {
  const time = Date.now() / 1000;
  owed += (time - looked) * speed();
  looked = time;
  for (let budget = 4_000; budget > 0; budget -= 1) {
    const running = list.find(({ state }) => state === 'running');
    const waiting = list.filter(({ state }) => state === 'queued').at(-1);
    const active = running ?? waiting;
    const record = active && records.get(active.id);
    if (!active || !record) return void (owed = 0);
    if (!running) {
      record.clock = time;
      begin(active, record);
    } else if (owed < record.course.secondsPerStep) return;
    else {
      owed -= record.course.secondsPerStep;
      take(active, record);
      record.clock = Math.min(record.clock, time);
    }
  }
}

/** The experiments, newest first, as they are now; handlers change this list. */
export function experimentStore(): Experiment[] {
  const scenario = readScenario();
  if (!store) {
    // Making the rows asks for the store.
    store = [];
    if (scenario !== 'empty' && scenario !== 'first-start') store.push(...inUse.map(sow));
    looked = Date.now() / 1000;
  } else advance(store);
  return store;
}

/** By id, name or unambiguous prefix, as the studio finds it. */
export function findExperiment(wanted = ''): Experiment {
  const all = experimentStore();
  const found = all.find(({ id }) => id === wanted) ?? all.find(({ name }) => name === wanted) ?? (wanted === '' ? undefined : all.find(({ id }) => id.startsWith(wanted)));
  if (found) return found;
  throw new CommandError({ code: 'not-found', message: `there is no experiment \`${wanted}\``, remedy: 'It may have been deleted. Choose one of the list.' });
}

/** What lies in its folder. */
export function experimentRecord(wanted: string): ExperimentRecord {
  const record = records.get(findExperiment(wanted).id);
  if (!record) throw new CommandError({ code: 'not-found', message: `the experiment \`${wanted}\` has no folder` });
  return record;
}

function slug(name: string): string {
  const base = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 40) || 'unnamed';
  let id = base;
  for (let number = 2; records.has(id); number += 1) id = `${base}-${number}`;
  return id;
}

/** Follows a run to its end, as the commands that train do; aborting pauses it. */
async function follow(experiment: Experiment, { emit, sleep, signal }: Context): Promise<Experiment> {
  const record = experimentRecord(experiment.id);
  let told = record.events.length;
  const behind = experimentStore().find(({ state, id }) => state === 'running' && id !== experiment.id);
  emit(behind ? { type: 'waiting', subject: experiment.id, behind: behind.id } : { type: 'log', level: 'info', message: 'The device is free.' });
  signal.addEventListener('abort', () => isLive(experiment) && rest(experiment, 'paused'), { once: true });
  for (;;) {
    experimentStore();
    const events: Event[] = record.events.slice(told).map((event) => ({ type: 'train', experiment: experiment.id, event, seconds_left: experiment.seconds_left }));
    told = record.events.length;
    if (events.length > 0) emit(...events);
    if (experiment.state === 'failed' && experiment.error) throw new CommandError(experiment.error);
    if (experiment.state !== 'running' && experiment.state !== 'queued') return experiment;
    await sleep(120);
  }
}

/** Frees the device: a checkpoint first, where it ran. */
function rest(experiment: Experiment, state: 'paused' | 'stopped'): Experiment {
  const record = records.get(experiment.id);
  const time = Date.now() / 1000;
  const { step } = experiment;
  if (record && experiment.state === 'running') {
    write(experiment, record, { time, event: 'checkpoint', step, best: false }, state === 'paused' ? { time, event: 'paused', step } : { time, event: 'stopped', step, reason: 'asked to stop' });
  }
  return Object.assign(experiment, { state, seconds_left: null, pid: null, ended_at: Math.round(time) });
}

function refusal({ id, state }: Experiment, code: string, remedy: string): CommandError {
  return new CommandError({ code, message: `the experiment \`${id}\` is ${state}`, remedy });
}

const isLive = ({ state }: Experiment): boolean => state === 'running' || state === 'queued';

export const experiments: Handlers = {
  experiments_list: () => experimentStore(),
  experiments_show: ({ experiment: wanted = '', compare }) => {
    const experiment = findExperiment(wanted);
    const record = experimentRecord(experiment.id);
    const settings = record.plan.values;
    const others: Values = compare ? experimentRecord(compare).plan.values : Object.fromEntries(definitions.map((one) => [one.key, one.default]));
    const differences = definitions.filter(({ key }) => JSON.stringify(settings[key] ?? null) !== JSON.stringify(others[key] ?? null)).map(({ key }) => ({ key, value: settings[key] ?? null, other: others[key] ?? null }));
    const last = lastCheckpoint(record);
    const folder = (step: number | null) => (step === null ? null : `${experiment.folder}/checkpoints/step-${String(step).padStart(8, '0')}`);
    return { experiment, config: configOf(record.plan), settings, differences, events: withoutSuperseded(record.events), last_checkpoint: folder(last), best_checkpoint: folder(experiment.best_step) };
  },
  experiment_start: async ({ settings = {}, dry_run: dry = false }, context) => {
    const made = plan(settings);
    const name = String(made.values.experiment_name);
    if (Number(made.values.seed) < 0) made.values.seed = 2_718_281_828;
    const id = slug(name);
    const experiment = row(id, name, 'queued', Math.floor(Date.now() / 1000), made);
    if (dry) return experiment;
    const list = experimentStore();
    records.set(id, { plan: made, course: courseOf(made), events: [], clock: Date.now() / 1000 });
    list.unshift(experiment);
    context.emit({ type: 'created', experiment: id });
    return follow(experiment, context);
  },
  experiments_resume: ({ experiment: wanted }, context) => {
    const experiment = findExperiment(wanted);
    if (isLive(experiment)) throw refusal(experiment, 'experiment-running', 'Follow it in the list.');
    if (experiment.state === 'finished' || experiment.state === 'stopped') throw refusal(experiment, 'experiment-ended', `Start a new experiment from it: set “Start from” to ${experiment.id}.`);
    experiment.state = 'queued';
    return follow(experiment, context);
  },
  experiments_pause: async ({ experiment: wanted }, { sleep }) => {
    const experiment = findExperiment(wanted);
    if (!isLive(experiment)) throw refusal(experiment, 'experiment-not-running', 'Only one that runs or waits can be asked.');
    await sleep(200);
    return rest(experiment, 'paused');
  },
  experiments_stop: async ({ experiment: wanted }, { sleep }) => {
    const experiment = findExperiment(wanted);
    if (experiment.state === 'finished' || experiment.state === 'stopped') throw refusal(experiment, 'experiment-not-running', 'Only one that runs or waits can be asked.');
    await sleep(200);
    return rest(experiment, 'stopped');
  },
  experiments_delete: async ({ experiment: wanted }, { sleep }) => {
    const experiment = findExperiment(wanted);
    if (isLive(experiment)) throw refusal(experiment, 'experiment-running', 'Stop it first.');
    await sleep(80);
    const list = experimentStore();
    const freed = Math.round((records.get(experiment.id)?.course.trained ?? 0) * 24 + 1.2e6);
    list.splice(list.indexOf(experiment), 1);
    records.delete(experiment.id);
    return { id: experiment.id, name: experiment.name, freed };
  },
  experiments_rename: ({ experiment: wanted, name = '' }) => {
    if (name.trim() === '') throw new CommandError({ code: 'name-empty', message: 'an experiment needs a name', remedy: 'Type at least one letter.' });
    return Object.assign(findExperiment(wanted), { name: name.trim() });
  },
};
