import { describe, expect, it } from 'vitest';
import { csv, seriesCsv } from './csv';
import { pick, places } from './decimate';
import { alike, difference } from './difference';
import { emptySeries } from './run-record';
import { smooth } from './smoothing';

describe('smoothing', () => {
  it('leaves a constant line where it is, from its first value on', () => {
    for (const value of smooth([2, 2, 2, 2], 0.9)) expect(value).toBeCloseTo(2, 12);
  });

  it('passes over gaps and what is no number', () => {
    expect(smooth([1, null, NaN, 1], 0.5)).toEqual([1, null, null, 1]);
  });

  it('is off at zero', () => {
    const values = [3, 1, 2];
    expect(smooth(values, 0)).toBe(values);
  });
});

describe('drawing fewer points', () => {
  it('keeps both ends and every spike', () => {
    const values = Array.from({ length: 20_000 }, () => 1);
    values[12_345] = 99;
    values[777] = -99;
    const at = places(values, 2_000);
    expect(at).not.toBeNull();
    expect(at?.length).toBeLessThanOrEqual(2_002);
    expect(at?.[0]).toBe(0);
    expect(at?.at(-1)).toBe(19_999);
    expect(at).toContain(12_345);
    expect(at).toContain(777);
    expect([...(at ?? [])].sort((one, other) => one - other)).toEqual(at);
  });

  it('draws a short line whole', () => {
    const values = [1, 2, 3];
    expect(pick(values, places(values, 10))).toBe(values);
  });
});

describe('CSV', () => {
  it('quotes separators, quotes and line ends', () => {
    expect(csv(['a', 'b'], [['x,y', 'say "hi"'], ['two\nlines', null]])).toBe('a,b\r\n"x,y","say ""hi"""\r\n"two\nlines",\r\n');
  });

  it('has a line for the evaluation before the first step', () => {
    const series = { ...emptySeries, step: [1], epoch: [0.5], active: [1], loss: [2], learningRate: [1e-4], gradientNorm: [1], trainedTokens: [5], tokensPerSecond: [9], memory: [7], evaluations: [{ step: 0, active: 0, loss: 4, perplexity: 54, best: true }, { step: 1, active: 1, loss: 3, perplexity: 20, best: true }] };
    expect(seriesCsv(series).trim().split('\r\n').slice(1)).toEqual(['0,0,0,,4,,,,,', '1,0.5,1,2,3,0.0001,1,5,9,7']);
  });
});

describe('the difference of two texts', () => {
  it('says what is added and what is missing, word by word', () => {
    expect(difference('two flat whites', 'two oat whites')).toEqual([
      { text: 'two ', kind: 'same' },
      { text: 'flat', kind: 'missing' },
      { text: 'oat', kind: 'added' },
      { text: ' whites', kind: 'same' },
    ]);
  });

  it('puts both texts together again, whatever the script', () => {
    const [reference, text] = ['富士山です。標高は3776メートル', '富士山。高さは3778 m 🏔️'];
    const pieces = difference(reference, text);
    expect(pieces.filter(({ kind }) => kind !== 'added').map(({ text }) => text).join('')).toBe(reference);
    expect(pieces.filter(({ kind }) => kind !== 'missing').map(({ text }) => text).join('')).toBe(text);
  });

  it('knows texts that have nothing in common', () => {
    expect(alike(difference('{"table": 9}', '{"table": 7}'))).toBe(true);
    expect(alike(difference('{"table": 9, "items": []}', 'Gladly: one chai to table nine. We will have it ready.'))).toBe(false);
    expect(alike(difference('a long answer', ''))).toBe(false);
  });

  it('stays quick on long texts', () => {
    const long = 'word '.repeat(40_000);
    const began = performance.now();
    expect(difference(long, `${long}end`).length).toBeGreaterThan(1);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
