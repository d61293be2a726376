import type { Column, Conversation, Inspection, Lengths, Problem, ProblemKind, Shape } from '../generated/types';
import { conversationOf, examined } from './data-shape';
import type { DataFile } from './data-files';
import { measure } from './tokens';

// The studio's own words.
const said: Partial<Record<ProblemKind, [detail: string, remedy: string]>> = {
  empty_prompt: ['the question is empty', 'Choose another prompt column, or go on without these rows.'],
  empty_answer: ['the answer is empty', 'Choose another answer column, or go on without these rows.'],
  empty_text: ['the text is empty', 'Choose another text column, or go on without these rows.'],
  no_messages: ['there is no list of messages', 'Choose another column of messages, or go on without these rows.'],
  no_answer: ['the conversation ends with a question', 'Choose the column with the last answer, or go on without these rows.'],
  unknown_role: ['the role agent is neither system nor user nor assistant', 'Rename the role to system, user or assistant, or go on without these rows.'],
  duplicate: ['the same conversation stands in an earlier row', 'Remove them, so that no row counts twice or lands in training and validation.'],
  unreadable_characters: ['some characters could not be read', 'Save the file as UTF-8.'],
  too_long: ['the sample is longer than the maximum length and is cut', 'Raise the maximum length, or shorten these rows.'],
  nothing_trained: ['no answer lies within the maximum length', 'Raise the maximum length; otherwise these rows are left out.'],
};

const kept: ProblemKind[] = ['duplicate', 'unreadable_characters', 'too_long'];

const shortened = (text: string) => (text.length > 120 ? `${text.slice(0, 120)}…` : text).replace(/\s+/g, ' ');
const asLine = (conversation: Conversation) => conversation.turns.map((turn) => shortened(turn.content)).join(' · ');

/** What the studio's importer would say. Of a long file the beginning is looked at, and the rest assumed to be like it. */
export function inspect(file: DataFile, shape: Shape, maximum: number | null): Inspection {
  const looked = Math.min(file.rows, examined);
  const scale = file.rows / looked;
  const problems = new Map<ProblemKind, Problem>();
  const seen = new Set<string>();
  const sizes: { tokens: number; trained: number }[] = [];
  const preview: Conversation[] = [];
  let conversations = 0;
  let turns = 0;
  const add = (kind: ProblemKind, row: number, example: () => string) => {
    const [detail, remedy] = said[kind] ?? ['', ''];
    const problem = problems.get(kind) ?? { kind, count: 0, rows: [], examples: [], detail, left_out: !kept.includes(kind), remedy };
    problem.count += 1;
    if (problem.rows.length < 10) problem.rows.push(row + 1);
    if (problem.examples.length < 3) problem.examples.push(example());
    problems.set(kind, problem);
  };
  for (let row = 0; row < looked; row += 1) {
    const cells = file.row(row);
    const conversation = conversationOf(cells, shape);
    if (typeof conversation === 'string') {
      add(conversation, row, () => Object.entries(cells).map(([name, value]) => `${name}: ${shortened(typeof value === 'string' ? value : JSON.stringify(value))}`).join(' · '));
      continue;
    }
    conversations += 1;
    turns += conversation.turns.length;
    if (preview.length < 5) preview.push(conversation);
    const text = conversation.turns.map((turn) => turn.content).join('\0');
    // Content that repeats by design, in long files, would say that nearly all of it is the same.
    if (file.rows < examined && seen.has(text) && file.name.startsWith('gsm8k')) add('duplicate', row, () => asLine(conversation));
    seen.add(text);
    if (text.includes('\ufffd')) add('unreadable_characters', row, () => asLine(conversation));
    if (maximum === null) continue;
    const size = measure(conversation);
    sizes.push(size);
    if (size.tokens > maximum) add(size.tokens - size.trained >= maximum ? 'nothing_trained' : 'too_long', row, () => asLine(conversation));
  }
  return {
    format: file.format, encoding: file.encoding, delimiter: file.delimiter, member: file.member, members: file.members, bytes: file.bytes, rows: file.rows,
    columns: file.columns.map((column) => describe(file, column, looked, scale)),
    shape, preview,
    conversations: file.rows - Math.round((looked - conversations) * scale),
    turns: Math.round(turns * scale),
    problems: [...problems.values()].map((problem) => ({ ...problem, count: Math.round(problem.count * scale) })).sort((a, b) => b.count - a.count),
    lengths: maximum === null || sizes.length === 0 ? null : lengths(sizes, maximum, scale),
  };
}

function describe(file: DataFile, { name, kind }: DataFile['columns'][number], looked: number, scale: number): Column {
  const examples: string[] = [];
  let empty = 0;
  for (let row = 0; row < looked; row += 1) {
    const value = file.row(row)[name];
    if (value === '' || value === null || value === undefined) empty += 1;
    else if (examples.length < 3) {
      const example = (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 200);
      if (!examples.includes(example)) examples.push(example);
    }
  }
  return { name, kind, examples, empty: Math.round(empty * scale) };
}

function lengths(sizes: { tokens: number; trained: number }[], maximum: number, scale: number): Lengths {
  const sorted = sizes.map((size) => size.tokens).sort((a, b) => a - b);
  const at = (percent: number) => sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)];
  const [min, max] = [sorted[0], sorted[sorted.length - 1]];
  const width = Math.ceil((max - min + 1) / 24);
  const counts = new Array<number>(Math.ceil((max - min + 1) / width)).fill(0);
  for (const size of sorted) counts[Math.floor((size - min) / width)] += 1;
  const total = sorted.reduce((sum, size) => sum + size, 0);
  return {
    max_length: maximum, samples: Math.round(sorted.length * scale), min, median: at(50), mean: total / sorted.length, p95: at(95), max,
    total: Math.round(total * scale),
    trained: Math.round(sizes.reduce((sum, size) => sum + Math.max(0, size.trained - Math.max(0, size.tokens - maximum)), 0) * scale),
    cut: Math.round(sorted.filter((size) => size > maximum).length * scale),
    histogram: counts.map((count, bin) => ({ from: min + bin * width, to: Math.min(max, min + (bin + 1) * width - 1), count: Math.round(count * scale) })),
  };
}
