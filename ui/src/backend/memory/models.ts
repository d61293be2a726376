import type { MethodFit, Model, ModelOrigin, ModelReport } from '../generated/types';
import { CommandError } from '../backend';
import { readScenario, type Handlers } from './context';
import { experimentStore } from './experiments';
import { chatMl, llama3, smolLm } from './templates';

const cache = '/Users/ada/.cache/huggingface/hub';
const own = '/Users/ada/Library/Application Support/attune/models';
const usable = 30.6e9;

/** What the studio's estimate says with the default settings, about. */
function fits(parameters: number): MethodFit[] {
  const working = parameters * 0.9 + 9e7;
  const method = (method: string, title: string, bytes: number) => ({ method, title, bytes: Math.round(bytes), fits: bytes <= usable });
  return [
    method('lora', 'LoRA', parameters * 4 + working),
    method('lora_bfloat16', 'LoRA on 16-bit weights', parameters * 2 + working),
    method('qlora', 'QLoRA on 4-bit weights', parameters * 0.6 + working),
    method('full', 'Full fine-tuning', parameters * 16 + working),
  ];
}

interface Shape {
  family: string;
  parameters: number;
  dtype: string;
  context: number;
  licence: string | null;
  template?: string;
}

function model(id: string, origin: ModelOrigin, { family, parameters, dtype, context, licence, template = 'tokenizer_config.json' }: Shape): Model {
  const folders = { cache: `${cache}/models--${id.replace('/', '--')}/snapshots/7ae557604adf67be50417f59c2c2f167def9a775`, bundled: `${own}/${id}`, added: `/Users/ada/models/${id}`, folder: id };
  const bytes = parameters * (dtype === 'float32' ? 4 : 2) + 54_712;
  return { id, name: id, origin, folder: folders[origin], facts: { family, parameters, dtype, bytes, context, licence, template }, problem: null, fits: fits(parameters) };
}

export const bundledModel: Model = model('attune-starter', 'bundled', { family: 'llama', parameters: 1_312_384, dtype: 'bfloat16', context: 512, licence: 'apache-2.0' });
if (bundledModel.facts) bundledModel.facts.bytes = 2_630_760;

const inUse: Model[] = [
  bundledModel,
  model('house-style-7b', 'added', { family: 'mistral', parameters: 7_248_023_552, dtype: 'float16', context: 32_768, licence: null, template: 'ChatML' }),
  model('HuggingFaceTB/SmolLM2-360M-Instruct', 'cache', { family: 'llama', parameters: 361_821_120, dtype: 'bfloat16', context: 8_192, licence: 'apache-2.0' }),
  model('Qwen/Qwen2.5-Coder-32B-Instruct', 'cache', { family: 'qwen2', parameters: 32_763_876_352, dtype: 'bfloat16', context: 32_768, licence: 'apache-2.0' }),
  model('Qwen/Qwen3-0.6B', 'cache', { family: 'qwen3', parameters: 596_049_920, dtype: 'bfloat16', context: 40_960, licence: 'apache-2.0' }),
  {
    id: 'google/gemma-3n-E4B', name: 'google/gemma-3n-E4B', origin: 'cache', folder: `${cache}/models--google--gemma-3n-E4B/snapshots/1b21d8`, facts: null, fits: [],
    problem: { code: 'model-family-unknown', message: 'the model family `gemma3n` is not supported', remedy: 'Choose a Llama, SmolLM, Mistral, Qwen2, Qwen3, Gemma, Phi-3 or 4, OLMo2, Granite, StableLM or Pythia model.', where: 'config.json, model_type' },
  },
  model('meta-llama/Llama-3.2-3B-Instruct', 'cache', { family: 'llama', parameters: 3_212_749_824, dtype: 'bfloat16', context: 131_072, licence: 'llama3.2', template: 'chat_template.jinja' }),
];

let store: Model[] | undefined;

/** The models this machine has; handlers change this list. */
export function modelStore(): Model[] {
  const scenario = readScenario();
  store ??= scenario === 'empty' ? [] : scenario === 'first-start' ? [bundledModel] : [...inUse];
  return store;
}

/** What `starter` does with the model. */
export function installBundledModel(): void {
  if (!modelStore().some(({ id }) => id === bundledModel.id)) modelStore().unshift(bundledModel);
}

/** By id, name or unambiguous prefix, as the studio finds it. */
export function findModel(wanted = ''): Model {
  const all = modelStore();
  const found = all.find(({ id, name }) => id === wanted || name === wanted) ?? (wanted === '' ? undefined : all.find(({ id }) => id.startsWith(wanted)));
  if (found) return found;
  throw new CommandError({ code: 'model-not-found', message: `there is no model \`${wanted}\``, remedy: `There are ${all.map(({ id }) => id).join(', ')}. A model folder can be given by its path.` });
}

