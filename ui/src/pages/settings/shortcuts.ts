import type { Action } from '../../app/actions.svelte';
import { experimentTabs } from '../../app/routes';
import type { Shortcut } from '../../app/shortcuts';

export interface ShortcutLine {
  title: string;
  keys: Shortcut[];
}

export interface ShortcutGroup {
  title: string;
  lines: ShortcutLine[];
}

/** What belongs to one page, or to a kind of control, and so is not among the actions of this moment. */
export const elsewhere: ShortcutGroup[] = [
  {
    title: 'On any page',
    lines: [
      { title: 'Do the page’s main thing: start, import, send', keys: ['Mod+Enter'] },
      { title: 'Search in the page', keys: ['Mod+F'] },
      { title: 'Close what is on top', keys: ['Escape'] },
    ],
  },
  {
    title: 'In lists and tables',
    lines: [
      { title: 'Move', keys: ['ArrowUp', 'ArrowDown'] },
      { title: 'First, last', keys: ['Home', 'End'] },
      { title: 'Open', keys: ['Enter'] },
      { title: 'Preview or mark', keys: ['Space'] },
      { title: 'Delete', keys: ['Delete'] },
    ],
  },
  {
    title: 'In an experiment',
    lines: [
      { title: 'Pause or continue', keys: ['P'] },
      { title: 'Rename', keys: ['F2'] },
      { title: 'Tabs, from charts to export', keys: experimentTabs.map((_, at) => `Alt+${at + 1}`) },
      { title: 'Read a chart step by step', keys: ['ArrowLeft', 'ArrowRight'] },
      { title: 'Logarithmic charts', keys: ['L'] },
      { title: 'Steps or time in charts', keys: ['X'] },
      { title: 'Charts as tables', keys: ['T'] },
    ],
  },
  {
    title: 'In a chat',
    lines: [
      { title: 'Stop answering', keys: ['Mod+.'] },
      { title: 'Answer again', keys: ['Mod+Shift+R'] },
      { title: 'New conversation', keys: ['Mod+Shift+O'] },
      { title: 'Compare', keys: ['Mod+Shift+C'] },
      { title: 'Sampling settings', keys: ['Mod+Shift+S'] },
    ],
  },
];

/** The actions that have a shortcut, in their groups, as they come. */
export function grouped(actions: Action[]): ShortcutGroup[] {
  const groups = new Map<string, ShortcutLine[]>();
  for (const { title, group = 'Window', shortcut } of actions) {
    if (shortcut === undefined) continue;
    groups.set(group, [...(groups.get(group) ?? []), { title, keys: [shortcut] }]);
  }
  return [...groups].map(([title, lines]) => ({ title, lines }));
}

/** Those lines that hold all the words; everything without words. */
export function narrowed(groups: ShortcutGroup[], query: string): ShortcutGroup[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (text: string) => words.every((word) => text.toLowerCase().includes(word));
  return groups
    .map(({ title, lines }) => ({ title, lines: lines.filter((line) => holds(`${title} ${line.title} ${line.keys.join(' ')}`)) }))
    .filter(({ lines }) => lines.length > 0);
}
