import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface Memory {
  fail(command: string, refusal?: { code: string; message: string; remedy?: string; where?: string }, times?: number): void;
  log: { kind: string; detail: string }[];
  speed: number;
}

const fail = (page: Page, command: string, refusal?: { code: string; message: string; remedy?: string; where?: string }) =>
  page.evaluate(([command, refusal]) => (window as unknown as { attune: Memory }).attune.fail(command as string, refusal as undefined), [command, refusal] as const);
const setting = (page: Page, key: string) => page.locator(`[data-setting="${key}"]`);
const verdict = (page: Page) => page.locator('[data-verdict]');
/** A choice of a segmented control: its radio is only for assistive technology, its label is what one clicks. */
const segment = (page: Page, title: string) => page.locator('label', { has: page.getByRole('radio', { name: title, exact: true }) });
const startButton = (page: Page) => page.getByRole('button', { name: /^(Start tuning|Add to queue)$/ });
const maths = '/new?dataset=gsm8k&model=Qwen%2FQwen3-0.6B';

test.describe('new experiment', () => {
  test('the estimate follows the settings', async ({ page }) => {
    await open(page, maths);
    await expect(verdict(page)).toHaveText(/^Fits, 4\.\d of 30\.6 GB$/);
    await expect(page.getByText('3\u202f699', { exact: true })).toBeVisible();
    await setting(page, 'batch_size').getByRole('spinbutton').fill('4');
    await expect(page.getByText('1\u202f850', { exact: true })).toBeVisible();
    await expect(setting(page, 'batch_size').getByRole('img', { name: 'Changed. Default: 2' })).toBeVisible();
    await setting(page, 'batch_size').getByRole('button', { name: 'Reset to 2' }).click();
    await expect(page.getByText('3\u202f699', { exact: true })).toBeVisible();
    await expect(page.getByRole('button', { name: 'Reset all' })).toBeDisabled();
  });

  test('what does not fit offers what would, each with what it saves', async ({ page }) => {
    await open(page, '/new?dataset=gsm8k&model=house-style-7b');
    await setting(page, 'batch_size').getByRole('spinbutton').fill('16');
    await expect(verdict(page)).toHaveText(/^Too large by \d+\.?\d* GB$/);
    const suggestion = page.getByRole('button', { name: /Hold weights in bfloat16 −14\.5 GB/ });
    await suggestion.click();
    await expect(verdict(page)).toHaveText(/^Fits/);
    await expect(page.getByRole('radio', { name: /LoRA on 16-bit weights/ })).toBeChecked();
    await page.getByRole('radio', { name: /^Full/ }).check();
    await expect(verdict(page)).toHaveText(/^Too large/);
    await expect(setting(page, 'lora_r')).toBeHidden();
    // Starting all the same is asked about first.
    await startButton(page).click();
    await expect(page.getByRole('alertdialog')).toContainText('does not fit');
    await page.getByRole('alertdialog').getByRole('button', { name: 'Cancel' }).click();
    await expect(page).toHaveURL(/#\/new/);
  });

  test('dataset and model are chosen by keyboard, and those that cannot be used say why', async ({ page }) => {
    await open(page, '/new');
    await expect(startButton(page)).toBeDisabled();
    await page.getByRole('button', { name: 'Choose a dataset' }).press('Enter');
    await expect(page.getByRole('combobox', { name: 'Search datasets' })).toBeFocused();
    await page.keyboard.type('maths');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('region', { name: 'Dataset' })).toContainText('Grade school maths');
    await page.getByRole('button', { name: 'Choose a model' }).click();
    const broken = page.getByRole('option', { name: /gemma-3n/ });
    await expect(broken).toContainText('the model family `gemma3n` is not supported');
    await expect(broken).toHaveAttribute('aria-disabled', 'true');
    await page.getByRole('option', { name: /Qwen3-0\.6B/ }).click();
    await expect(startButton(page)).toBeEnabled();
    await expect(page).toHaveURL(/dataset=gsm8k&model=Qwen/);
  });

  test('all settings are found by name, description and the name H2O gives them', async ({ page }) => {
    await open(page, maths);
    await expect(setting(page, 'weight_decay')).toBeHidden();
    await segment(page, 'Expert').click();
    await expect(setting(page, 'weight_decay')).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Prediction' })).toBeVisible();
    await page.keyboard.press('Control+F');
    await page.keyboard.type('train_dataframe');
    await expect(page.getByText('No setting has')).toBeVisible();
    await page.keyboard.press('Control+A');
    await page.keyboard.type('rsLoRA');
    await expect(setting(page, 'use_rslora')).toBeVisible();
    await expect(page.locator('[data-setting] [role=switch]')).toHaveCount(1);
    await setting(page, 'use_rslora').getByRole('switch').click();
    await page.keyboard.press('Control+F');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: '1 changed' }).click();
    await expect(page.locator('main [data-setting] [role=switch]')).toHaveCount(1);
  });

  test('a setting that does not matter says on what it depends', async ({ page }) => {
    await open(page, maths);
    await page.getByRole('radio', { name: /^Full/ }).check();
    await segment(page, 'Advanced').click();
    await expect(setting(page, 'lora_alpha')).toContainText('Only with LoRA.');
    await expect(setting(page, 'lora_alpha').getByRole('spinbutton')).toBeDisabled();
  });

  test('a refusal stands at its setting, wherever that is', async ({ page }) => {
    await open(page, maths);
    await segment(page, 'Advanced').click();
    await setting(page, 'warmup_epochs').getByRole('spinbutton').fill('3');
    await expect(setting(page, 'warmup_epochs')).toContainText('The warm-up of 3 epochs is longer than the run of 1');
    await segment(page, 'Basic').click();
    await expect(startButton(page)).toBeDisabled();
    await page.getByRole('button', { name: 'Go to Warm-up' }).click();
    await expect(setting(page, 'warmup_epochs').getByRole('spinbutton')).toBeFocused();
    await page.keyboard.press('Control+A');
    await page.keyboard.type('0.1');
    await expect(verdict(page)).toBeVisible();
    await expect(startButton(page)).toBeEnabled();
  });

  test('what was entered survives the way out and back', async ({ page }) => {
    await open(page, maths);
    await page.getByRole('textbox', { name: 'Name' }).fill('كيمياء 数学 run');
    await setting(page, 'epochs').getByRole('spinbutton').fill('2.5');
    await page.keyboard.press('Control+4');
    await expect(page.getByRole('grid', { name: 'Experiments' })).toBeVisible();
    await page.keyboard.press('Control+N');
    await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('كيمياء 数学 run');
    await expect(setting(page, 'epochs').getByRole('spinbutton')).toHaveValue('2.5');
    await expect(page.getByRole('region', { name: 'Dataset' })).toContainText('Grade school maths');
    await page.getByRole('button', { name: 'Reset all' }).click();
    await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('');
    await expect(page.getByRole('region', { name: 'Dataset' })).toContainText('Grade school maths');
  });

  test('another run is duplicated with its settings and the next name', async ({ page }) => {
    await open(page, '/new?from=gsm8k-qwen3');
    await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('Maths, rank 16 (2)');
    await expect(setting(page, 'lora_r').getByRole('spinbutton')).toHaveValue('16');
    await expect(page.getByText('With the settings of')).toContainText('Maths, rank 16');
    await page.getByRole('button', { name: 'Start from the defaults' }).click();
    await expect(setting(page, 'lora_r').getByRole('spinbutton')).toHaveValue('4');
  });

  test('the YAML is complete and can be copied', async ({ page }) => {
    await open(page, maths);
    await setting(page, 'lora_r').getByRole('spinbutton').fill('32');
    await page.getByRole('button', { name: 'YAML' }).click();
    const dialog = page.getByRole('dialog', { name: 'Settings as YAML' });
    await expect(dialog).toContainText('lora_r: 32');
    await expect(dialog).toContainText('stop_tokens: []');
    await dialog.getByRole('button', { name: 'Copy', exact: true }).click();
    expect(await page.evaluate(() => (window as unknown as { attune: Memory }).attune.log.at(-1)?.detail)).toContain('dataset: gsm8k');
  });

  test('Mod+Enter queues the run behind the one that works, with what was set', async ({ page }) => {
    await open(page, maths);
    await setting(page, 'lora_r').getByRole('spinbutton').fill('8');
    await page.getByRole('textbox', { name: 'Name' }).fill('Maths, rank 8');
    await expect(page.getByRole('button', { name: 'Add to queue' })).toBeEnabled();
    await page.keyboard.press('Control+Enter');
    await expect(page).toHaveURL(/#\/experiment\/maths-rank-8\/charts/);
    await page.keyboard.press('Control+4');
    await expect(page.getByRole('row').filter({ hasText: 'Maths, rank 8' })).toContainText('Queued');
    // What was started is no draft any more.
    await page.keyboard.press('Control+N');
    await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('');
  });

  test('alone in the library, dataset and model are chosen already, and the run starts at once', async ({ page }) => {
    await open(page, '/home', { scenario: 'first-start' });
    await page.evaluate(() => (window as unknown as { attune: { call(command: string, request: object): Promise<unknown> } }).attune.call('starter', {}));
    await page.keyboard.press('Control+N');
    await expect(page.getByRole('region', { name: 'Model' })).toContainText('attune-starter');
    await page.getByRole('button', { name: 'Choose a dataset' }).click();
    await page.getByRole('option').first().click();
    await startButton(page).click();
    await expect(page).toHaveURL(/#\/experiment\//);
    await page.evaluate(() => void ((window as unknown as { attune: Memory }).attune.speed = 2000));
    await page.keyboard.press('Control+4');
    await expect(page.getByRole('grid', { name: 'Experiments' }).getByText('Finished')).toBeVisible();
  });

  test('a refusal to start keeps the form and says what to do', async ({ page }) => {
    await open(page, maths);
    await expect(startButton(page)).toBeEnabled();
    await fail(page, 'experiment_start', { code: 'disk-full', message: 'only 80 MB are free where this run with its checkpoints would go', remedy: 'Free 62 MB, or move the home folder.' });
    await startButton(page).click();
    await expect(page.getByRole('alert')).toContainText('Only 80 MB are free');
    await expect(page.getByRole('alert')).toContainText('Free 62 MB');
    await startButton(page).click();
    await expect(page).toHaveURL(/#\/experiment\//);
  });

  test('without data and models it says how to get some', async ({ page }) => {
    await open(page, '/new', { scenario: 'empty' });
    await expect(page.getByRole('region', { name: 'Dataset' }).getByRole('button', { name: 'Import data' })).toBeVisible();
    await expect(page.getByRole('region', { name: 'Model' }).getByRole('link', { name: 'Open models' })).toBeVisible();
  });

  test('nothing is cut off in the smallest window, nor at twice the size', async ({ page }) => {
    for (const [width, height] of [[960, 640], [640, 400]]) {
      await page.setViewportSize({ width, height });
      await open(page, maths);
      await segment(page, 'Expert').click();
      expect(await cutOff(page), `${width} px`).toEqual([]);
    }
  });
});

/** Controls of the page that reach beyond its right edge. */
function cutOff(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('main button, main input, main a')]
      .filter((element) => element.checkVisibility() && !element.closest('[role=grid], [role=region][tabindex]') && element.getBoundingClientRect().right > innerWidth + 1 && element.getBoundingClientRect().width > 2)
      .map((element) => element.outerHTML.slice(0, 120)),
  );
}