type Architecture = Pick<ModelReport, 'vocabulary' | 'layers' | 'hidden_size' | 'intermediate_size' | 'feed_forward_matrices' | 'activation' | 'features' | 'attention_heads' | 'key_value_heads' | 'tied_head' | 'stop_tokens' | 'template_source'>;

function architecture(sizes: [vocabulary: number, layers: number, hidden: number, intermediate: number, heads: number, keyValue: number], tied: boolean, stops: string[], template: string): Architecture {
  const [vocabulary, layers, hidden_size, intermediate_size, attention_heads, key_value_heads] = sizes;
  return { vocabulary, layers, hidden_size, intermediate_size, feed_forward_matrices: 3, activation: 'silu', features: [], attention_heads, key_value_heads, tied_head: tied, stop_tokens: stops, template_source: template };
}

const architectures: Record<string, Architecture> = {
  'attune-starter': architecture([1_024, 6, 128, 384, 4, 2], true, ['<|im_end|>', '<|endoftext|>'], chatMl),
  'house-style-7b': architecture([32_768, 32, 4_096, 14_336, 32, 8], false, ['</s>'], chatMl),
  'HuggingFaceTB/SmolLM2-360M-Instruct': architecture([49_152, 32, 960, 2_560, 15, 5], true, ['<|im_end|>'], smolLm),
  'Qwen/Qwen2.5-Coder-32B-Instruct': architecture([152_064, 64, 5_120, 27_648, 40, 8], false, ['<|im_end|>', '<|endoftext|>'], chatMl),
  'Qwen/Qwen3-0.6B': architecture([151_936, 28, 1_024, 3_072, 16, 8], true, ['<|im_end|>', '<|endoftext|>'], chatMl),
  'meta-llama/Llama-3.2-3B-Instruct': architecture([128_256, 28, 3_072, 8_192, 24, 8], true, ['<|eot_id|>', '<|eom_id|>', '<|end_of_text|>'], llama3),
};

/** Refuses what the studio would refuse, by the name of the folder. */
function add(path: string, name: string | null): Model {
  const folder = path.replace(/\/+$/, '');
  const last = folder.split('/').at(-1) ?? folder;
  const refuse = (code: string, message: string, remedy: string) => new CommandError({ code, message, remedy, where: folder });
  if (/absent/.test(last)) throw refuse('file-not-found', `cannot open ${folder}: no such file or directory`, 'Check the path.');
  if (/photos|empty/.test(last)) throw refuse('model-not-a-folder', `\`${folder}\` is not a model folder: it has no config.json`, 'Choose a Hugging Face model folder: config.json, tokenizer.json and safetensors files.');
  if (/truncated/.test(last)) throw refuse('model-broken-weights', `${folder}/model.safetensors is not a readable safetensors file: it has 54712 bytes where its header promises 109424`, 'The download was probably cut off: download the file again.');
  if (/weightless|pickle/.test(last)) throw refuse('model-no-weights', `${folder} holds no safetensors files`, 'Download the model’s safetensors files; pickle files (.bin, .pt) are never read.');
  const known = modelStore().find((one) => one.folder === folder);
  if (known) return known;
  const wanted = last.toLowerCase().replace(/[^\p{L}\p{N}.]+/gu, '-');
  const taken = (id: string) => modelStore().some((one) => one.id === id);
  let id = wanted;
  for (let number = 2; taken(id); number += 1) id = `${wanted}-${number}`;
  const added: Model = { ...model(id, 'added', { family: 'qwen3', parameters: 596_049_920, dtype: 'bfloat16', context: 40_960, licence: 'apache-2.0' }), name: name ?? last, folder };
  modelStore().splice(1, 0, added);
  return added;
}

export const models: Handlers = {
  models_list: () => modelStore(),
  models_add: async ({ path = '', name = null }, { sleep }) => {
    await sleep(120);
    return add(path, name);
  },
  models_inspect: ({ model: wanted }) => {
    const found = findModel(wanted);
    if (found.problem) throw new CommandError(found.problem);
    const experiments = experimentStore().filter((one) => one.model === found.id).map(({ id }) => id);
    return { model: found, ...(architectures[found.id] ?? architectures['Qwen/Qwen3-0.6B']), experiments };
  },
  models_remove: ({ model: wanted }) => {
    const found = findModel(wanted);
    if (found.origin === 'cache') {
      throw new CommandError({ code: 'model-not-ours', message: `\`${found.id}\` belongs to the Hugging Face cache`, remedy: 'Remove it with the tool that downloaded it; other programs may use it too.', where: found.folder });
    }
    modelStore().splice(modelStore().indexOf(found), 1);
    return { id: found.id, name: found.name, freed: found.origin === 'bundled' ? (found.facts?.bytes ?? 0) : 0 };
  },
};
