import type { Conversation, Dataset, Inspection } from '../generated/types';
import { CommandError, type RequestOf } from '../backend';
import { fileName } from '../../format';
import { now, readScenario, type Context, type Handlers } from './context';
import { order } from './data-content';
import { dataFile } from './data-files';
import { conversationOf, conversationsOf, shapeOf } from './data-shape';
import { experimentStore } from './experiments';
import { inspect } from './inspect';

const home = '/Users/ada/Library/Application Support/attune/datasets';

function digest(seed: string): string {
  return Array.from({ length: 64 }, (_, at) => ((seed.charCodeAt(at % seed.length) * (at + 7) + at * at) % 16).toString(16)).join('');
}

function dataset(id: string, name: string, conversations: number, shape: string, file: string, bytes: number, age: number): Dataset {
  return { id, name, conversations, shape, file, sha256: digest(id), bytes, created_at: now - age, folder: `${home}/${id}` };
}

const hour = 3600;
const day = 24 * hour;

export const starterDatasets: Dataset[] = [
  dataset('orders', 'Café orders', 480, 'prompt_answer', 'orders.jsonl', 86_413, 2 * hour),
  dataset('orders-held-out', 'Café orders, held out', 120, 'prompt_answer', 'orders-held-out.jsonl', 21_780, 2 * hour),
];

const inUse: Dataset[] = [
  ...starterDatasets,
  dataset('gsm8k', 'Grade school maths', 7_473, 'prompt_answer', 'gsm8k-train.parquet', 2_306_545, day),
  dataset('support', 'Support tickets 2026', 31_204, 'messages', 'support-2026.jsonl.zip', 48_912_004, 5 * day),
  dataset('support-april', 'Support tickets 2026 until April', 22_870, 'messages', 'support-2026.jsonl.zip', 35_400_118, 34 * day),
  dataset('alpaca-cleaned', 'Alpaca cleaned', 51_760, 'alpaca', 'alpaca_data_cleaned.json', 44_307_561, 12 * day),
  dataset('tickets', 'Every support ticket since 2019', 100_000, 'messages', 'tickets-2019-2026.parquet', 96_412_883, 13 * day),
  dataset('languages', 'Questions in six languages', 1_200, 'prompt_answer', 'languages.jsonl', 204_880, 21 * day),
  dataset('radiology', 'Radiology reports', 2_118, 'text', 'reports.csv', 6_204_118, 40 * day),
];

let store: Dataset[] | undefined;

/** The library's datasets, newest first; handlers change this list. */
export function datasetStore(): Dataset[] {
  const scenario = readScenario();
  store ??= scenario === 'empty' || scenario === 'first-start' ? [] : [...inUse];
  return store;
}

/** By id, name or unambiguous prefix, as the studio finds it. */
export function findDataset(wanted: string | undefined): Dataset {
  const list = datasetStore();
  const found = list.find(({ id, name }) => id === wanted || name === wanted) ?? list.find(({ id }) => id.startsWith(wanted ?? '\0'));
  if (found) return found;
  throw new CommandError({ code: 'not-found', message: `there is no dataset ${wanted}`, remedy: 'Choose one of the list.' });
}

/** The café's row at an index, always the same one. */
export function conversation(index: number): Conversation {
  return conversationOf(order(index), { kind: 'prompt_answer', prompt: ['prompt'], separator: '\n\n', answer: 'answer' }) as Conversation;
}

/** How each dataset was imported; those of the list above with nothing chosen. */
const imported = new Map<string, { request: RequestOf<'data_import'>; first: number; inspection: Inspection }>();
const inspections = new Map<string, Inspection>();

export function datasetConversations({ id, file, conversations }: Dataset, first: number, count: number): Conversation[] {
  const { request, first: offset } = imported.get(id) ?? { request: { path: file }, first: 0 };
  const source = dataFile(request.path ?? file, request.member);
  return conversationsOf(source, shapeOf(source, request.columns), offset + first, Math.min(count, Math.max(0, conversations - first)));
}

