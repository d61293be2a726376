import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, program, screen, services, test, things, until, xdotool, type Window } from './application';

const execute = promisify(execFile);

// What only a window has: its place, its menu, files from outside, the desktop's services.

async function geometry(window: Window): Promise<Record<string, number>> {
  const text = await xdotool('getwindowgeometry', '--shell', await window.id());
  return Object.fromEntries(text.split('\n').map((line) => line.split('=')).filter(([key]) => /^(X|Y|WIDTH|HEIGHT)$/.test(key)).map(([key, value]) => [key, Number(value)]));
}

test('the menu has every command of the window with its keys, and does it', async ({ place }) => {
  const window = await place.start();
  const items = (await until('the menu is there', async () => {
    const all = await things();
    return all.some(({ name }) => name === 'New experiment') && all;
  })).filter(({ role }) => role === 'menu item' || role === 'menu');
  const names = items.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['File', 'New experiment', 'Import data…', 'Settings…', 'Quit Attune', 'View', 'Search…', 'Sidebar', 'Go', 'Home', 'Datasets', 'Models', 'Experiments', 'Chat', 'Back', 'Forward']));
  expect(items.find(({ name }) => name === 'New experiment')?.keys).toContain('<Primary>n');

  await screen('press', 'Models');
  await until('the models', async () => (await window.address()) === '#/models');
  // The same keys by hand: the menu must not take them away, nor act twice.
  await xdotool('windowactivate', '--sync', await window.id(), 'key', 'ctrl+2');
  await until('the datasets', async () => (await window.address()) === '#/datasets');
  await xdotool('key', 'ctrl+k');
  await window.find('dialog', null);
  await xdotool('key', 'Escape');
  await until('the palette closes', async () => (await window.count('dialog', null)) === 0);
});

test('the menu has what the page can do, with its keys, and does it', async ({ place }) => {
  test.setTimeout(240_000);
  const window = await place.start();
  const items = async () => (await things()).filter(({ role }) => role === 'menu item' || role === 'menu');
  const item = async (name: string) => (await items()).find((item) => item.name === name);
  const shows = (name: string, enabled = true) => until(`the menu shows “${name}”`, async () => {
    const found = await item(name);
    return found?.enabled === enabled && found;
  }, 60_000);
  const press = async (keys: string) => xdotool('windowactivate', '--sync', await window.id(), 'key', keys);

  await shows('Try it now: tune the starter model');
  await screen('press', 'Try it now: tune the starter model');
  await until('the experiment opens', async () => (await window.address()).startsWith('#/experiment/'), 60_000);
  await shows('Delete', false);
  expect(await item('Experiment')).toMatchObject({ role: 'menu' });
  expect((await shows('Logs')).keys).toContain('<Alt>6');
  expect((await shows('Rename')).keys).toContain('F2');

  // It says what would happen now.
  await shows('Pause (P)');
  const state = async () => (await place.attune<{ state: string }[]>('experiments', 'list'))[0].state;
  await until('it tunes', async () => (await state()) === 'running', 60_000);
  await screen('press', 'Pause (P)');
  await until('it is paused', async () => (await state()) === 'paused', 60_000);
  await shows('Continue (P)');
  await shows('Delete');

  // Keys of the menu, and a letter that stays one where one types.
  await press('alt+6');
  await until('the log', async () => (await window.address()).endsWith('/logs'));
  await shows('Search the log');
  await press('ctrl+f');
  const typed = () => window.page.execute<string | null>(`return document.activeElement.matches('input') ? document.activeElement.value : null;`);
  await until('the field has the keyboard', async () => (await typed()) !== null);
  await press('p');
  await until('the letter is typed', async () => (await typed()) === 'p');
  expect(await state()).toBe('paused');

  // They leave with the page.
  await window.go('#/home');
  await until('the menu of the experiment is gone', async () => !(await items()).some(({ name }) => name === 'Experiment' || name === 'Continue (P)'));

  // A key acts once, though the menu and the page both know it: twice would close the panel again.
  const models = await place.attune<{ id: string }[]>('models', 'list');
  await window.go(`#/chat?model=${encodeURIComponent(models[0].id)}`);
  expect((await shows('Sampling settings')).keys).toContain('<Primary><Shift>s');
  await press('ctrl+shift+s');
  await window.sees('Temperature');
  await new Promise((done) => setTimeout(done, 700));
  await window.sees('Temperature');
});

test('everything can be made larger', async ({ place }) => {
  const window = await place.start();
  const width = () => window.page.execute<number>('return window.innerWidth;');
  const before = await width();
  await screen('press', 'Larger');
  await until('the page is larger', async () => (await width()) < before);
  await screen('press', 'Actual size');
  await until('the page is as it was', async () => (await width()) === before);
});

