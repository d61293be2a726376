import { expect, test } from 'vitest';
import { grouped, narrowed } from './shortcuts';

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
