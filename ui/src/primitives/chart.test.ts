import { expect, test } from 'vitest';
import { apart, chartToSvg, nearest, ticks, valueAt } from './chart';

test('the cursor finds the nearest step', () => {
  expect(nearest([1, 5, 9], 6)).toBe(1);
  expect(nearest([1, 5, 9], 100)).toBe(2);
  expect(nearest([1, 5, 9], -4)).toBe(0);
  expect(nearest([], 3)).toBe(-1);
});

test('a series measured now and then shows its last value', () => {
  expect(valueAt([null, 2, null, null, 1], 3)).toBe(2);
  expect(valueAt([null, 2], 0)).toBeNull();
});

test('ticks are round and lie within', () => {
  expect(ticks(0, 1120, 7)).toEqual([0, 200, 400, 600, 800, 1000]);
  expect(ticks(0.05, 0.09)).toEqual([0.05, 0.06, 0.07, 0.08, 0.09]);
  expect(ticks(3, 3)).toEqual([3]);
});

// A picture must be one even where a loss is not a number or a name holds markup.
test('ticks between whole steps do not repeat their label', () => {
  expect(apart(['0', '0', '1', '1', '2'])).toEqual(['0', '', '1', '', '2']);
});

test('a picture survives odd values and names', () => {
  const drawing = { title: 'Loss <b>', x: [1, 2, 3, 4], xLabel: 'step', formatX: String, format: String, log: true };
  const svg = chartToSvg({ ...drawing, series: [{ label: 'a & b', values: [2, null, NaN, 0], color: 1 }] }, () => '#000000');
  expect(svg).toContain('Loss &lt;b&gt;');
  expect(svg).not.toMatch(/NaN|Infinity|<b>/);
});
