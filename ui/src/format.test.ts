import { expect, test } from 'vitest';
import * as format from './format';

const plain = (text: string) => text.replaceAll(format.thinSpace, ' ').replaceAll('\u2212', '-');

test('counts are grouped, and one thing is not plural', () => {
  expect(format.count(7473)).toBe('7\u202f473');
  expect(plain(format.count(1234567))).toBe('1 234 567');
  expect(plain(format.count(-1234))).toBe('-1 234');
  expect(format.count(-0.2)).toBe('0');
  expect(plain(format.counted(1, 'row'))).toBe('1 row');
  expect(plain(format.counted(7473, 'row'))).toBe('7 473 rows');
  expect(format.counted(0, 'query', 'queries')).toBe('0 queries');
});

test('sizes change unit before they show four digits', () => {
  expect(format.bytes(0)).toBe('0 B');
  expect(format.bytes(999)).toBe('999 B');
  expect(format.bytes(9_214_000_000)).toBe('9.2 GB');
  expect(format.bytes(27_000_000_000)).toBe('27 GB');
  expect(format.bytes(999_960_000)).toBe('1 GB');
  expect(format.bytes(412_300_000)).toBe('412 MB');
  expect(plain(format.bytes(-6_400_000_000))).toBe('-6.4 GB');
});

test('parameters', () => {
  expect(format.short(1_845_248)).toBe('1.8 M');
  expect(format.short(596_049_920)).toBe('596 M');
  expect(format.short(7_248_023_552)).toBe('7.2 B');
  expect(format.short(999_900_000)).toBe('1 B');
  expect(format.short(12)).toBe('12');
});

test('a loss keeps the digits that matter', () => {
  expect(format.loss(2.3111)).toBe('2.31');
  expect(format.loss(0.7421)).toBe('0.742');
  expect(format.loss(0.0832)).toBe('0.083');
  expect(format.loss(0.00412)).toBe('0.0041');
  expect(format.loss(0.000041)).toBe('4.1e-5');
  expect(format.loss(14.28)).toBe('14.3');
  expect(format.loss(0)).toBe('0');
  expect(format.loss(NaN)).toBe('not a number');
  expect(format.loss(Infinity)).toBe('∞');
});

test('rates and shares', () => {
  expect(format.tokenRate(134.4)).toBe('134 tok/s');
  expect(format.tokenRate(4.21)).toBe('4.2 tok/s');
  expect(plain(format.percent(0.42))).toBe('42 %');
  expect(plain(format.percent(0.034, 1))).toBe('3.4 %');
  expect(format.scientific(0.0002)).toBe('2e-4');
  expect(format.scientific(0.000015)).toBe('1.5e-5');
});

test('durations', () => {
  expect(format.duration(0.84)).toBe('0.8 s');
  expect(format.duration(42.4)).toBe('42 s');
  expect(format.duration(192)).toBe('3 m 12 s');
  expect(format.duration(7500)).toBe('2 h 5 m');
  expect(format.duration(3600)).toBe('1 h');
  expect(format.duration(100 * 3600)).toBe('4 d 4 h');
});

test('time left is never more exact than an estimate can be', () => {
  expect(format.timeLeft(null)).toBe('');
  expect(format.timeLeft(4)).toBe('a few seconds left');
  expect(format.timeLeft(38)).toBe('about 40 s left');
  expect(format.timeLeft(58)).toBe('about 1 min left');
  expect(format.timeLeft(240)).toBe('about 4 min left');
  expect(format.timeLeft(3600)).toBe('about 1 h left');
  expect(format.timeLeft(5400)).toBe('about 1.5 h left');
  expect(format.timeLeft(4 * 86400)).toBe('about 4 days left');
});

test('dates are relative while that is shorter', () => {
  const now = new Date(2026, 10, 24, 12, 0, 0).getTime() / 1000;
  expect(format.ago(now - 5, now)).toBe('just now');
  expect(format.ago(now - 300, now)).toBe('5 min ago');
  expect(format.ago(now - 7200, now)).toBe('2 h ago');
  expect(format.ago(now - 20 * 3600, now)).toBe('yesterday');
  expect(format.ago(now - 3 * 86400, now)).toBe('3 days ago');
  expect(format.ago(now - 12 * 86400, now)).toBe('12 Nov');
  expect(format.ago(now - 400 * 86400, now)).toBe('20 Oct 2025');
});
