import { CommandError } from '../backend';
import type { ColumnChoice, Conversation, ProblemKind, Shape } from '../generated/types';
import type { DataRow } from './data-content';
import type { DataFile } from './data-files';

// As the studio guesses: by the names of columns, then by what they hold.
const answers = ['answer', 'output', 'response', 'assistant', 'chosen', 'completion', 'target'];
const prompts = ['instruction', 'prompt', 'question', 'query', 'user', 'human', 'input'];

export function shapeOf(file: DataFile, choice?: Partial<ColumnChoice>): Shape {
  const names = file.columns.map((column) => column.name);
  const chosen = [choice?.system, ...(choice?.prompt ?? []), choice?.answer, choice?.messages, choice?.text].filter((name): name is string => Boolean(name));
  const missing = chosen.find((name) => !names.includes(name));
  if (missing !== undefined) throw new CommandError({ code: 'data-unknown-column', message: `there is no column named ${missing}; the columns are ${names.join(', ')}`, remedy: 'Choose another column.' });
  const shape = guess(file, names, choice);
  if (shape === null) {
    throw new CommandError({
      code: 'data-unknown-shape',
      message: `the columns ${names.join(', ')} are not known to make a conversation`,
      remedy: 'Expected are `messages`, `conversations`, `instruction` and `output`, `prompt` and `answer`, or `text`. Name the columns to use, for example prompt=…, answer=….',
    });
  }
  if (typeof choice?.system === 'string' && shape.kind !== 'text') shape.system = choice.system || null;
  return shape;
}

function guess(file: DataFile, names: string[], choice?: Partial<ColumnChoice>): Shape | null {
  const first = (wanted: string[]) => wanted.find((name) => names.includes(name)) ?? null;
  const system = first(['system', 'system_prompt']);
  if (choice?.text) return { kind: 'text', column: choice.text };
  const list = choice?.messages ?? file.columns.find((column) => column.kind === 'list')?.name;
  const prompt = choice?.prompt?.length ? choice.prompt : [first(prompts)].filter((name) => name !== null);
  const answer = choice?.answer ?? first(answers);
  const asked = Boolean(choice?.prompt?.length || choice?.answer) && !choice?.messages;
  if (list && !asked) {
    const value = file.row(0)[list];
    const kind = Array.isArray(value) && typeof value[0] === 'object' && value[0] !== null && 'from' in value[0] ? 'share_gpt' : 'messages';
    return { kind, column: list, system, answer: choice?.answer ?? null };
  }
  if (!asked && names.includes('instruction') && names.includes('output')) return { kind: 'alpaca', instruction: 'instruction', input: names.includes('input') ? 'input' : null, output: 'output', system };
  if (prompt.length > 0 && answer !== null) return { kind: 'prompt_answer', system, prompt, separator: '\n\n', answer };
  const text = first(['text', 'content', 'document', 'body']) ?? (names.length === 1 ? names[0] : null);
  return text === null ? null : { kind: 'text', column: text };
}

export type Fault = Extract<ProblemKind, 'empty_prompt' | 'empty_answer' | 'empty_text' | 'no_messages' | 'no_answer' | 'unknown_role'>;

const text = (row: DataRow, column: string | null | undefined): string => (column ? String(row[column] ?? '') : '');

/** The conversation of a row, or what is wrong with it. */
export function conversationOf(row: DataRow, shape: Shape): Conversation | Fault {
  if (shape.kind === 'text') return text(row, shape.column).trim() === '' ? 'empty_text' : { turns: [{ role: 'text', content: text(row, shape.column) }] };
  const system = text(row, shape.system);
  const turns: Conversation['turns'] = system === '' ? [] : [{ role: 'system', content: system }];
  if (shape.kind === 'messages' || shape.kind === 'share_gpt') {
    const list = row[shape.column];
    if (!Array.isArray(list) || list.length === 0) return 'no_messages';
    for (const message of list as Record<string, string>[]) {
      const role = { human: 'user', gpt: 'assistant' }[message.role ?? message.from] ?? message.role ?? message.from;
      if (role !== 'system' && role !== 'user' && role !== 'assistant') return 'unknown_role';
      turns.push({ role, content: message.content ?? message.value ?? '' });
    }
    if (shape.answer) turns.push({ role: 'assistant', content: text(row, shape.answer) });
    if (turns.at(-1)?.role !== 'assistant') return 'no_answer';
  } else {
    const columns = shape.kind === 'alpaca' ? [shape.instruction, shape.input ?? ''] : shape.prompt;
    const prompt = columns.map((column) => text(row, column)).filter((part) => part.trim() !== '').join('\n\n');
    if (prompt === '') return 'empty_prompt';
    turns.push({ role: 'user', content: prompt }, { role: 'assistant', content: text(row, shape.kind === 'alpaca' ? shape.output : shape.answer) });
  }
  return turns.some((turn) => turn.role === 'assistant' && turn.content.trim() === '') ? 'empty_answer' : { turns };
}

/** Beyond this many rows only the first are really looked at. */
export const examined = 8_000;

/** Some of the conversations a file makes, counted without the rows that make none. */
export function conversationsOf(file: DataFile, shape: Shape, first: number, count: number): Conversation[] {
  const found: Conversation[] = [];
  let place = file.rows > examined ? first : 0;
  for (let row = file.rows > examined ? first : 0; row < file.rows && found.length < count; row += 1) {
    const conversation = conversationOf(file.row(row), shape);
    if (typeof conversation === 'string') continue;
    if (place >= first) found.push(conversation);
    place += 1;
  }
  return found;
}
