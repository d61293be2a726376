import type { Dataset, Estimate, Experiment, JsonValue, MemoryEstimate, Model, Suggestion } from '../generated/types';
import { CommandError } from '../backend';
import type { Handlers } from './context';
import { findDataset } from './datasets';
import { experimentStore } from './experiments';
import { findModel, modelStore } from './models';
import { savedPreferences } from './preferences';
import { definitions } from './settings';
import { generator, type Course } from './simulation';

export type Values = Record<string, JsonValue>;

/** A valid configuration with what it names. */
export interface Plan {
  values: Values;
  dataset: Dataset;
  model: Model;
}

const machine = 30.6e9;

function refuse(where: string, code: string, message: string, remedy: string): never {
  throw new CommandError({ code, message, remedy, where });
}

function check(values: Values): void {
  for (const [key, value] of Object.entries(values)) {
    const definition = definitions.find((one) => one.key === key);
    if (!definition) refuse(key, 'setting-unknown', `there is no setting \`${key}\``, '`attune settings` lists every setting.');
    const { kind } = definition;
    const isNumber = kind.type === 'integer' || kind.type === 'number';
    if (isNumber && typeof value === 'number' && (value < kind.min || value > kind.max)) refuse(key, 'setting-invalid', `\`${key}\` cannot be \`${value}\``, `Give a number from ${kind.min} to ${kind.max}.`);
  }
}

/** Validates settings as the studio does; refusals name the setting. */
export function plan(settings: Values): Plan {
  check(settings);
  const values: Values = { ...Object.fromEntries(definitions.map(({ key, default: value }) => [key, value])), ...settings };
  for (const key of ['model', 'dataset']) if (!values[key]) refuse(key, 'setting-missing', `\`${key}\` is not given`, `Choose a ${key}.`);
  const at = <T>(key: string, find: () => T): T => {
    try {
      return find();
    } catch (thrown) {
      const { code, message, remedy } = CommandError.from(thrown);
      return refuse(key, code, message, remedy ?? '');
    }
  };
  const dataset = at('dataset', () => findDataset(String(values.dataset)));
  if (values.validation_dataset) at('validation_dataset', () => findDataset(String(values.validation_dataset)));
  const model = at('model', () => modelStore().find(({ id }) => id === `attune-${values.model}`) ?? findModel(String(values.model)));
  if (model.problem) throw new CommandError({ ...model.problem, where: 'model' });
  const number = (key: string) => Number(values[key]);
  if (number('warmup_epochs') > number('epochs')) refuse('warmup_epochs', 'setting-conflict', `the warm-up of ${number('warmup_epochs')} epochs is longer than the run of ${number('epochs')}`, 'Lower warmup_epochs, or raise epochs.');
  const validates = values.validation_dataset !== null || number('validation_size') > 0;
  if (number('early_stopping_patience') > 0 && !(validates && number('evaluation_epochs') > 0)) {
    refuse('early_stopping_patience', 'setting-conflict', 'early stopping watches the validation loss, and nothing is validated', 'Raise validation_size and evaluation_epochs above 0, or set early_stopping_patience to 0.');
  }
  const from = values.pretrained_weights;
  if (typeof from === 'string' && !from.includes('/') && !experimentStore().some(({ id, name }) => id === from || name === from)) {
    refuse('pretrained_weights', 'not-found', `there is no experiment \`${from}\``, 'Give the id or name of an earlier experiment, or an adapter folder.');
  }
  values.dataset = dataset.id;
  values.model = model.id;
  values.experiment_name ??= `${dataset.name} ${model.name}`;
  values.max_length = Math.min(number('max_length'), model.facts?.context ?? Infinity);
  return { values, dataset, model };
}

/** Tokens of a dataset's conversations: on average, and of the longest. */
const lengths: Record<string, [mean: number, longest: number]> = { orders: [41, 74], gsm8k: [196, 1_187], support: [348, 4_210], 'alpaca-cleaned': [214, 2_048], radiology: [640, 3_902] };
const widths: [parameters: number, hidden: number, layers: number, vocabulary: number][] = [[2e6, 128, 6, 1_024], [5e8, 960, 32, 49_152], [1e9, 1_024, 28, 151_936], [5e9, 3_072, 28, 128_256], [1e10, 4_096, 32, 32_768], [1e12, 5_120, 64, 152_064]];

