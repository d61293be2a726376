import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface Memory {
  log: { kind: string; detail: string }[];
  choices: (string[] | null)[];
  fail(command: string, refusal?: { code: string; message: string; remedy?: string }, times?: number): void;
  call(command: string, request: object): Promise<unknown>;
}
const memory = <T>(page: Page, work: (attune: Memory) => T) => page.evaluate(`(${work.toString()})(window.attune)`) as Promise<Awaited<T>>;
const saved = (page: Page) => memory(page, (attune) => attune.call('preferences', {})) as Promise<Record<string, unknown>>;
const refuseSaving = (page: Page) => memory(page, (attune) => attune.fail('preferences_set', { code: 'disk-full', message: 'the preferences cannot be written', remedy: 'Free some space.' }));

const titles = ['Appearance', 'Folders', 'Device', 'Notifications and sleep', 'New experiments', 'Keys', 'Outbound requests', 'Diagnostics', 'Shortcuts', 'About'];

test('arrow keys walk the sections, and the address keeps the place', async ({ page }) => {
  await open(page, '/settings/general');
  const list = page.getByRole('navigation', { name: 'Settings' });
  await list.getByRole('link', { name: 'Appearance' }).focus();
  for (const title of titles.slice(1)) {
    await page.keyboard.press('ArrowDown');
    await expect(list.getByRole('link', { name: title })).toBeFocused();
    await expect(page.getByRole('heading', { level: 2, name: title })).toBeVisible();
  }
  await expect(page).toHaveURL(/#\/settings\/about$/);
  await page.keyboard.press('Home');
  await expect(page).toHaveURL(/#\/settings\/appearance$/);
});

test('the theme is chosen here or by its action, is saved, and outlives a reload', async ({ page }) => {
  await open(page, '/settings/appearance');
  const root = page.locator('html');
  await page.getByRole('radiogroup', { name: 'Theme' }).getByText('Dark').click();
  await expect(root).toHaveAttribute('data-theme', 'dark');
  await expect.poll(async () => (await saved(page)).appearance).toBe('dark');
  await page.reload();
  await expect(page.getByRole('radio', { name: 'Dark' })).toBeChecked();
  await page.keyboard.press('Control+K');
  await page.keyboard.type('light theme');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('radio', { name: 'Light' })).toBeChecked();
  await expect.poll(async () => (await saved(page)).appearance).toBe('light');
});

test('what cannot be saved goes back and says why', async ({ page }) => {
  await open(page, '/settings/notifications');
  const awake = page.getByRole('switch', { name: /Keep the machine awake/ });
  await expect(awake).toBeChecked();
  await refuseSaving(page);
  await awake.click();
  await expect(page.getByRole('alert')).toContainText('Free some space.');
  await expect(awake).toBeChecked();
  await awake.click();
  await expect(awake).not.toBeChecked();
  await expect.poll(async () => (await saved(page)).keep_awake).toBe(false);
  await page.getByRole('link', { name: 'Appearance' }).click();
  await refuseSaving(page);
  await page.getByRole('radiogroup', { name: 'Theme' }).getByText('Dark').click();
  await expect(page.getByRole('radio', { name: 'System' })).toBeChecked();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
});

test('the device says what was found, and the memory of a run can be limited', async ({ page }) => {
  await open(page, '/settings/device');
  await expect(page.getByText('Apple GPU: there is an Apple GPU, which shares the memory of the processor.')).toHaveCount(1);
  await page.getByRole('button', { name: 'What was found' }).click();
  await expect(page.getByText("CUDA is NVIDIA's, and Macs have no such GPU")).toBeVisible();
  // What a machine has not at all is no choice.
  await expect(page.getByRole('radio', { name: /NVIDIA/ })).toBeHidden();
  await page.getByRole('button', { name: 'Check', exact: true }).click();
  await expect(page.getByRole('list', { name: 'Checked' })).toContainText('Apple GPU: agrees with the formulas');
  await page.getByRole('radio', { name: /^Processor/ }).check();
  await expect.poll(async () => (await saved(page)).device).toBe('cpu');
  await expect(page.getByText('The processor: the preferences ask for it.')).toBeVisible();
  await page.getByRole('radio', { name: /^Automatic/ }).check();
  await expect(page.getByText('Apple GPU: there is an Apple GPU')).toHaveCount(2);
  await page.getByRole('switch', { name: 'Limit the memory of a run' }).click();
  const limit = page.getByRole('slider', { name: 'At most' });
  await limit.focus();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await expect(limit).toHaveAttribute('aria-valuetext', '16 GB');
  await expect.poll(async () => (await saved(page)).memory_limit).toBe(16e9);
  await page.keyboard.press('End');
  await expect(limit).toHaveAttribute('aria-valuetext', '36 GB');
  await page.keyboard.press('Home');
  await expect(limit).toHaveAttribute('aria-valuetext', '1 GB');
  // Left before the slider came to rest, which must not lose it.
  await page.getByRole('link', { name: 'About' }).click();
  await expect.poll(async () => (await saved(page)).memory_limit).toBe(1e9);
  await page.getByRole('link', { name: 'Device' }).click();
  await page.getByRole('switch', { name: 'Limit the memory of a run' }).click();
  await expect.poll(async () => (await saved(page)).memory_limit).toBe(null);
});

test('the time of a dispatch is calibrated or chosen, on a Mac', async ({ page }) => {
  await open(page, '/settings/device');
  await expect(page.getByText('as much work as this GPU does in 50 ms')).toBeVisible();
  await page.getByRole('switch', { name: 'Choose the time of a dispatch' }).click();
  const time = page.getByRole('slider', { name: 'At most' });
  await expect(time).toHaveAttribute('aria-valuetext', '50 ms');
  await expect.poll(async () => (await saved(page)).longest_dispatch).toBe(50);
  await expect(page.getByText('macOS ends the work')).toBeVisible();
  await time.focus();
  await page.keyboard.press('End');
  await expect.poll(async () => (await saved(page)).longest_dispatch).toBe(1000);
  await page.getByRole('switch', { name: 'Choose the time of a dispatch' }).click();
  await expect.poll(async () => (await saved(page)).longest_dispatch).toBe(null);
  // A machine without Metal has nothing to choose.
  await open(page, '/settings/device', { scenario: 'empty' });
  await expect(page.getByRole('switch', { name: 'Limit the memory of a run' })).toBeVisible();
  await expect(page.getByRole('switch', { name: 'Choose the time of a dispatch' })).toBeHidden();
});

for (const theme of ['light', 'dark'] as const) {
  test(`a window that is not drawn in the usual way says why, in the ${theme} theme, and tries again`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.goto('/?scenario=working&drawing=software-crashed#/settings/device');
    await expect(page.getByText('The window is drawn by the processor, because what draws it crashed when Attune drew it the usual way.')).toBeVisible();
    expect(await barriers(page)).toEqual([]);
    await page.getByRole('button', { name: 'Try again' }).click();
    expect(await memory(page, (attune) => attune.log.map(({ kind }) => kind))).toContain('draw-again');
    await open(page, '/settings/device');
    await expect(page.getByRole('switch', { name: 'Limit the memory of a run' })).toBeVisible();
    await expect(page.getByText(/^The window is drawn/)).toBeHidden();
  });
}