test.describe('the list of experiments', () => {
  test('it is searched, filtered and sorted', async ({ page }) => {
    await open(page, '/experiments');
    const grid = page.getByRole('grid', { name: 'Experiments' });
    const names = () => grid.getByRole('row').locator('p.font-medium').allInnerTexts();
    await expect(grid).toHaveAttribute('aria-rowcount', '8');
    await grid.getByRole('button', { name: 'Best val.' }).click();
    await expect.poll(async () => (await names())[0]).toBe('Orders to JSON');
    await expect(grid.getByRole('columnheader', { name: 'Best val.' })).toHaveAttribute('aria-sort', 'ascending');
    await page.keyboard.press('Control+F');
    await page.keyboard.type('llama radiology');
    await expect.poll(names).toEqual(['Radiology, plain text']);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /^Status: / }).or(page.getByRole('combobox', { name: /^Status: / })).click();
    await page.getByRole('option', { name: 'Failed, 1' }).click();
    await expect.poll(names).toEqual(['House style']);
    await page.keyboard.press('Control+F');
    await page.keyboard.type('zzz');
    await expect(page.getByText('No experiment is like that')).toBeVisible();
    await page.getByRole('button', { name: 'Show all' }).click();
    await expect(grid).toHaveAttribute('aria-rowcount', '8');
  });

  test('the keyboard moves, chooses, compares and opens', async ({ page }) => {
    await open(page, '/experiments');
    const grid = page.getByRole('grid', { name: 'Experiments' });
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press(' ');
    await expect(grid.getByRole('row', { selected: true })).toContainText('Maths, rank 16');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Shift+ ');
    await expect(grid.getByRole('row', { selected: true })).toHaveCount(3);
    await page.keyboard.press('Control+Enter');
    await expect(page).toHaveURL(/#\/compare\?id=gsm8k-qwen3&id=orders-starter&id=gsm8k-qwen3-2/);
    await page.keyboard.press('Control+[');
    await grid.focus();
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/#\/experiment\/gsm8k-qwen3-16-bit/);
  });

  test('several are deleted after a question that names them', async ({ page }) => {
    await open(page, '/experiments');
    const grid = page.getByRole('grid', { name: 'Experiments' });
    await grid.getByRole('checkbox', { name: 'Choose House style' }).check();
    await grid.getByRole('checkbox', { name: 'Choose Maths, 16-bit weights' }).click({ modifiers: ['Shift'] });
    await expect(page.getByText('3 chosen')).toBeVisible();
    await grid.focus();
    await page.keyboard.press('Delete');
    const question = page.getByRole('alertdialog');
    await expect(question).toContainText('Delete 3 experiments?');
    await expect(question).toContainText('Radiology, plain text: 610 steps');
    await question.getByRole('button', { name: 'Delete 3 experiments' }).click();
    await expect(grid).toHaveAttribute('aria-rowcount', '5');
    await expect(page.getByText(/[\d.]+ MB freed/)).toBeVisible();
  });

  test('a run is renamed in its row; Escape leaves the name', async ({ page }) => {
    await open(page, '/experiments');
    const grid = page.getByRole('grid', { name: 'Experiments' });
    await page.getByRole('button', { name: 'More for Orders to JSON' }).click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    const field = page.getByRole('textbox', { name: 'New name of Orders to JSON' });
    await expect(field).toBeFocused();
    await page.keyboard.type('Orders, ');
    // The list is read again meanwhile, which must not take back what was typed.
    await page.waitForTimeout(1_000);
    await page.keyboard.type('final');
    await page.keyboard.press('Enter');
    await expect(grid.getByText('Orders, final')).toBeVisible();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('F2');
    await page.keyboard.type('nonsense');
    await page.keyboard.press('Escape');
    await expect(grid.getByText('nonsense')).toBeHidden();
    await expect(grid.getByText('Maths, rank 16')).toBeVisible();
  });

  test('a run is paused and continued from its menu', async ({ page }) => {
    await open(page, '/experiments');
    const row = page.getByRole('row').filter({ hasText: 'Maths, rank 16' });
    await page.getByRole('button', { name: 'More for Maths, rank 16' }).click();
    await page.getByRole('menuitem', { name: 'Pause' }).click();
    await expect(row).toContainText('Paused');
    // The next in the queue takes the device.
    await expect(page.getByRole('row').filter({ hasText: 'Support tone' })).toContainText('Running');
    await page.getByRole('button', { name: 'More for Maths, rank 16' }).click();
    await page.getByRole('menuitem', { name: 'Continue' }).click();
    await expect(row).toContainText('Queued');
    await row.click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Duplicate' }).click();
    await expect(page).toHaveURL(/#\/new\?from=gsm8k-qwen3$/);
  });

  test('a list that cannot be read says so and can be asked again', async ({ page }) => {
    await open(page, '/experiments', { scenario: 'failing' });
    await expect(page.getByText('The experiments cannot be listed')).toBeVisible();
    await expect(page.getByRole('main').getByRole('button', { name: 'Try again' })).toBeVisible();
    await open(page, '/experiments', { scenario: 'empty' });
    await expect(page.getByRole('heading', { name: 'No experiments yet' })).toBeVisible();
  });
});

