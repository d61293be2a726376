import { expect, open, test } from './page';

interface Menu {
  title: string;
  sections: { id: string; title: string; shortcut: string | null; enabled: boolean }[][];
}

interface Memory {
  menus: Menu[][];
  drop(drop: { kind: string; paths: string[]; x: number; y: number }): void;
  menu(item: string): void;
  openFiles(paths: string[]): void;
}

// Playwright runs on Linux, where Mod is Control.
test('sections are reached by keyboard, and the way back works', async ({ page }) => {
  await open(page, '/home');
  for (const [key, title] of [['2', 'Datasets'], ['3', 'Models'], ['4', 'Experiments'], ['5', 'Chat']]) {
    await page.keyboard.press(`Control+${key}`);
    await expect(page.getByRole('link', { name: title, exact: true })).toHaveAttribute('aria-current', 'page');
    await expect(page.locator('main h1')).toBeVisible();
  }
  await page.keyboard.press('Control+[');
  await expect(page).toHaveURL(/#\/experiments$/);
  await page.keyboard.press('Control+]');
  await expect(page).toHaveURL(/#\/chat$/);
});

test('the palette finds an action by a few letters, runs it and gives the focus back', async ({ page }) => {
  await open(page, '/home');
  await page.keyboard.press('Control+K');
  const field = page.getByRole('combobox', { name: /Search for something/ });
  await expect(field).toBeFocused();
  await field.pressSequentially('newex');
  await expect(page.getByRole('option').first()).toContainText('New experiment');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#\/new$/);
  await expect(field).toBeHidden();
  await page.keyboard.press('Control+K');
  await page.keyboard.press('Escape');
  await expect(field).toBeHidden();
});

test('the theme follows the desktop until it is chosen, and the choice stays', async ({ page }) => {
  await open(page, '/home', { theme: 'dark' });
  const root = page.locator('html');
  await expect(root).toHaveAttribute('data-theme', 'dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await expect(root).toHaveAttribute('data-theme', 'light');
  await page.keyboard.press('Control+K');
  await page.keyboard.type('dark theme');
  await page.keyboard.press('Enter');
  await expect(root).toHaveAttribute('data-theme', 'dark');
  await page.reload();
  await expect(root).toHaveAttribute('data-theme', 'dark');
});

test('the sidebar collapses to icons that keep their names', async ({ page }) => {
  await open(page, '/home');
  await page.keyboard.press('Control+B');
  await expect(page.getByRole('link', { name: 'Datasets', exact: true })).toBeVisible();
  expect((await page.getByRole('navigation').boundingBox())?.width).toBe(48);
});

test('data dropped anywhere are announced, then imported; other files are refused', async ({ page }) => {
  await open(page, '/models');
  const drop = (kind: string, paths: string[]) => page.evaluate(([kind, paths]) => (window as unknown as { attune: Memory }).attune.drop({ kind: kind as string, paths: paths as string[], x: 400, y: 300 }), [kind, paths]);
  await drop('enter', ['/home/ada/Müller & Söhne.csv']);
  await expect(page.getByText('Import Müller & Söhne.csv')).toBeVisible();
  await drop('leave', []);
  await expect(page.getByText('Import Müller & Söhne.csv')).toBeHidden();
  await drop('enter', ['/home/ada/photo.jpg']);
  await expect(page.getByText('photo.jpg is an image')).toBeVisible();
  await drop('leave', []);
  await drop('enter', ['/home/ada/Müller & Söhne.csv']);
  await drop('drop', ['/home/ada/Müller & Söhne.csv']);
  await expect(page).toHaveURL(/#\/import\?path=/);
  expect(new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('path')).toBe('/home/ada/Müller & Söhne.csv');
});

test('the native menu and files opened from the desktop reach the same actions', async ({ page }) => {
  await open(page, '/home');
  await page.evaluate(() => (window as unknown as { attune: Memory }).attune.menu('go.models'));
  await expect(page).toHaveURL(/#\/models$/);
  await page.evaluate(() => (window as unknown as { attune: Memory }).attune.openFiles(['/tmp/a.jsonl']));
  await expect(page).toHaveURL(/#\/import\?path=/);
});

test('the native menu holds what the page can do, says what it cannot do now, and does it', async ({ page }) => {
  const sent = () => page.evaluate(() => (window as unknown as { attune: Memory }).attune.menus);
  const shown = async () => (await sent()).at(-1) ?? [];
  const item = async (id: string) => (await shown()).flatMap(({ sections }) => sections.flat()).find((item) => item.id === id);
  const titles = async () => (await shown()).map(({ title }) => title);
  const choose = (id: string) => page.evaluate((id) => (window as unknown as { attune: Memory }).attune.menu(id), id);

  await open(page, '/experiment/gsm8k-qwen3/charts');
  await expect.poll(titles).toEqual(['Experiment']);
  await expect.poll(() => item('run.pause')).toEqual({ id: 'run.pause', title: 'Pause (P)', shortcut: null, enabled: true });
  expect(await item('run.delete')).toMatchObject({ title: 'Delete', enabled: false });
  expect(await item('run.tab.logs')).toMatchObject({ title: 'Logs', shortcut: 'Alt+6', enabled: true });
  expect(await item('go.home')).toBeUndefined();

  // A tab has its own, which stand behind those of the page.
  await choose('run.tab.logs');
  await expect(page).toHaveURL(/\/logs$/);
  await expect.poll(() => item('run.logs.search')).toMatchObject({ shortcut: 'Mod+F' });
  expect((await shown())[0].sections.map((items) => items[0].id)).toEqual(['run.pause', 'run.charts.log', 'run.tab.charts', 'run.logs.search']);

  await choose('run.pause');
  await expect.poll(() => item('run.pause')).toMatchObject({ title: 'Continue (P)' });
  await expect.poll(() => item('run.delete')).toMatchObject({ enabled: true });

  // The run's progress is not the menu's business.
  const before = (await sent()).length;
  await page.waitForTimeout(1500);
  expect((await sent()).length).toBe(before);

  // From page to page at once, without a moment in which there is no menu.
  await choose('go.datasets');
  await expect.poll(titles).toEqual(['Datasets']);
  expect((await sent()).slice(before).map((menus) => menus.map(({ title }) => title))).toEqual([['Datasets']]);
  await choose('go.chat');
  await expect.poll(titles).toEqual(['Chat']);
  await page.evaluate(() => (location.hash = '#/gallery'));
  await expect.poll(async () => (await sent()).at(-1)).toEqual([]);
});

test('a shortcut does not act behind a dialog', async ({ page }) => {
  await open(page, '/gallery');
  await page.getByRole('button', { name: 'Dialog', exact: true }).click();
  await expect(page.getByRole('dialog', { name: 'Rename experiment' })).toBeVisible();
  await page.keyboard.press('Control+2');
  await expect(page).toHaveURL(/#\/gallery$/);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
});
