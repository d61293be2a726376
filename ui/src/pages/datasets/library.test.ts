import { describe, expect, it } from 'vitest';
import type { Dataset, Experiment } from '../../backend/generated/types';
import { listed, usersOf } from './library.svelte';

const dataset = (id: string, name: string, conversations: number, more: Partial<Dataset> = {}): Dataset => ({ id, name, conversations, shape: 'messages', file: `${id}.jsonl`, sha256: '', bytes: 1, created_at: 0, folder: '', ...more });
const list = [dataset('a', 'Part 10', 5), dataset('b', 'part 9', 50, { shape: 'alpaca' }), dataset('c', 'Übungen', 7, { file: 'math.parquet' })];
const none = () => 0;

describe('the list', () => {
  it('is found by words of name, file and shape, in any order', () => {
    expect(listed(list, 'parquet ÜBUNG', { key: 'name', direction: 'ascending' }, none).map(({ id }) => id)).toEqual(['c']);
    expect(listed(list, 'instructions', { key: 'name', direction: 'ascending' }, none).map(({ id }) => id)).toEqual(['b']);
  });

  it('is sorted as people count, either way', () => {
    expect(listed(list, '', { key: 'name', direction: 'ascending' }, none).map(({ name }) => name)).toEqual(['part 9', 'Part 10', 'Übungen']);
    expect(listed(list, '', { key: 'conversations', direction: 'descending' }, none).map(({ id }) => id)).toEqual(['b', 'c', 'a']);
  });

  it('knows who uses it', () => {
    const experiments = [{ name: 'x', dataset: 'a' }, { name: 'y', dataset: 'b' }] as Experiment[];
    expect(usersOf(list[0], experiments).map(({ name }) => name)).toEqual(['x']);
    expect(usersOf(list[0], undefined)).toEqual([]);
  });
});
