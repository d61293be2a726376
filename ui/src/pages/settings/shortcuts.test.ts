import { expect, test } from 'vitest';
import { elsewhere, grouped, narrowed } from './shortcuts';

const run = () => undefined;

test('actions without a shortcut are left out, the others stand in their groups', () => {
  const groups = grouped([
    { id: 'a', title: 'Home', group: 'Go to', shortcut: 'Mod+1', run },
    { id: 'b', title: 'Light theme', group: 'View', run },
    { id: 'c', title: 'Chat', group: 'Go to', shortcut: 'Mod+5', run },
    { id: 'd', title: 'Search', shortcut: 'Mod+K', run },
  ]);
  expect(groups.map(({ title, lines }) => [title, lines.map((line) => line.title)])).toEqual([['Go to', ['Home', 'Chat']], ['Window', ['Search']]]);
});

test('a search looks at names, groups and keys, and leaves no empty group', () => {
  const groups = [
    { title: 'Go to', lines: [{ title: 'Home', keys: ['Mod+1'] }, { title: 'Chat', keys: ['Mod+5'] }] },
    { title: 'View', lines: [{ title: 'Back', keys: ['Mod+['] }] },
  ];
  expect(narrowed(groups, 'go chat').map(({ lines }) => lines.map(({ title }) => title))).toEqual([['Chat']]);
  expect(narrowed(groups, 'mod+[')[0].lines[0].title).toBe('Back');
  expect(narrowed(groups, '')).toHaveLength(2);
});

/** The shortcuts of the actions in these sources: `id: 'chat.new', title: …, shortcut: 'Mod+Shift+O'`. */
function shortcutsIn(sources: Record<string, string>): string[] {
  const lines = Object.values(sources).flatMap((text) => text.split('\n'));
  const found = lines.flatMap((line) => [...line.matchAll(/id: ['`][^'`]+['`], title: .*?shortcut: ['`]([^'`]+)['`]/g)]).map(([, shortcut]) => shortcut);
  return [...new Set(found.flatMap((shortcut) => (shortcut.includes('${') ? [1, 2, 3, 4, 5, 6, 7, 8].map((number) => shortcut.replace(/\$\{.*\}/, String(number))) : [shortcut])))];
}

const keysIn = (title: string) => elsewhere.find((group) => group.title === title)?.lines.flatMap(({ keys }) => keys) ?? [];

// What belongs to a page is not among the actions of this moment, so the table repeats it.
test('the table has every shortcut of the pages, and none that they do not have', () => {
  const all = shortcutsIn(import.meta.glob(['../**/*.svelte', '../**/*.ts', '!../**/*.test.ts', '!../gallery/**'], { query: '?raw', import: 'default', eager: true }));
  expect(all.length).toBeGreaterThan(15);
  expect(elsewhere.flatMap(({ lines }) => lines.flatMap(({ keys }) => keys))).toEqual(expect.arrayContaining(all));
  // Charts and fields know the others by themselves.
  const own = [...keysIn('In an experiment'), ...keysIn('In a chat')].filter((key) => !key.startsWith('Arrow'));
  expect(all).toEqual(expect.arrayContaining(own));
});
