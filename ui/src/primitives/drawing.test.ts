import { expect, test, vi } from 'vitest';
import { drawSoon } from './drawing';

test('one drawing a frame, each once, and none that was taken back', () => {
  const frames: (() => void)[] = [];
  vi.stubGlobal('requestAnimationFrame', (frame: () => void) => frames.push(frame));
  const drawn: string[] = [];
  const first = () => void drawn.push('first');
  const second = () => void drawn.push('second');
  drawSoon(first);
  drawSoon(second);
  drawSoon(first);
  const takeBack = drawSoon(() => void drawn.push('third'));
  takeBack();
  expect(frames.length).toBe(1);
  frames.shift()?.();
  expect(drawn).toEqual(['first']);
  frames.shift()?.();
  expect(drawn).toEqual(['first', 'second']);
  frames.shift()?.();
  expect(frames.length).toBe(0);
  vi.unstubAllGlobals();
});
