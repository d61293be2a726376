import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface Memory {
  log: { kind: string; detail: string }[];
  fail(command: string, refusal?: { code: string; message: string; remedy?: string }, times?: number): void;
  call(command: string, request: object): Promise<unknown>;
}
const log = (page: Page) => page.evaluate(() => (window as unknown as { attune: Memory }).attune.log);
const refuse = (page: Page, command: string, refusal?: { code: string; message: string; remedy?: string }) =>
  page.evaluate(([command, refusal]) => (window as unknown as { attune: Memory }).attune.fail(command as string, refusal as never), [command, refusal] as const);
const section = (page: Page, title: string) => page.getByRole('region', { name: title, exact: true });

test('at first there is this machine and one thing to do, and it leads to a run', async ({ page }) => {
  await open(page, '/home', { scenario: 'first-start' });
  const machine = section(page, 'This machine');
  await expect(machine).toContainText('Apple M3 Max');
  await expect(machine).toContainText('Apple GPU: there is an Apple GPU, which shares the memory of the processor');
  await expect(machine).toContainText('up to 14.8 B with QLoRA · 8 B with 16-bit LoRA · 4 B with LoRA · 1.2 B with full fine-tuning');
  await expect(page.getByRole('heading', { level: 2 })).toHaveText(['Try it now']);
  await page.keyboard.press('Control+Enter');
  await expect(page.getByRole('status').filter({ hasText: /Installing|Reading|Starting/ })).toBeVisible();
  await expect(page).toHaveURL(/#\/experiment\/first-run/);
  await page.keyboard.press('Control+1');
  await expect(section(page, 'Running').getByRole('link', { name: 'First run' })).toBeVisible();
  await expect(section(page, 'Recent datasets').getByRole('link', { name: /Café orders/ })).toHaveCount(2);
  await expect(page.getByRole('button', { name: 'Start tuning' })).toBeHidden();
});

test('a first run that is refused says why and can be tried again', async ({ page }) => {
  await open(page, '/home', { scenario: 'first-start' });
  await refuse(page, 'starter', { code: 'disk-full', message: 'cannot write in the home folder: no space left', remedy: 'Free 20 MB, then try again.' });
  await page.getByRole('button', { name: 'Start tuning' }).click();
  const refusal = page.getByRole('alert');
  await expect(refusal).toContainText('no space left');
  await expect(refusal).toContainText('Free 20 MB');
  await refusal.getByRole('button', { name: 'Try again' }).click();
  await expect(page).toHaveURL(/#\/experiment\//);
});

test('own data are chosen from the first page', async ({ page }) => {
  await open(page, '/home', { scenario: 'first-start' });
  await page.getByRole('button', { name: 'Choose files' }).click();
  await expect(page).toHaveURL(/#\/import\?path=/);
});

test('details of the machine open above the page, copy as text, and give the focus back', async ({ page }) => {
  await open(page, '/home', { scenario: 'empty' });
  await expect(page.getByRole('list', { name: 'Worth knowing' })).toContainText('/data/attune cannot be written');
  const details = page.getByRole('button', { name: 'Details' });
  await details.focus();
  await page.keyboard.press('Enter');
  const sheet = page.getByRole('dialog', { name: 'This machine' });
  await expect(sheet).toContainText('2 of 64 may be used');
  await expect(sheet).toContainText("there is an NVIDIA GPU, but no driver for it. Install NVIDIA's driver, version 580");
  await expect(sheet).toContainText('4 GB, set by the container');
  await expect(sheet).toContainText('about 135 M parameters');
  await sheet.getByRole('button', { name: 'Show /data/attune in the file manager' }).click();
  await sheet.getByRole('button', { name: 'Copy as text' }).click();
  await expect.poll(async () => (await log(page)).map(({ kind }) => kind)).toEqual(['reveal', 'copy']);
  expect((await log(page))[1].detail).toContain('Finding: Only 1200 MB are free');
  await page.keyboard.press('Escape');
  await expect(sheet).toBeHidden();
  await expect(details).toBeFocused();
});

test('a running run moves on, pauses from here, and then can be continued', async ({ page }) => {
  await open(page, '/home');
  const running = section(page, 'Running');
  await expect(running.getByRole('progressbar', { name: 'Maths, rank 16' })).toHaveAttribute('aria-valuenow', /3\d/);
  await expect(running.getByRole('img', { name: /^Training loss, now/ })).toBeVisible();
  await expect(running).toContainText('Waits for Maths, rank 16');
  const step = async () => Number((await running.textContent())?.match(/Step (\d+)/)?.[1]);
  const before = await step();
  await expect.poll(step, { timeout: 8_000 }).toBeGreaterThan(before);
  await running.getByRole('button', { name: 'Pause Maths, rank 16' }).click();
  const resting = section(page, 'Can be continued');
  await expect(resting).toContainText(/Paused at step 34\d of 1\s120/);
  await expect(running.getByRole('link', { name: 'Support tone' })).toBeVisible();
  await resting.getByRole('button', { name: /Continue Maths, rank 16 from step \d+/ }).click();
  await expect(running).toContainText('Waits for Support tone');
});

// What an interrupted run goes on from is its checkpoint, not the step it had reached.
test('an interrupted run says where it stopped and from where it goes on', async ({ page }) => {
  await open(page, '/home');
  const resting = section(page, 'Can be continued');
  await expect(resting).toContainText(/Stopped at step 340 of 1\s120 when the app closed/);
  await expect(resting.getByRole('button')).toHaveText('Continue from step 320');
  await refuse(page, 'experiments_resume', { code: 'checkpoint-broken', message: 'the checkpoint cannot be read', remedy: 'Start anew with the same settings.' });
  await resting.getByRole('button').click();
  await expect(page.getByRole('alert')).toContainText('Start anew with the same settings.');
  await expect(resting.getByRole('button')).toBeEnabled();
});

test('other work shows what it does and can be cancelled', async ({ page }) => {
  await open(page, '/home');
  const working = section(page, 'Also working');
  await expect(working.getByRole('listitem')).toHaveCount(3);
  await expect(working).toContainText('Reading support-2025.jsonl');
  await expect(working.getByRole('progressbar', { name: 'Export of radiology-llama-merged' })).toBeVisible();
  await expect(working.getByRole('listitem').filter({ hasText: 'Orders to JSON' })).toContainText('Waits for the device');
  await working.getByRole('button', { name: 'Cancel the import of support-2025.jsonl' }).click();
  await expect(working.getByRole('listitem')).toHaveCount(2);
  await expect(working).not.toContainText('support-2025');
});

test('recent experiments and datasets open by keyboard', async ({ page }) => {
  await open(page, '/home');
  const run = section(page, 'Recent experiments').getByRole('link', { name: /Orders to JSON/ });
  await expect(run).toContainText('attune-starter · Café orders · LoRA');
  await expect(run).toContainText(/Best loss 0\.\d+/);
  await run.focus();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#\/experiment\/orders-starter\/charts$/);
  await page.keyboard.press('Control+[');
  await section(page, 'Recent datasets').getByRole('link', { name: /Grade school maths/ }).click();
  await expect(page).toHaveURL(/#\/dataset\/gsm8k$/);
});

test('a library that cannot be read says so, and is read again', async ({ page }) => {
  await open(page, '/home', { scenario: 'failing' });
  await expect(page.getByRole('alert').first()).toContainText('The library could not be read');
  await expect(page.getByRole('alert').first()).toContainText('close it, then try again');
  await open(page, '/home', { fail: 'data_list' });
  await expect(page.getByRole('alert')).toContainText('The datasets could not be listed');
  await expect(section(page, 'Running')).toBeVisible();
});

for (const theme of ['light', 'dark'] as const) {
  test(`home has no barriers in the ${theme} theme`, async ({ page }) => {
    await open(page, '/home', { theme, scenario: 'first-start' });
    await expect(section(page, 'This machine')).toContainText('Apple');
    expect(await barriers(page)).toEqual([]);
    await open(page, '/home', { theme });
    await expect(section(page, 'Running').getByRole('img', { name: /^Training loss/ })).toBeVisible();
    expect(await barriers(page)).toEqual([]);
    await page.getByRole('button', { name: 'Details' }).click();
    await expect(page.getByRole('dialog')).toBeVisible();
    expect(await barriers(page, '[role=dialog]')).toEqual([]);
  });

  test(`home in the ${theme} theme @screenshot`, async ({ page }) => {
    await open(page, '/home', { theme, scenario: 'first-start' });
    await expect(section(page, 'This machine')).toContainText('for a run');
    await page.screenshot({ path: `docs/screenshots/home-first-start-${theme}.png` });
    await open(page, '/home', { theme });
    await expect(section(page, 'Recent experiments').getByRole('img', { name: 'Training loss' }).first()).toBeAttached();
    await page.waitForTimeout(900);
    await page.screenshot({ path: `docs/screenshots/home-${theme}.png` });
  });
}

test('nothing is cut off at the smallest window, nor at twice its size', async ({ page }) => {
  for (const width of [960, 640]) {
    await page.setViewportSize({ width, height: 640 });
    for (const scenario of ['first-start', 'working']) {
      await open(page, '/home', { scenario });
      await expect(section(page, 'This machine')).toContainText('Apple');
      if (scenario === 'working') {
        const long = 'Kundenanfragen, Stil und Ton, dritte Runde mit gekürzten Antworten und ohne Anrede '.repeat(3);
        await page.evaluate((name) => (window as unknown as { attune: Memory }).attune.call('experiments_rename', { experiment: 'gsm8k-qwen3', name }), long);
        await page.evaluate((name) => (window as unknown as { attune: Memory }).attune.call('experiments_rename', { experiment: 'orders-starter', name }), 'طلبات المقهى '.repeat(30));
        await expect(section(page, 'Running')).toContainText('dritte Runde');
      }
      const over = await page.evaluate(() => [...document.querySelectorAll('main, main *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('.sr-only')).map((element) => element.outerHTML.slice(0, 120)));
      expect(over, `${scenario} at ${width}`).toEqual([]);
      if (process.env.LOOK) await page.screenshot({ path: `/tmp/results-home-shots/home-${scenario}-${width}.png` });
    }
  }
});
