import { expect, test } from 'vitest';
import { rank, score } from './fuzzy';
import { keysOf, matches } from './shortcuts';

const press = (key: string, more: Partial<KeyboardEvent> = {}) => ({ key, code: '', metaKey: false, ctrlKey: false, shiftKey: false, altKey: false, ...more });

test('Mod is the key of the platform, and the other one does not count', () => {
  expect(matches('Mod+K', press('k', { metaKey: true }), true)).toBe(true);
  expect(matches('Mod+K', press('k', { ctrlKey: true }), true)).toBe(false);
  expect(matches('Mod+K', press('k', { ctrlKey: true }), false)).toBe(true);
  expect(matches('Mod+K', press('K', { ctrlKey: true, shiftKey: true }), false)).toBe(false);
  expect(matches('Mod+.', press('.', { ctrlKey: true }), false)).toBe(true);
  expect(matches('Space', press(' '), false)).toBe(true);
});

// On a French keyboard the digits need Shift, and the key reports the sign.
test('digits are found by their place', () => {
  expect(matches('Mod+1', press('&', { ctrlKey: true, code: 'Digit1' }), false)).toBe(true);
});

test('keys are printed as on the keyboard', () => {
  expect(keysOf('Mod+Shift+N', true)).toEqual(['⌘', '⇧', 'N']);
  expect(keysOf('Mod+Enter', false)).toEqual(['Ctrl', '↵']);
});

test('the palette prefers word starts', () => {
  const titles = ['Open a dataset', 'New experiment', 'Send notes'];
  expect(rank('ne', titles, (title) => title)[0]).toBe('New experiment');
  expect(rank('impda', ['Import a dataset', 'Compare'], (title) => title)).toEqual(['Import a dataset']);
  expect(score('xyz', 'New experiment')).toBeNull();
  expect(rank('', titles, (title) => title)).toEqual(titles);
});
