import { describe, expect, it } from 'vitest';
import type { EvaluationRow, KeptEvaluation } from '../../backend/generated/types';
import { chosen, joined, newest, tally } from './predictions';

const row = (row: number, prediction: string, loss: number | null): EvaluationRow => ({ row, prompt: `Question ${row}`, answer: 'yes', prediction, exact_match: prediction === 'yes', loss, trained_tokens: 3 });
const kept = (weights: Partial<KeptEvaluation['weights']>, rows: EvaluationRow[], time = 1): KeptEvaluation => ({
  time,
  weights: { model: null, adapter: null, experiment: null, checkpoint: null, ...weights },
  evaluation: { model: 'm', data: 'd', conversations: rows.length, trained_tokens: 9, loss: 1, perplexity: 2, exact_matches: 1, answered: 3, exact_match: 0.3, seconds: 1, rows },
});

const tuned = kept({ experiment: 'run' }, [row(4, 'yes', 0.1), row(2, 'no', 0.9), row(9, 'yes', null)]);
const base = kept({ model: 'base' }, [row(4, 'no', 2), row(2, 'yes', 0.2)]);

describe('predictions', () => {
  it('takes the newest of each kind, and no adapter for a base model', () => {
    const older = kept({ experiment: 'run' }, [], 0);
    const adapter = kept({ model: 'base', adapter: '/x' }, []);
    expect(newest([adapter, tuned, base, older])).toEqual({ base, tuned });
  });

  it('joins both models row by row', () => {
    const rows = joined(base, tuned);
    expect(rows.map(({ row }) => row)).toEqual([2, 4, 9]);
    expect(rows[0]).toMatchObject({ base: 'yes', tuned: 'no', baseExact: true, exact: false });
    expect(rows[2].base).toBeNull();
  });

  it('finds what tuning fixed and what it broke', () => {
    const rows = joined(base, tuned);
    expect([tally(rows, 'wrong'), tally(rows, 'fixed'), tally(rows, 'broken')]).toEqual([1, 1, 1]);
    expect(chosen(rows, 'fixed', '', null).map(({ row }) => row)).toEqual([4]);
  });

  it('sorts by loss with what has none at the end, either way', () => {
    const rows = joined(base, tuned);
    expect(chosen(rows, 'all', '', { key: 'loss', direction: 'descending' }).map(({ row }) => row)).toEqual([2, 4, 9]);
    expect(chosen(rows, 'all', '', { key: 'loss', direction: 'ascending' }).map(({ row }) => row)).toEqual([4, 2, 9]);
    expect(chosen(rows, 'all', 'question 9', null).map(({ row }) => row)).toEqual([9]);
  });
});