const numbers = ({ values, dataset, model }: Plan) => {
  const number = (key: string) => Number(values[key]);
  const [mean, longest] = lengths[dataset.id] ?? [210, 900];
  const parameters = model.facts?.parameters ?? 1e9;
  const [, hidden, layers, vocabulary] = widths.find(([most]) => parameters < most) ?? widths[5];
  const lora = values.lora === true;
  const trained = lora ? layers * number('lora_r') * hidden * 19 : parameters;
  return { number, mean: Math.min(mean, number('max_length')), longest: Math.min(longest, number('max_length')), cut: Math.max(0, Math.min(0.4, (longest / number('max_length') - 1) * 0.03)), parameters, hidden, layers, vocabulary, lora, trained };
};

/** Bytes of a frozen weight. */
const frozen: Record<string, number> = { float32: 4, bfloat16: 2, float16: 2, int8: 1, nf4: 0.52 };

export function memoryOf(of: Plan): MemoryEstimate {
  const { number, longest, parameters, hidden, layers, vocabulary, lora, trained } = numbers(of);
  const tokens = (of.values.packing ? number('max_length') : longest) * number('batch_size');
  const parts = [
    { name: 'Weights', bytes: parameters * (lora ? (frozen[String(of.values.backbone_dtype)] ?? 4) : 4) },
    { name: 'Adapter', bytes: lora ? trained * 4 : 0 },
    { name: 'Gradients', bytes: trained * 4 },
    { name: 'Optimiser', bytes: trained * 8 },
    { name: 'Activations', bytes: tokens * hidden * 4 * (of.values.gradient_checkpointing ? layers + 30 : layers * 26) },
    { name: 'Logits', bytes: tokens * vocabulary * 8 },
    { name: 'Program', bytes: 180e6 },
  ].map(({ name, bytes }) => ({ name, bytes: Math.round(bytes) }));
  const total = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  const usable = Math.min(savedPreferences().memory_limit ?? Infinity, machine);
  return { parts: parts.filter(({ bytes }) => bytes > 0), total, usable, fits: total <= usable };
}

function suggestions(of: Plan, memory: MemoryEstimate): Suggestion[] {
  if (memory.total <= memory.usable * 0.75) return [];
  const { number } = numbers(of);
  const found: Suggestion[] = [];
  const offer = (title: string, settings: Values) => {
    const after = memoryOf({ ...of, values: { ...of.values, ...settings } });
    if (after.total < memory.total) found.push({ title, settings, saves: memory.total - after.total, fits: after.fits });
  };
  const batch = Math.ceil(number('batch_size') / 2);
  const accumulation = Math.min(256, number('grad_accumulation') * 2);
  if (!of.values.gradient_checkpointing) offer('Recompute activations', { gradient_checkpointing: true });
  if (number('batch_size') > 1) offer(`Batch ${batch}, accumulated ${accumulation} times`, { batch_size: batch, grad_accumulation: accumulation });
  if (of.values.lora && of.values.backbone_dtype === 'float32') offer('Hold weights in bfloat16', { backbone_dtype: 'bfloat16' });
  if (of.values.lora && of.values.backbone_dtype !== 'nf4') offer('Hold weights in 4 bits (QLoRA)', { backbone_dtype: 'nf4' });
  if (number('max_length') > 64) offer(`Cut at ${Math.floor(number('max_length') / 2)} tokens`, { max_length: Math.floor(number('max_length') / 2) });
  if (!of.values.lora) offer('Train an adapter (LoRA)', { lora: true });
  return found;
}

