import { describe, expect, test } from 'vitest';
import type { Experiment } from '../../../backend/generated/types';
import { matches, RunList, sorted, type Names } from './list.svelte';

const names: Names = { dataset: (id) => (id === 'gsm8k' ? 'Grade school maths' : id), model: (id) => id };
const run = (id: string, more: Partial<Experiment> = {}) => ({ id, name: id, dataset: 'gsm8k', model: 'Qwen/Qwen3-0.6B', method: 'lora', state: 'finished', created_at: 1, best_validation_loss: null, ...more }) as Experiment;
const list = (...ids: string[]) => new RunList({ experiments: ids.map((id, at) => run(id, { created_at: 10 - at })) } as never, () => names);

describe('runs in order', () => {
  test('what has no value comes last either way', () => {
    const runs = [run('a', { best_validation_loss: 2 }), run('b'), run('c', { best_validation_loss: 1 })];
    expect(sorted(runs, { key: 'best', direction: 'ascending' }, names).map(({ id }) => id)).toEqual(['c', 'a', 'b']);
    expect(sorted(runs, { key: 'best', direction: 'descending' }, names).map(({ id }) => id)).toEqual(['a', 'c', 'b']);
  });

  test('a search knows the names of datasets', () => {
    expect(matches(run('x'), 'school qwen', names)).toBe(true);
    expect(matches(run('x'), 'school llama', names)).toBe(false);
  });
});

describe('choosing', () => {
  test('a range goes from the last one chosen, in either direction', () => {
    const runs = list('a', 'b', 'c', 'd');
    runs.toggle('c');
    runs.toggle('a', true);
    expect(runs.picked.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  });

  test('what a filter hides is not acted on', () => {
    const runs = list('alpha', 'beta');
    runs.toggleAll();
    runs.query = 'beta';
    expect(runs.picked.map(({ id }) => id)).toEqual(['beta']);
  });
});