test('new experiments get other defaults, one by one, and lose them again', async ({ page }) => {
  await open(page, '/settings/defaults');
  await expect(page.getByText('All as built in')).toBeVisible();
  await page.getByRole('combobox', { name: 'Add a setting' }).fill('lora rank');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const rank = page.getByRole('spinbutton', { name: /LoRA rank/ });
  await expect(rank).toBeFocused();
  await rank.fill('32');
  await expect.poll(async () => (await saved(page)).defaults).toEqual({ lora_r: 32 });
  await expect(page.getByRole('status').filter({ hasText: '1 setting changed' })).toBeVisible();
  await page.reload();
  await expect(rank).toHaveValue('32');
  await page.getByRole('button', { name: 'Reset all' }).click();
  await expect.poll(async () => (await saved(page)).defaults).toEqual({});
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(rank).toHaveValue('32');
  await page.getByRole('button', { name: 'Take LoRA rank off this list' }).click();
  await expect(rank).toBeHidden();
  await expect.poll(async () => (await saved(page)).defaults).toEqual({});
});

test('a token is stored once, never shown, and removed after a question', async ({ page }) => {
  await open(page, '/settings/keys');
  const field = page.getByLabel('Hugging Face access token', { exact: true }).and(page.locator('input'));
  await expect(field).toHaveAttribute('type', 'password');
  await memory(page, (attune) => attune.fail('keys_set', { code: 'keychain', message: 'the keychain is locked', remedy: 'Unlock the keychain.' }));
  await field.fill('hf_secret');
  await page.keyboard.press('Enter');
  await expect(field).toHaveValue('');
  await expect(page.getByRole('alert')).toContainText('Unlock the keychain.');
  await field.fill('hf_secret');
  await page.getByRole('button', { name: 'Store' }).click();
  await expect(page.getByText('Stored', { exact: true })).toBeVisible();
  expect(await page.content()).not.toContain('hf_secret');
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByText('Stored', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click();
  await expect(page.getByText('Not stored')).toBeVisible();
});

test('a machine without a keychain says what to do', async ({ page }) => {
  await page.goto('/?keychain=none#/settings/keys');
  await expect(page.getByRole('alert')).toContainText('GNOME Keyring or KeePassXC');
  await expect(page.locator('input[type=password]')).toBeHidden();
});

test('what was sent is listed, and nothing sent is said', async ({ page }) => {
  await open(page, '/settings/requests');
  const table = page.getByRole('grid', { name: 'Outbound requests' });
  await expect(table).toHaveAttribute('aria-rowcount', '5');
  await expect(table).toContainText('You downloaded Qwen/Qwen3-0.6B');
  await expect(table).toContainText('1.5 GB');
  await expect(table).toContainText('Refused: 401');
  await open(page, '/settings/requests', { scenario: 'first-start' });
  await expect(page.getByText('Nothing has left this machine')).toBeVisible();
});

test('diagnostics go where one says, and can be looked at', async ({ page }) => {
  await open(page, '/settings/diagnostics');
  const save = page.getByRole('button', { name: 'Save diagnostics' });
  await memory(page, (attune) => void attune.choices.push(null));
  await save.click();
  await expect(page.getByRole('heading', { name: 'is written' })).toBeHidden();
  await memory(page, (attune) => void attune.choices.push(['/home/ada/Desktop/report.zip']));
  await save.click();
  await expect(page.getByRole('heading', { name: 'report.zip is written' })).toBeVisible();
  await page.getByRole('button', { name: 'Files in it' }).click();
  await expect(page.getByText('experiments/house-style/log.json')).toBeVisible();
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  expect((await memory(page, (attune) => attune.log)).at(-1)).toEqual({ kind: 'reveal', detail: '/home/ada/Desktop/report.zip' });
});

test('folders, shortcuts and licences are found', async ({ page }) => {
  await open(page, '/settings/folders');
  await expect(page.getByText('/Users/ada/Library/Application Support/attune')).toBeVisible();
  await page.getByRole('button', { name: 'Show the model cache' }).click();
  expect((await memory(page, (attune) => attune.log)).at(-1)).toEqual({ kind: 'reveal', detail: '/Users/ada/.cache/huggingface/hub' });
  await page.getByRole('link', { name: 'Shortcuts' }).click();
  await page.keyboard.press('Control+F');
  await expect(page.getByRole('searchbox', { name: 'Search shortcuts' })).toBeFocused();
  await page.keyboard.type('import');
  await expect(page.getByText('Import data')).toBeVisible();
  await expect(page.getByText('Collapse the sidebar')).toBeHidden();
  await page.getByRole('link', { name: 'About' }).click();
  const libraries = page.getByRole('grid', { name: 'Libraries and their licences' });
  await expect(libraries).toContainText('anstyle');
  await page.getByRole('searchbox', { name: /Search libraries/ }).fill('bsd-3');
  await expect(libraries).not.toContainText('anstyle');
  await expect(libraries).toContainText('BSD-3-Clause');
  await page.getByRole('searchbox', { name: /Search libraries/ }).fill('nothing-like-it');
  await expect(page.getByText('No library or licence has “nothing-like-it” in its name.')).toBeVisible();
});

test('preferences that cannot be read say so and are read again', async ({ page }) => {
  await open(page, '/settings/appearance', { scenario: 'failing' });
  await expect(page.getByRole('alert')).toContainText('The preferences could not be read');
  await page.getByRole('link', { name: 'Shortcuts' }).click();
  await expect(page.getByText('New experiment', { exact: true })).toBeVisible();
});

test('pages are left and entered with the keyboard alone', async ({ page }) => {
  await open(page, '/home');
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the page' })).toBeFocused();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await expect(page.locator('main :focus')).toBeVisible();
  // The link that is followed goes with its page; the keyboard must not start at the top again.
  await page.getByRole('link', { name: /Orders to JSON/ }).press('Enter');
  await expect(page).toHaveURL(/#\/experiment\//);
  await expect(page.locator('main')).toBeFocused();
  await page.keyboard.press('Control+,');
  await expect(page.getByRole('heading', { name: 'Settings', level: 1 })).toBeVisible();
  await page.keyboard.press('Control+K');
  await page.keyboard.type('datasets');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#\/datasets$/);
  await expect(page.locator('body')).not.toBeFocused();
  const meter = page.getByRole('button', { name: /^Apple M3 Max: / });
  await meter.focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog', { name: 'Device' })).toContainText('A run may use 30.6 GB');
  await expect(page.getByRole('dialog', { name: 'Device' })).toContainText('There is an Apple GPU, which shares the memory of the processor.');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog', { name: 'Device' })).toBeHidden();
  await expect(meter).toBeFocused();
});

// The gallery holds every control in both themes; here it is how sections put them together.
const inTheme = { light: titles.filter((_, at) => at % 2 === 0), dark: titles.filter((_, at) => at % 2 === 1) };

for (const theme of ['light', 'dark'] as const) {
  test(`settings have no barriers in the ${theme} theme`, async ({ page }) => {
    test.slow();
    await open(page, '/settings/appearance', { theme });
    for (const title of inTheme[theme]) {
      await page.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name: title }).click();
      await expect(page.getByRole('heading', { level: 2, name: title })).toBeVisible();
      await page.waitForTimeout(150);
      expect(await barriers(page, 'main'), title).toEqual([]);
    }
  });

  test(`settings in the ${theme} theme @screenshot`, async ({ page }) => {
    await open(page, '/settings/device', { theme });
    await page.getByRole('switch', { name: 'Limit the memory of a run' }).click();
    await page.getByRole('slider').fill('24');
    await page.getByRole('heading', { level: 2 }).click();
    await page.waitForTimeout(500);
    await page.screenshot({ path: `docs/screenshots/settings-${theme}.png` });
  });
}

test('no section is cut off at the smallest window, nor at twice its size', async ({ page }) => {
  for (const width of [960, 640]) {
    await page.setViewportSize({ width, height: 640 });
    await open(page, '/settings/appearance');
    for (const title of titles) {
      await page.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name: title }).click();
      await expect(page.getByRole('heading', { level: 2, name: title })).toBeVisible();
      await page.waitForTimeout(100);
      const over = await page.evaluate(() => [...document.querySelectorAll('main, main *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('.sr-only, [role=grid]')).map((element) => element.outerHTML.slice(0, 120)));
      expect(over, `${title} at ${width}`).toEqual([]);
      if (process.env.LOOK && width === 640) await page.screenshot({ path: `/tmp/results-home-shots/narrow-${title}.png` });
    }
  }
});
