import { expect, test } from 'vitest';
import { numberText, parseNumber, plainNumber, stepped } from './number-text';

test('numbers are read as people type them', () => {
  expect(parseNumber('2e-4')).toBe(0.0002);
  expect(parseNumber('1\u202f000')).toBe(1000);
  expect(parseNumber('0,5')).toBe(0.5);
  expect(parseNumber('.5')).toBe(0.5);
  expect(parseNumber('−3')).toBe(-3);
  for (const text of ['', 'ten', '1e', '1,2,3', 'Infinity']) expect(parseNumber(text), text).toBeNull();
});

test('what is shown can be typed again', () => {
  for (const value of [0.0001, 2e-5, 0.002, 0, 16, 131072, -1, 0.1 + 0.2]) expect(parseNumber(numberText(value))).toBeCloseTo(value, 12);
  expect(numberText(0.0001)).toBe('1e-4');
  expect(numberText(0.1 + 0.2)).toBe('0.3');
});

test('without a step a number moves by its own last digit', () => {
  expect(stepped(0.0001, 1, undefined, 0, 1)).toBe(0.0002);
  expect(stepped(0.0001, -1, undefined, 0, 1)).toBe(0.00009);
  expect(stepped(8, 1, 1, 1, 8)).toBe(8);
  expect(stepped(1, -1, 1, 1, 8)).toBe(1);
});

test('assistive technology gets no exponents', () => {
  expect(plainNumber(1e-9)).toBe('0.000000001');
  expect(plainNumber(100)).toBe('100');
  expect(plainNumber(Infinity)).toBeUndefined();
});