test.describe('comparing', () => {
  const three = '/compare?id=gsm8k-qwen3&id=gsm8k-qwen3-2&id=gsm8k-qwen3-16-bit';

  test('curves, results and the settings that differ stand side by side', async ({ page }) => {
    await open(page, three);
    await expect(page.getByRole('group', { name: /^Training loss to step 1.120: A 0\.\d+, B 0\.\d+, C 0\.\d+/ })).toBeVisible();
    for (const title of ['Validation loss', 'Learning rate', 'Gradient norm', 'Tokens per second']) await expect(page.getByRole('group', { name: new RegExp(`^${title} to step`) })).toBeVisible();
    const results = page.getByRole('region', { name: 'Results' }).getByRole('table');
    await expect(results.getByRole('row', { name: /^Peak memory/ }).getByRole('cell').nth(2)).toContainText('best');
    const settings = page.getByRole('region', { name: 'Settings' }).getByRole('table');
    await expect(settings.getByRole('row', { name: /^LoRA rank 16 4 16/ })).toBeVisible();
    await expect(settings.getByRole('row', { name: /^Batch size/ })).toBeHidden();
    await page.getByRole('switch', { name: 'Show all' }).click();
    await expect(settings.getByRole('row', { name: /^Batch size 8 8 8/ })).toBeVisible();
    await segment(page, 'Time').click();
    await expect(page.getByRole('group', { name: /^Training loss to time \d+ m/ })).toBeVisible();
  });

  test('runs are hidden, taken out, brought back and added, and the address says which', async ({ page }) => {
    await open(page, three);
    await page.getByRole('button', { name: 'Hide Maths, rank 4 in the charts' }).click();
    await expect(page.getByRole('group', { name: /^Training loss to step .*: A 0\.\d+, C 0\.\d+\./ })).toBeVisible();
    await page.getByRole('button', { name: 'Take Maths, rank 4 out' }).click();
    await expect(page).toHaveURL(/compare\?id=gsm8k-qwen3&id=gsm8k-qwen3-16-bit$/);
    await page.getByRole('button', { name: 'Undo' }).click();
    await expect(page).toHaveURL(/id=gsm8k-qwen3-2&/);
    const add = page.getByRole('combobox', { name: 'Add a run' });
    await add.click();
    await add.fill('orders');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/id=orders-starter$/);
    await expect(page.getByText('Losses on different datasets say nothing about each other')).toBeVisible();
  });

  test('a run that works goes on drawing, and one that is gone says so', async ({ page }) => {
    await open(page, '/compare?id=gsm8k-qwen3&id=was-deleted');
    await expect(page.getByText('was-deleted: no longer there')).toBeVisible();
    const steps = page.getByRole('region', { name: 'Results' }).getByRole('row', { name: /^Steps/ }).getByRole('cell').first();
    await page.evaluate(() => void ((window as unknown as { attune: Memory }).attune.speed = 60));
    await expect(steps).toContainText(/(3[5-9]|[4-9]\d)\d \/ 1.120/);
  });

  test('a run keeps its colour in another company', async ({ page }) => {
    const color = () => page.getByRole('button', { name: 'Hide Maths, 16-bit weights in the charts' }).locator('span span').first().getAttribute('class');
    await open(page, three);
    const before = await color();
    await open(page, '/compare?id=gsm8k-qwen3-16-bit&id=orders-starter');
    expect(await color()).toBe(before);
  });
});

