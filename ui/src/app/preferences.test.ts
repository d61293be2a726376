import { expect, test } from 'vitest';
import { CommandError, type Backend } from '../backend/backend';
import type { Preferences } from '../backend/generated/types';
import { PreferenceKeeper } from './preferences.svelte';
import type { Theme } from './theme.svelte';
import type { Toasts } from './toasts.svelte';

const built: Preferences = { appearance: 'system', notifications: true, keep_awake: true, device: 'auto', memory_limit: null, longest_dispatch: null, defaults: {} };

function made(refuse: (preferences: Preferences) => boolean = () => false) {
  const disk = { preferences: built, writes: 0 };
  const told: string[] = [];
  const shown: string[] = [];
  const call = async (command: string, request: { preferences?: Preferences }) => {
    await Promise.resolve();
    if (command === 'preferences') return disk.preferences;
    disk.writes += 1;
    if (request.preferences === undefined || refuse(request.preferences)) throw new CommandError({ code: 'disk-full', message: 'no room' });
    return (disk.preferences = request.preferences);
  };
  const theme = { chosen: null, adopt: (choice: string) => shown.push(choice) } as unknown as Theme;
  const keeper = new PreferenceKeeper({ call } as unknown as Backend, { error: (thrown: CommandError) => told.push(thrown.code) } as unknown as Toasts, theme);
  return { keeper, theme, disk, told, shown };
}

test('a change shows at once and is saved', async () => {
  const { keeper, disk } = made();
  await keeper.read();
  const saving = keeper.change({ keep_awake: false });
  expect(keeper.value?.keep_awake).toBe(false);
  expect(disk.preferences.keep_awake).toBe(true);
  expect(await saving).toBe(true);
  expect(disk.preferences.keep_awake).toBe(false);
});

// Each save replaces all preferences: two at once would undo one another.
test('changes close together are all kept', async () => {
  const { keeper, disk } = made();
  await keeper.read();
  await Promise.all([keeper.change({ keep_awake: false }), keeper.change({ notifications: false }), keeper.change({ device: 'cpu' })]);
  expect(disk.preferences).toMatchObject({ keep_awake: false, notifications: false, device: 'cpu' });
  expect(keeper.value).toEqual(disk.preferences);
});

test('what could not be saved goes back and is told, what could stays', async () => {
  const { keeper, disk, told, shown } = made(({ appearance }) => appearance === 'dark');
  await keeper.read();
  const [dark, awake] = await Promise.all([keeper.change({ appearance: 'dark' }), keeper.change({ keep_awake: false })]);
  expect([dark, awake]).toEqual([false, true]);
  expect(told).toEqual(['disk-full']);
  expect(disk.preferences).toMatchObject({ appearance: 'system', keep_awake: false });
  expect(shown.at(-1)).toBe('system');
});

test('a theme chosen before the preferences were read is saved over what is on disk', async () => {
  const { theme, disk } = made();
  disk.preferences = { ...built, device: 'cpu' };
  theme.chosen?.('dark');
  await new Promise((resolve) => setTimeout(resolve));
  expect(disk.preferences).toMatchObject({ appearance: 'dark', device: 'cpu' });
});
