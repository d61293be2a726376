import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, until, xdotool, type Place } from './application';

const execute = promisify(execFile);

// Graphics drivers that show nothing, or end what draws. Here they are Mesa's, broken by what Mesa and
// WebKit read from the environment; on the screen is what a person would see. A screen without a
// graphics processor would be painted directly from the start, which needs nothing of a driver.
const layered = { WEBKIT_DISABLE_COMPOSITING_MODE: '0', LIBGL_ALWAYS_SOFTWARE: undefined };

const file = (place: Place) => join(place.home, 'window', 'drawing.json');
const remembered = (place: Place) => JSON.parse(readFileSync(file(place), 'utf8')) as Record<string, unknown>;
const told = (place: Place, words: string) => readFileSync(place.said, 'utf8').split(words).length - 1;

/** How many colours the middle of the window has on the screen. */
async function colours(): Promise<number> {
  const ids = await xdotool('search', '--onlyvisible', '--name', '^Attune$').catch(() => '');
  const id = ids.split('\n').filter(Boolean).at(-1);
  if (id === undefined) return 0;
  const { stdout } = await execute('import', ['-window', id, '-crop', '800x400+240+120', '-format', '%k', 'info:']).catch(() => ({ stdout: '0' }));
  return Number(stdout);
}

const shown = (place: Place) => until('the page is on the screen', async () => existsSync(file(place)) && (await colours()) > 20, 60_000);

test('a window that stays empty is drawn in another way, which is remembered and can be left', async ({ place }) => {
  test.setTimeout(240_000);
  // Mesa draws, and every pixel stays as it was; the page notices nothing.
  place.environment = { ...layered, GALLIUM_NOOP: '1' };
  const first = place.launch();
  await until('the window is there, and empty', async () => (await colours()) === 1);
  await shown(place);
  expect(remembered(place)).toMatchObject({ way: 'copied', trouble: 'blank' });
  expect(told(place, 'trying again')).toBe(1);
  first.kill('SIGKILL');
  await until('the program ends', async () => first.signalCode !== null);

  // The next start is right at once, and says why.
  const window = await place.start();
  await window.go('#/settings/device');
  await window.sees('because it stayed empty');
  expect(await colours()).toBeGreaterThan(20);
  expect(told(place, 'trying again')).toBe(1);
  await window.photograph('drawn-in-another-way');

  // Whoever asks for it sees the usual way fail once more, and the page again. The driver loses it there.
  void window.page.execute(`[...document.querySelectorAll('button')].find((button) => button.textContent.trim() === 'Try again').click();`).catch(() => undefined);
  await until('it was tried', async () => told(place, 'trying again') === 2, 60_000);
  await shown(place);
  expect(window.alive).toBe(true);
});

test('a driver that ends what draws is left alone', async ({ place }) => {
  mkdirSync(place.home);
  // No driver to choose from: WebKit ends the process of the page, also where it would paint without one.
  place.environment = { ...layered, __EGL_VENDOR_LIBRARY_DIRS: place.home };
  place.launch();
  await shown(place);
  expect(remembered(place)).toMatchObject({ way: 'software', trouble: 'crashed' });
  expect(told(place, 'trying again')).toBe(2);
});

test('where no way of drawing helps, the program says so and stops trying', async ({ place }) => {
  // Mesa has no driver, also not for the processor: WebKit ends the program itself, then the process of
  // the page, twice.
  place.environment = { LIBGL_DRIVERS_PATH: place.folder };
  const program = place.launch();
  await until('it says so', () => xdotool('search', '--onlyvisible', '--name', '^The window cannot be drawn$').catch(() => null), 60_000);
  await new Promise((done) => setTimeout(done, 3000));
  expect(told(place, 'Aborting')).toBe(3);
  expect([program.exitCode, program.signalCode]).toEqual([null, null]);
  expect(existsSync(file(place))).toBe(false);
});

test('a healthy start is left as it is', async ({ place }) => {
  place.environment = layered;
  place.launch();
  await until('the page is on the screen', async () => (await colours()) > 20);
  // Longer than an empty window is waited for.
  await new Promise((done) => setTimeout(done, 7000));
  expect(await colours()).toBeGreaterThan(20);
  expect(told(place, 'trying again')).toBe(0);
  expect(existsSync(file(place))).toBe(false);
});