/** What the importer found in a dataset. */
export function inspection(of: Dataset): Inspection {
  const known = imported.get(of.id)?.inspection ?? inspections.get(of.id);
  if (known) return known;
  const file = dataFile(of.file);
  const found = inspect(file, shapeOf(file), of.id === 'radiology' ? null : 512);
  const faulty = found.rows - found.conversations;
  const turns = Math.round((found.turns / Math.max(1, found.conversations)) * of.conversations);
  const whole = { ...found, bytes: of.bytes, conversations: of.conversations, turns, rows: of.conversations + faulty };
  inspections.set(of.id, whole);
  return whole;
}

/** Tells how far it is, as often as a window would repaint. */
async function work({ emit, sleep }: Context, what: string, total: number, milliseconds: number): Promise<void> {
  const steps = Math.max(2, Math.round(milliseconds / 60));
  for (let step = 1; step <= steps; step += 1) {
    await sleep(milliseconds / steps);
    const done = Math.round((total * step) / steps);
    emit({ type: 'progress', what, done, total, seconds_left: (milliseconds / 1000) * (1 - step / steps) });
  }
}

async function check(request: RequestOf<'data_check'>, context: Context): Promise<Inspection> {
  const file = dataFile(request.path ?? '', request.member);
  const name = fileName(request.path ?? '');
  const shape = shapeOf(file, request.columns);
  if (file.rows >= 1_000_000) await work(context, `Opening ${name}`, file.bytes, 1_500);
  await work(context, `Checking ${name}`, file.bytes, file.rows >= 1_000_000 ? 8_000 : file.rows > 30_000 ? 700 : 180);
  return inspect(file, shape, request.model ? (request.max_length ?? 512) : null);
}

function slug(name: string): string {
  const plain = name.normalize('NFKD').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'dataset';
  const taken = (id: string) => datasetStore().some((dataset) => dataset.id === id);
  for (let at = 1; ; at += 1) {
    const id = at === 1 ? plain : `${plain}-${at}`;
    if (!taken(id)) return id;
  }
}

async function bringIn(request: RequestOf<'data_import'>, context: Context) {
  const { path = '', name, leave_out = [], hold_out = 0 } = request;
  const found = await check(request, context);
  if (found.conversations === 0) throw new CommandError({ code: 'dataset-empty', message: `no row of ${path} makes a conversation`, remedy: found.problems[0]?.remedy ?? 'Choose other columns.', where: path });
  await work(context, 'Keeping the original', found.bytes, 150);
  if (leave_out.length > 0) await work(context, 'Leaving out rows', found.conversations, 120);
  const chosen = found.conversations - found.problems.filter(({ kind }) => leave_out.includes(kind)).reduce((sum, { count }) => sum + count, 0);
  const held = hold_out <= 0 ? 0 : Math.min(chosen - 1, Math.max(1, Math.round(chosen * hold_out)));
  await work(context, 'Writing conversations', chosen, found.rows >= 1_000_000 ? 6_000 : 250);
  const title = name ?? fileName(path).replace(/\.[^.]+$/, '');
  const add = (name: string, conversations: number, first: number): Dataset => {
    const id = slug(name);
    const made: Dataset = { id, name, conversations, shape: found.shape.kind, file: fileName(path), sha256: digest(fileName(path)), bytes: found.bytes, created_at: Math.floor(Date.now() / 1000), folder: `${home}/${id}` };
    imported.set(id, { request, first, inspection: found });
    datasetStore().unshift(made);
    return made;
  };
  const held_out = held === 0 ? null : add(`${title} held out`, held, chosen - held);
  return { dataset: add(title, chosen - held, 0), inspection: found, held_out };
}

export const datasets: Handlers = {
  data_list: () => datasetStore(),
  data_check: check,
  data_import: bringIn,
  data_show: ({ dataset: wanted, first = 0, count = 0 }) => {
    const found = findDataset(wanted);
    return { dataset: found, inspection: inspection(found), first, conversations: datasetConversations(found, first, count) };
  },
  data_remove: ({ dataset: wanted }) => {
    const found = findDataset(wanted);
    const needs = experimentStore().find((experiment) => experiment.dataset === found.id && !['finished', 'stopped'].includes(experiment.state));
    if (needs) throw new CommandError({ code: 'dataset-in-use', message: `the experiment \`${needs.id}\` still needs the dataset \`${found.id}\``, remedy: 'Stop or delete that experiment first.' });
    datasetStore().splice(datasetStore().indexOf(found), 1);
    return { id: found.id, name: found.name, freed: found.bytes };
  },
};