for (const theme of ['light', 'dark'] as const) {
  test(`nothing keeps people out in the ${theme} theme`, async ({ page }) => {
    test.slow();
    await open(page, maths, { theme });
    await segment(page, 'Expert').click();
    await expect(verdict(page)).toBeVisible();
    expect(await barriers(page), 'new').toEqual([]);
    await page.getByRole('button', { name: 'Change the model' }).click();
    await expect(page.getByRole('listbox')).toBeVisible();
    expect(await barriers(page, '[role=dialog]'), 'picker').toEqual([]);
    await open(page, '/experiments', { theme });
    await page.getByRole('checkbox', { name: 'Choose House style' }).check();
    expect(await barriers(page), 'list').toEqual([]);
    await open(page, '/compare?id=gsm8k-qwen3&id=orders-starter', { theme });
    await expect(page.getByRole('group', { name: /^Training loss to step/ })).toBeVisible();
    expect(await barriers(page), 'compare').toEqual([]);
  });

  test(`pictures for the documents, ${theme} @screenshot`, async ({ page }) => {
    test.slow();
    const shoot = (name: string) => page.screenshot({ path: `docs/screenshots/${name}-${theme}.png` });
    await open(page, '/new?dataset=gsm8k&model=meta-llama%2FLlama-3.2-3B-Instruct', { theme });
    await page.getByRole('textbox', { name: 'Name' }).fill('Maths on Llama 3B');
    await setting(page, 'lora_r').getByRole('spinbutton').fill('16');
    await setting(page, 'batch_size').getByRole('spinbutton').fill('16');
    await page.getByRole('textbox', { name: 'Name' }).blur();
    await page.locator('main [data-setting="dataset"]').evaluate((element) => element.scrollIntoView({ block: 'end' }));
    await expect(page.getByRole('button', { name: /Hold weights in bfloat16/ })).toBeVisible();
    await page.waitForTimeout(400);
    await shoot('new-experiment');
    await open(page, '/experiments', { theme });
    await page.getByRole('checkbox', { name: 'Choose Maths, rank 16' }).check();
    await page.getByRole('checkbox', { name: 'Choose Maths, rank 4' }).check();
    await page.waitForTimeout(400);
    await shoot('experiments');
    await open(page, '/compare?id=gsm8k-qwen3&id=gsm8k-qwen3-2&id=gsm8k-qwen3-16-bit', { theme });
    await expect(page.getByRole('group', { name: /^Training loss to step/ })).toBeVisible();
    await page.waitForTimeout(600);
    await shoot('compare');
  });
}