function yaml(values: Values): string {
  const text = (value: JsonValue): string => {
    if (Array.isArray(value)) return value.length === 0 ? '[]' : `\n${value.map((one) => `- ${String(one)}`).join('\n')}`;
    return typeof value === 'string' && /[:#{}[\],&*?|<>=!%@`]|^\s|\s$/.test(value) ? `'${value}'` : String(value);
  };
  return definitions.map(({ key }) => `${key}: ${text(values[key] ?? null)}`).join('\n').replaceAll(': \n', ':\n') + '\n';
}

export const configOf = (of: Plan): string => yaml(of.values);

export function estimateOf(of: Plan): Estimate {
  const { number, mean, cut, parameters, trained } = numbers(of);
  const used = Math.round(of.dataset.conversations * number('data_sample'));
  const held = of.values.validation_dataset ? findDataset(String(of.values.validation_dataset)).conversations : Math.round(used * number('validation_size'));
  const train = of.values.validation_dataset ? used : used - held;
  const rows = of.values.packing ? Math.ceil((train * mean) / number('max_length')) : train;
  const perEpoch = Math.max(1, Math.ceil(rows / (number('batch_size') * number('grad_accumulation'))));
  const steps = of.values.max_steps === null ? Math.ceil(perEpoch * number('epochs')) : number('max_steps');
  const tokens = Math.round((steps / perEpoch) * train * mean);
  const earlier = experimentStore().find((one: Experiment) => one.model === of.model.id && one.method === (of.values.lora ? 'lora' : 'full') && one.step > 0 && one.tokens_per_second !== null);
  const rate = earlier?.tokens_per_second ?? plainRate(parameters, of.values);
  const memory = memoryOf(of);
  const notes = cut > 0 ? [`About ${Math.max(1, Math.round(cut * 100))} % of the conversations are longer than ${number('max_length')} tokens and are cut.`] : [];
  if (memory.fits && memory.total > 22.4e9) notes.push('Only 22.4 GB of memory are free now. Close other programs before a run this large.');
  return {
    config: configOf(of), train_conversations: train, validation_conversations: held, steps, tokens, seconds: tokens / rate, tokens_per_second: rate,
    rate_reason: earlier ? `As fast as \`${earlier.name}\` was.` : 'From this processor’s matrix speed; the first run will measure it.',
    memory, disk: Math.round(trained * 36 + 64e6), suggestions: suggestions(of, memory), notes,
  };
}

const plainRate = (parameters: number, values: Values): number => Math.min(9_120, 4.8e12 / ((values.lora ? 6 : 8) * parameters));

/** How the simulation runs a plan. */
export function courseOf(of: Plan, more: Partial<Course> = {}): Course {
  const { number, mean, parameters, trained } = numbers(of);
  const random = generator(`${of.dataset.id} ${of.model.id} ${number('lora_r')} ${number('learning_rate')}`);
  const used = Math.round(of.dataset.conversations * number('data_sample'));
  const held = Math.round(used * number('validation_size'));
  const stepsPerEpoch = Math.max(1, Math.ceil((used - held) / (number('batch_size') * number('grad_accumulation'))));
  const steps = of.values.max_steps === null ? Math.ceil(stepsPerEpoch * number('epochs')) : number('max_steps');
  const rate = plainRate(parameters, of.values) * (0.98 + 0.04 * random());
  const to = 0.06 + 0.6 * random() + 0.08 / Math.sqrt(number('lora_r'));
  return {
    steps, stepsPerEpoch, samples: used - held, held, parameters, trained, from: to + 1.2 + random(), to, overfits: number('epochs') > 3 ? 0.7 : 0.95,
    learningRate: number('learning_rate'), warmup: Math.round(number('warmup_epochs') * stepsPerEpoch), schedule: String(of.values.schedule), tokensPerSecond: rate,
    secondsPerStep: (mean * number('batch_size') * number('grad_accumulation')) / rate, peakMemory: memoryOf(of).total,
    evaluateEvery: held > 0 ? Math.round(number('evaluation_epochs') * stepsPerEpoch) : 0, evaluateFirst: of.values.evaluate_before_training === true && held > 0,
    checkpointEvery: number('checkpoint_steps'), patience: number('early_stopping_patience'), ...more,
  };
}

export const estimate: Handlers = {
  experiment_estimate: async ({ settings = {} }, { sleep }) => {
    // Measuring conversations and the machine's speed takes a moment.
    await sleep(90);
    return estimateOf(plan(settings));
  },
};
