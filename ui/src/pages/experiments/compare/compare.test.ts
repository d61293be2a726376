import { describe, expect, test } from 'vitest';
import type { Experiment } from '../../../backend/generated/types';
import { definitions } from '../../../backend/memory/settings';
import { overlay } from './curves';
import { results, settingRows } from './results';

const run = (more: Partial<Experiment>) => ({ dataset: 'd', step: 10, total_steps: 10, epoch: 1, loss: null, validation_loss: null, best_validation_loss: null, best_step: null, tokens_per_second: null, peak_memory: null, started_at: null, ended_at: null, state: 'finished', ...more }) as Experiment;
const row = (rows: { key: string; cells: { text: string; best?: boolean }[] }[], key: string) => rows.find((one) => one.key === key)?.cells.map(({ text, best }) => (best ? `${text}*` : text));

describe('curves on one axis', () => {
  test('each keeps its own places', () => {
    const { x, raw } = overlay([{ x: [1, 2, 4], y: [9, 8, 6] }, { x: [2, 3], y: [5, 4] }], 0);
    expect(x).toEqual([1, 2, 3, 4]);
    expect(raw).toEqual([[9, 8, null, 6], [null, 5, 4, null]]);
  });

  test('a long curve is thinned, and its spike stays', () => {
    const y = Array.from({ length: 50_000 }, (_, at) => (at === 31_417 ? 100 : 1));
    const { x, raw } = overlay([{ x: y.map((_, at) => at), y }], 0);
    expect(x.length).toBeLessThan(2_500);
    expect(Math.max(...raw[0].map(Number))).toBe(100);
  });

  test('smoothing happens before thinning', () => {
    const y = Array.from({ length: 1_000 }, (_, at) => at % 2);
    expect(overlay([{ x: y.map((_, at) => at), y }], 0.98).smoothed[0].at(-1)).toBeCloseTo(0.5, 1);
  });
});

describe('results', () => {
  test('the best is marked where there is a choice', () => {
    const rows = results([run({ best_validation_loss: 0.8, best_step: 280, peak_memory: 2e9 }), run({ best_validation_loss: 0.7, best_step: 840, peak_memory: 2e9 }), undefined]);
    expect(row(rows, 'best')).toEqual(['0.800 at 280', '0.700 at 840*', '–']);
    expect(row(rows, 'memory')).toEqual(['2 GB', '2 GB', '–']);
  });

  test('losses on different data are not ranked, speed is', () => {
    const rows = results([run({ best_validation_loss: 0.8, tokens_per_second: 10 }), run({ dataset: 'other', best_validation_loss: 0.7, tokens_per_second: 90 })]);
    expect(row(rows, 'best')).toEqual(['0.800', '0.700']);
    expect(row(rows, 'rate')).toEqual(['10 tok/s', '90 tok/s*']);
  });
});

test('settings that agree are left out unless all are asked for; a run that is not read yet differs in nothing', () => {
  const one = Object.fromEntries(definitions.map(({ key, default: value }) => [key, value]));
  const runs = [{ ...one, lora_r: 16 }, one, null];
  expect(settingRows(definitions, runs, false).map(({ key, cells }) => [key, ...cells.map(({ text }) => text)])).toEqual([['lora_r', '16', '4', '']]);
  expect(settingRows(definitions, runs, true).length).toBe(definitions.length - 1);
});
