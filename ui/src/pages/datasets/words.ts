import type { ColumnKind, Inspection, Problem, ProblemKind, Shape } from '../../backend/generated/types';
import { bytes, count, counted } from '../../format';

const shapes: Record<Shape['kind'], [short: string, long: string]> = {
  messages: ['Messages', 'Lists of messages with role and content'],
  share_gpt: ['ShareGPT', 'Lists of messages as ShareGPT writes them'],
  alpaca: ['Instructions', 'Instruction, what it is about, and output'],
  prompt_answer: ['Questions', 'One question and one answer in each row'],
  text: ['Plain text', 'Plain text, learnt as it is'],
};

/** A dataset's shape in a word or two; what the studio says where the window does not know it yet. */
export function shapeName(kind: string): string {
  return kind in shapes ? shapes[kind as Shape['kind']][0] : kind;
}

export function shapeSentence(shape: Shape): string {
  return shapes[shape.kind][1];
}

export const formatNames: Record<Inspection['format'], string> = { csv: 'CSV', tsv: 'TSV', json: 'JSON', json_lines: 'JSONL', parquet: 'Parquet' };

export const kindNames: Record<ColumnKind, string> = { text: 'text', integer: 'whole number', number: 'number', boolean: 'yes or no', list: 'list', object: 'object', other: 'other' };

const separators: Record<string, string> = { ',': 'comma', ';': 'semicolon', '\t': 'tab', '|': 'bar', ' ': 'space' };

/** Format, size, rows, columns, and how the text is written, in one line. */
export function factsOf(found: Inspection): string[] {
  const facts = [formatNames[found.format], bytes(found.bytes), counted(found.rows, 'row'), counted(found.columns.length, 'column')];
  if (found.encoding && found.encoding !== 'UTF-8') facts.push(found.encoding);
  if (found.delimiter && found.delimiter !== ',') facts.push(`separated by ${separators[found.delimiter] ?? found.delimiter}`);
  return facts;
}

const problems: Record<ProblemKind, string> = {
  empty_prompt: 'without a question',
  empty_answer: 'without an answer',
  no_answer: 'that end with a question',
  empty_text: 'without text',
  no_messages: 'without messages',
  roles_out_of_order: 'in which user and assistant do not take turns',
  unknown_role: 'with a speaker of unknown role',
  not_text: 'with more than text',
  duplicate: 'that repeat an earlier row',
  unreadable_characters: 'with unreadable characters',
  too_long: 'longer than the maximum length',
  nothing_trained: 'whose answer begins after the maximum length',
  template_refused: "that the model's template refuses",
};

/** `12 rows without an answer` */
export function problemTitle({ kind, count: rows }: Pick<Problem, 'kind' | 'count'>): string {
  const one = rows === 1 ? problems[kind].replace(/^that (end|repeat)\b/, 'that $1s') : problems[kind];
  return `${counted(rows, 'row')} ${one}`;
}

/** `Rows 88, 4 120 and 6 007`; the first ten are known. */
export function rowList({ rows, count: all }: Pick<Problem, 'rows' | 'count'>): string {
  const named = rows.map((row) => count(row));
  const more = all - rows.length;
  if (more > 0) return `${named.length === 1 ? 'Row' : 'Rows'} ${named.join(', ')} and ${count(more)} more`;
  if (named.length === 1) return `Row ${named[0]}`;
  return `Rows ${named.slice(0, -1).join(', ')} and ${named.at(-1)}`;
}