test('the window comes back where it was', async ({ place }) => {
  let window = await place.start();
  await xdotool('windowsize', '--sync', await window.id(), '1010', '700');
  await xdotool('windowmove', '--sync', await window.id(), '140', '60');
  await new Promise((done) => setTimeout(done, 500));
  const before = await geometry(window);
  await window.close();
  await window.ends();
  for (let start = 0; start < 2; start += 1) {
    window = await place.start();
    await expect.poll(() => geometry(window)).toEqual(before);
    await window.close();
    await window.ends();
  }
});

test('files named at the start are imported', async ({ place }) => {
  const file = place.write('über uns.csv', 'question,answer\nHow?,So\n');
  const window = await place.start(file);
  await until('the import', async () => (await window.address()).startsWith('#/import'));
  expect(decodeURIComponent((await window.address()).replaceAll('+', ' '))).toContain(file);
});

test('a second start hands its files to the first and ends', async ({ place }) => {
  const window = await place.start();
  const file = place.write('orders.jsonl', '{"question": "How?", "answer": "So"}\n');
  const second = await execute(program, ['orders.jsonl'], { cwd: place.folder, env: { ...process.env, ATTUNE_HOME: place.home }, timeout: 20_000 });
  expect(second.stderr).not.toContain('error');
  await until('the import', async () => decodeURIComponent(await window.address()).includes(file));
  // Another home folder is another library, and has a window of its own.
  const { stdout } = await execute('xdotool', ['search', '--onlyvisible', '--name', '^Attune$']);
  expect(stdout.trim().split('\n')).toHaveLength(1);
});

test('files dropped on the window are imported', async ({ place }) => {
  const window = await place.start();
  const files = [place.write('Bestellungen für März.csv', 'question,answer\nHow?,So\n'), place.write('more.jsonl', '{"question": "How?", "answer": "So"}\n')];
  await screen('drag', '700', '450', ...files);
  await until('the import', async () => (await window.address()).startsWith('#/import'));
  const address = decodeURIComponent((await window.address()).replaceAll('+', ' '));
  for (const file of files) expect(address).toContain(file);
});

test('a file is chosen in the system’s dialog', async ({ place }) => {
  const window = await place.start();
  const file = place.write('orders.csv', 'question,answer\nHow?,So\n');
  await screen('press', 'Import data…');
  const dialog = await until('the dialog', () => xdotool('search', '--onlyvisible', '--name', '^Import data$').catch(() => null));
  await xdotool('windowactivate', '--sync', dialog.split('\n')[0], 'key', 'ctrl+l');
  await xdotool('type', '--delay', '20', file);
  // GTK completes the name in its own time, and takes the first Return for that.
  await until('the dialog closes', async () => {
    await screen('press', 'Open').catch(() => '');
    return !(await xdotool('search', '--onlyvisible', '--name', '^Import data$').catch(() => ''));
  });
  await until('the import', async () => decodeURIComponent(await window.address()).includes(file));
});

test('the clipboard, the file manager and notifications', async ({ place }) => {
  const desktop = await services(place);
  const window = await place.start();
  await window.invoke('copy_text', { text: 'loss 0.08 — größer' });
  const { stdout } = await execute('xclip', ['-selection', 'clipboard', '-o']);
  expect(stdout).toBe('loss 0.08 — größer');

  const file = place.write('adapter.txt', '');
  await window.invoke('reveal', { path: file });
  expect(desktop.calls()).toContainEqual({ call: 'reveal', items: [`file://${file}`] });
  const refusal = await window.page.execute(`return window.__TAURI_INTERNALS__.invoke('reveal', { path: '/nowhere' }).then(() => null, (thrown) => thrown);`);
  expect(refusal).toMatchObject({ code: 'file-not-found', remedy: 'Check the path.' });

  await window.invoke('notify', { title: 'orders has finished', body: 'Chat with it.' });
  await until('the notification', async () => desktop.calls().some(({ call, title, body }) => call === 'notify' && title === 'orders has finished' && body === 'Chat with it.'));
});

test('a desktop without services is no error', async ({ place }) => {
  const window = await place.start();
  await window.invoke('notify', { title: 'orders has finished', body: 'Chat with it.' });
  const refusal = await window.page.execute(`return window.__TAURI_INTERNALS__.invoke('reveal', { path: arguments[0] }).then(() => null, (thrown) => thrown);`, place.folder);
  expect(refusal).toMatchObject({ code: 'file-manager', remedy: expect.any(String) });
});
