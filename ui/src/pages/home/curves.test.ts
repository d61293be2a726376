import { expect, test } from 'vitest';
import type { EventsPage, LoggedEvent } from '../../backend/generated/types';
import { emptyCurve, extended, thinned } from './curves';

const page = (events: unknown[], next: number) => ({ events: events as LoggedEvent[], next }) as EventsPage;
const step = (at: number, loss: number) => ({ event: 'step', step: at, loss });

test('a continued run takes back the steps after its checkpoint', () => {
  const before = extended(emptyCurve, page([{ event: 'started', resumed_from: null }, step(1, 3), step(2, 2), { event: 'checkpoint', step: 2 }, step(3, 9)], 5));
  expect(before).toEqual({ points: [{ step: 1, loss: 3 }, { step: 2, loss: 2 }, { step: 3, loss: 9 }], checkpoint: 2, next: 5 });
  const after = extended(before, page([{ event: 'started', resumed_from: 2 }, step(3, 1)], 7));
  expect(after).toEqual({ points: [{ step: 1, loss: 3 }, { step: 2, loss: 2 }, { step: 3, loss: 1 }], checkpoint: 2, next: 7 });
  expect(before.points).toHaveLength(3);
});

test('a run that begins anew has no checkpoint and no steps', () => {
  const before = extended(emptyCurve, page([step(1, 3), { event: 'checkpoint', step: 1 }], 2));
  expect(extended(before, page([{ event: 'started', resumed_from: null }], 3))).toEqual({ points: [], checkpoint: null, next: 3 });
});

test('a long curve becomes means of equal stretches, a short one stays', () => {
  expect(thinned([1, 3, 5, 7], 2)).toEqual([2, 6]);
  expect(thinned([1, 3], 2)).toEqual([1, 3]);
  expect(thinned(Array.from({ length: 1_001 }, () => 4), 64)).toEqual(Array.from({ length: 64 }, () => 4));
});
