import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { drawSoon } from './drawing';

let frames: (() => void)[] = [];
let now = 0;
let drawn: string[] = [];

/** A drawing that takes so many milliseconds. */
const drawing = (name: string, takes: number) => () => {
  now += takes;
  drawn.push(name);
};

beforeEach(() => {
  [frames, now, drawn] = [[], 0, []];
  vi.stubGlobal('requestAnimationFrame', (frame: () => void) => frames.push(frame));
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test('quick drawings share a frame, each once, and none that was taken back', () => {
  const first = drawing('first', 2);
  drawSoon(first);
  drawSoon(drawing('second', 2));
  drawSoon(first);
  drawSoon(drawing('third', 2))();
  drawSoon(drawing('fourth', 2));
  expect(frames.length).toBe(1);
  frames.shift()?.();
  expect(drawn).toEqual(['first', 'second', 'fourth']);
  expect(frames.length).toBe(0);
});

test('slow drawings have a frame each', () => {
  drawSoon(drawing('first', 20));
  drawSoon(drawing('second', 5));
  drawSoon(drawing('third', 5));
  drawSoon(drawing('fourth', 5));
  frames.shift()?.();
  expect(drawn).toEqual(['first']);
  frames.shift()?.();
  expect(drawn).toEqual(['first', 'second', 'third']);
  frames.shift()?.();
  expect(drawn).toEqual(['first', 'second', 'third', 'fourth']);
  expect(frames.length).toBe(0);
});

test('a drawing that asks again has the next frame, and one taken back meanwhile is not drawn', () => {
  let takeBack = () => {};
  let asked = 0;
  const again = () => {
    drawn.push(`again ${(asked += 1)}`);
    takeBack();
    if (asked === 1) drawSoon(again);
  };
  drawSoon(again);
  takeBack = drawSoon(drawing('never', 1));
  frames.shift()?.();
  expect(drawn).toEqual(['again 1']);
  frames.shift()?.();
  expect(drawn).toEqual(['again 1', 'again 2']);
  expect(frames.length).toBe(0);
});
