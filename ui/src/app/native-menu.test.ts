import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PageMenu } from '../backend/backend';
import { Actions, type Action } from './actions.svelte';
import { NativeMenu, pageMenus } from './native-menu';

const run = () => undefined;
const action = (id: string, more: Partial<Action> = {}): Action => ({ id, title: `Do ${id}`, group: 'Experiment', run, ...more });
const ids = (menus: PageMenu[]) => menus.map(({ title, sections }) => [title, ...sections.map((items) => items.map(({ id }) => id))]);
const item = (menus: PageMenu[], id: string) => menus.flatMap(({ sections }) => sections.flat()).find((item) => item.id === id);

let actions: Actions;
beforeEach(() => (actions = new Actions(() => undefined)));

test('the menus are those of the page, in the order of its parts, and go with it', () => {
  actions.add(actions.source(() => [action('go.home', { group: 'Go to' })], true));
  const page = actions.source(() => [action('run.pause'), action('run.stop'), action('run.charts.log'), action('chat.new', { group: 'Chat' })]);
  const part = actions.source(() => [action('run.export')]);
  // Effects of a part run before those of its page.
  const leave = [actions.add(part), actions.add(page)];
  expect(ids(pageMenus(actions))).toEqual([['Experiment', ['run.pause', 'run.stop'], ['run.charts.log'], ['run.export']], ['Chat', ['chat.new']]]);
  leave.forEach((gone) => gone());
  expect(pageMenus(actions)).toEqual([]);
});

test('what cannot be done now is shown, but not to be chosen', () => {
  actions.add(actions.source(() => [action('run.stop', { when: () => false }), action('import.cancel', { hidden: true })]));
  expect(item(pageMenus(actions), 'run.stop')?.enabled).toBe(false);
  expect(item(pageMenus(actions), 'import.cancel')?.enabled).toBe(true);
});

// The menu has its keys before a field has them: P must stay a letter.
test('a key that types is named, and not given to the menu', () => {
  actions.add(actions.source(() => [action('a', { shortcut: 'P' }), action('b', { shortcut: 'Escape' }), action('c', { shortcut: 'F2' }), action('d', { shortcut: 'Alt+1' })]));
  const shown = (id: string) => [item(pageMenus(actions), id)?.title, item(pageMenus(actions), id)?.shortcut];
  expect(['a', 'b', 'c', 'd'].map(shown)).toEqual([['Do a (P)', null], ['Do b (Esc)', null], ['Do c', 'F2'], ['Do d', 'Alt+1']]);
});

test('keys stand only where they would be obeyed', () => {
  let first = true;
  actions.add(actions.source(() => [action('old', { shortcut: 'Mod+Enter' })]));
  actions.add(actions.source(() => [action('new', { shortcut: 'Mod+Enter', when: () => first })]));
  const holders = () => ['old', 'new'].filter((id) => item(pageMenus(actions), id)?.shortcut);
  expect(holders()).toEqual(['new']);
  first = false;
  expect(holders()).toEqual(['old']);
});

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const menu = (title: string): PageMenu[] => [{ title, sections: [[{ id: 'a', title: 'A', shortcut: null, enabled: true }]] }];

test('what lasts only a moment is not shown, and nothing is said twice', async () => {
  const showMenus = vi.fn(async (_menus: PageMenu[]) => undefined);
  const native = new NativeMenu({ showMenus });
  native.show(menu('Experiment'));
  await vi.runAllTimersAsync();
  native.show([]);
  native.show(menu('Chat'));
  await vi.runAllTimersAsync();
  native.show(menu('Chat'));
  native.show([]);
  native.show(menu('Chat'));
  await vi.runAllTimersAsync();
  expect(showMenus.mock.calls.map(([menus]) => menus[0].title)).toEqual(['Experiment', 'Chat']);
});

// Two at the same time could arrive in the other order, and the menu would be that of a page that is gone.
test('a list waits until the one before has arrived, and a refused one does not stop the next', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  let arrive: () => void = () => undefined;
  const showMenus = vi.fn((menus: PageMenu[]) => (menus.length === 0 ? Promise.reject(new Error('no menu')) : new Promise<void>((done) => (arrive = done))));
  const native = new NativeMenu({ showMenus });
  native.show(menu('Experiment'));
  await vi.runAllTimersAsync();
  native.show([]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(showMenus).toHaveBeenCalledTimes(1);
  arrive();
  await vi.runAllTimersAsync();
  expect(showMenus).toHaveBeenCalledTimes(2);
  native.show(menu('Chat'));
  await vi.runAllTimersAsync();
  expect(showMenus).toHaveBeenCalledTimes(3);
});
