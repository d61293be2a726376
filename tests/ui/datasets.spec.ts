import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface Memory {
  choices: (string[] | null)[];
  log: { kind: string; detail: string }[];
  drop(drop: { kind: string; paths: string[]; x: number; y: number }): void;
}

const importOf = (...names: string[]) => `/import?${names.map((name) => `path=${encodeURIComponent(`/home/ada/data/${name}`)}`).join('&')}`;
const primary = (page: Page) => page.getByRole('button', { name: /^Import (at least )?[\d\s]+ conversations?$/ });
const drop = (page: Page, kind: string, paths: string[]) => page.evaluate(([kind, paths]) => (window as unknown as { attune: Memory }).attune.drop({ kind: kind as string, paths: paths as string[], x: 400, y: 300 }), [kind, paths]);
const choose = (page: Page, paths: string[]) => page.evaluate((paths) => (window as unknown as { attune: Memory }).attune.choices.push(paths), paths);

async function pick(page: Page, column: string, role: string): Promise<void> {
  await page.getByRole('combobox', { name: new RegExp(`^Role of ${column}`) }).click();
  await page.getByRole('option', { name: role }).click();
}

test.describe('the list', () => {
  test('is searched, sorted and opened by keyboard', async ({ page }) => {
    await open(page, '/datasets');
    const grid = page.getByRole('grid', { name: 'Datasets' });
    await expect(grid.getByRole('row')).toHaveCount(10);
    await expect(grid.getByRole('row', { name: /Grade school maths/ })).toContainText('experiments');
    await page.getByRole('button', { name: 'Conversations' }).click();
    await page.getByRole('button', { name: 'Conversations' }).click();
    await expect(grid.getByRole('row').nth(1)).toContainText('Every support ticket since 2019');
    await page.keyboard.press('Control+F');
    await page.keyboard.type('2026 messages');
    await expect(grid.getByRole('row')).toHaveCount(4);
    await page.keyboard.type(' nothing like this');
    await page.getByRole('button', { name: 'Empty the search' }).last().click();
    await page.keyboard.press('Control+F');
    await page.keyboard.type('radiology');
    await grid.focus();
    await page.keyboard.press('Enter');
    await expect(page.getByRole('heading', { level: 1, name: 'Radiology reports' })).toBeVisible();
  });

  test('removes what nobody uses, after it said what goes, and shows why it cannot remove the rest', async ({ page }) => {
    await open(page, '/datasets');
    await page.getByRole('button', { name: 'More about Questions in six languages' }).click();
    await page.getByRole('menuitem', { name: 'Remove' }).click();
    await expect(page.getByRole('alertdialog', { name: 'Remove Questions in six languages?' })).toContainText('The file you imported stays');
    await page.getByRole('button', { name: 'Remove dataset' }).click();
    await expect(page.getByText('Removed Questions in six languages')).toBeVisible();
    await expect(page.getByRole('row', { name: /Questions in six languages/ })).toHaveCount(0);
    await page.getByRole('button', { name: 'More about Grade school maths' }).click();
    await page.getByRole('menuitem', { name: 'Remove' }).click();
    await expect(page.getByRole('alertdialog')).toContainText('Maths, rank 16');
    await page.getByRole('button', { name: 'Remove dataset' }).click();
    await expect(page.getByText(/still needs the dataset/)).toBeVisible();
    await expect(page.getByText(/Stop or delete that experiment first/)).toBeVisible();
    await expect(page.getByRole('row', { name: /Grade school maths/ })).toBeVisible();
  });

  test('is empty with the one action, and failed with a retry', async ({ page }) => {
    await open(page, '/datasets', { scenario: 'empty' });
    await choose(page, ['/home/ada/data/orders.jsonl']);
    await page.getByRole('button', { name: 'Choose files' }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Import orders.jsonl' })).toBeVisible();
    await open(page, '/datasets', { fail: 'data_list' });
    await expect(page.getByText('The datasets could not be listed')).toBeVisible();
    await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
  });
});

test.describe('an import', () => {
  test('shows what is in a file, and keeps what was chosen', async ({ page }) => {
    await open(page, importOf('gsm8k-train.parquet'));
    await expect(page.getByText('Parquet · 2.3 MB · 7\u202f473 rows · 2 columns')).toBeVisible();
    await expect(page.getByRole('combobox', { name: 'Role of answer: Answer' })).toBeVisible();
    await expect(primary(page)).toHaveText('Import 7\u202f461 conversations');

    await page.getByRole('button', { name: '12 rows without an answer' }).click();
    await expect(page.getByText(/Rows 1\u202f204, 1\u202f391, .* and 2 more/)).toBeVisible();
    await page.getByRole('button', { name: 'Choose the column' }).click();
    await expect(page.getByRole('combobox', { name: /^Role of answer/ })).toBeFocused();
    await page.getByRole('switch', { name: 'Leave out 7 rows' }).click();
    await expect(primary(page)).toHaveText('Import 7\u202f454 conversations');
    await page.getByRole('switch', { name: 'Leave out 3 rows' }).click();
    await expect(primary(page)).toHaveText('Import at least 7\u202f451 conversations');
    await page.getByRole('switch', { name: 'Leave out 3 rows' }).click();

    await page.getByRole('slider', { name: /Hold out a share/ }).fill('0.1');
    await expect(page.getByText(/6\u202f709 conversations to tune on; 745 conversations in “gsm8k-train held out”/)).toBeVisible();
    await page.getByRole('textbox', { name: 'Name' }).fill('Maths for May');
    await page.keyboard.press('Control+Enter');
    await expect(page.getByRole('heading', { level: 1, name: 'Maths for May' })).toBeVisible();
    await expect(page.getByText('6\u202f709 conversations, and 745 conversations held out.')).toBeVisible();
    await page.keyboard.press('Control+Enter');
    await expect(page).toHaveURL(/#\/new\?dataset=maths-for-may$/);
  });

  test('is read anew for each change of roles, and says what is missing', async ({ page }) => {
    await open(page, importOf('orders.jsonl'));
    await expect(primary(page)).toHaveText('Import 600 conversations');
    await pick(page, 'answer', 'Not used');
    await expect(page.getByText('Choose the column with the answer.')).toBeVisible();
    await expect(primary(page)).toBeDisabled();
    await pick(page, 'source', 'Answer');
    await expect(primary(page)).toBeEnabled();
    await expect(page.getByText('As you chose.')).toBeVisible();
    await page.getByText('Conversation', { exact: true }).click();
    await expect(page.getByRole('article', { name: 'Assistant' })).toHaveText(/Assistant\s*web/);
    await pick(page, 'prompt', 'Plain text');
    await expect(page.getByRole('combobox', { name: 'Role of source: Not used' })).toBeVisible();
    await expect(page.getByText('Plain text, learnt as it is.')).toBeVisible();
  });

  test('previews one conversation at a time in three views, by arrow keys', async ({ page }) => {
    await open(page, importOf('orders.jsonl'));
    const preview = page.getByRole('region', { name: 'Preview' });
    await expect(preview.getByText('Template: tokenizer_config.json')).toBeVisible();
    await expect(preview.locator('.token-trained.token-stop')).toHaveText(['Stop token', '<|im_end|>'].slice(1));
    expect(await preview.locator('.token-trained[data-at]').allTextContents().then((texts) => texts.join(''))).toContain('{"table": 9');
    expect(await preview.locator('.token-masked[data-at]').allTextContents().then((texts) => texts.join(''))).toContain('One flat white to table nine');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await expect(preview.getByText('3 of 600')).toBeVisible();
    await expect(preview.getByRole('group', { name: /^Tokens of conversation 3/ })).toContainText('pots of Earl Grey');
    await page.keyboard.press('ArrowLeft');
    await expect(preview.getByText('2 of 600')).toBeVisible();
    await preview.getByText('Raw', { exact: true }).click();
    await expect(preview.getByRole('region', { name: 'Text as the model reads it' })).toContainText('<|im_start|>assistant\n{"table"');
    await preview.getByRole('combobox', { name: 'Model for template' }).click();
    await page.getByRole('option', { name: /SmolLM2/ }).click();
    await expect(preview.getByRole('combobox', { name: 'Model for template' })).toHaveText(/SmolLM2/);
  });

  test('walks tokens by keyboard, and tells their ids', async ({ page }) => {
    await open(page, importOf('orders.jsonl'));
    const tokens = page.getByRole('group', { name: /^Tokens of conversation 1/ });
    await expect(tokens).toBeVisible();
    await page.getByRole('radio', { name: 'Tokens' }).focus();
    await page.keyboard.press('Tab');
    await expect(tokens).toBeFocused();
    for (const _ of [1, 2, 3]) await page.keyboard.press('ArrowRight');
    await expect(page.getByRole('tooltip')).toContainText(/"\\n" id \d+/);
    await expect(page.getByRole('tooltip')).toContainText('token 3 · masked');
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await expect(page.getByRole('tooltip')).toContainText('trained, stop token');
    await expect(page.getByText('1 of 600')).toBeVisible();
  });

  test('ties the limit, its line and the remedies together', async ({ page }) => {
    await open(page, importOf('gsm8k-train.parquet'));
    const line = page.getByRole('slider', { name: /Conversations by their length/ });
    await expect(line).toHaveAttribute('aria-valuenow', '512');
    await expect(page.getByText('cuts 3 of 7\u202f461 conversations')).toBeVisible();
    await page.getByRole('button', { name: /^Raise maximum length to/ }).click();
    await expect(page.getByText('cuts none of 7\u202f461 conversations')).toBeVisible();
    await expect(page.getByRole('button', { name: /longer than the maximum length/ })).toHaveCount(0);
    await line.focus();
    await page.keyboard.press('Home');
    await expect(page.getByRole('spinbutton', { name: 'Maximum length' })).toHaveValue('32');
    await expect(page.getByRole('button', { name: /rows whose answer begins after the maximum length/ })).toBeVisible();
    await expect(page.getByText('Runs skip them')).toBeVisible();
    await expect(page.getByText(/Nothing can be learnt from it/)).toBeVisible();
  });

  test('reads another file of an archive', async ({ page }) => {
    await open(page, importOf('support-2026.jsonl.zip'));
    await expect(page.getByRole('combobox', { name: 'Role of messages: Messages' })).toBeVisible();
    const before = await primary(page).textContent();
    await page.getByRole('combobox', { name: 'File in the archive' }).click();
    await page.getByRole('option', { name: 'support-2025.jsonl' }).click();
    await expect(primary(page)).not.toHaveText(before ?? '');
    await expect(page.getByText('JSONL · 188 MB · 19\u202f346 rows · 4 columns')).toBeVisible();
  });

  test('takes several files one after another', async ({ page }) => {
    await open(page, importOf('orders.jsonl', 'languages.jsonl', 'menu.csv'));
    const queue = page.getByRole('navigation', { name: 'Files to import' });
    await expect(primary(page)).toHaveText('Import 600 conversations');
    await primary(page).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Import languages.jsonl' })).toBeVisible();
    await expect(queue.getByText('1 of 3 files')).toBeVisible();
    await queue.getByRole('button', { name: 'Skip this file' }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Import menu.csv' })).toBeVisible();
    await expect(page.getByText(/windows-1252 · separated by semicolon/)).toBeVisible();
    await expect(page.getByRole('button', { name: /rows with unreadable characters/ })).toBeVisible();
    await drop(page, 'enter', ['/home/ada/data/reports.csv']);
    await expect(page.getByText('Add reports.csv to this import')).toBeVisible();
    await drop(page, 'drop', ['/home/ada/data/reports.csv']);
    await expect(queue.getByText('1 of 3 files')).toBeVisible();
    await primary(page).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Import reports.csv' })).toBeVisible();
    await primary(page).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Datasets' })).toBeVisible();
    await expect(page.getByRole('row', { name: /^orders / })).toBeVisible();
  });

  test('refuses a bad file with the place and the remedy, and offers another', async ({ page }) => {
    await open(page, importOf('broken.jsonl'));
    await expect(page.getByText('broken.jsonl cannot be imported')).toBeVisible();
    await expect(page.getByText('/home/ada/data/broken.jsonl:1204')).toBeVisible();
    await expect(page.getByText(/Repair or delete that line/)).toBeVisible();
    await choose(page, ['/home/ada/data/nameless.csv']);
    await page.getByRole('button', { name: 'Choose another file' }).click();
    await expect(page.getByText(/The columns a, b, c are not known/)).toBeVisible();
    await page.getByRole('textbox', { name: 'Columns of the question' }).fill('a');
    await page.getByRole('textbox', { name: 'Column of the answer' }).fill('b');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('combobox', { name: 'Role of b: Answer' })).toBeVisible();
    await expect(primary(page)).toBeEnabled();
  });

  test('of a long file shows how far it is, and can be ended', async ({ page }) => {
    await open(page, importOf('million.jsonl'));
    await expect(page.getByRole('progressbar', { name: /million\.jsonl/ })).toHaveAttribute('aria-valuenow', /[1-9]/);
    await expect(page.getByText(/of 1\.4 GB/)).toBeVisible();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect(page.getByText('million.jsonl was not checked to its end')).toBeVisible();
    await expect(page.getByRole('button', { name: 'Check it again' })).toBeVisible();
  });

  test('keeps nothing when it is cancelled or fails', async ({ page }) => {
    await open(page, importOf('support-2026.jsonl.zip'));
    await primary(page).click();
    await page.getByRole('button', { name: 'Cancel import' }).click();
    await expect(primary(page)).toBeEnabled();
    await page.evaluate(() => (window as unknown as { attune: { fail(command: string, refusal: object): void } }).attune.fail('data_import', { code: 'disk-full', message: 'the disk has 1.2 GB left, and this import needs 2.1 GB', remedy: 'Free some space, then try again.' }));
    await primary(page).click();
    await expect(page.getByText(/this import needs 2.1 GB/)).toBeVisible();
    await page.getByRole('link', { name: 'Datasets', exact: true }).first().click();
    await expect(page.getByText('9 datasets')).toBeVisible();
  });

  test('works without a model: conversations, but no tokens', async ({ page }) => {
    await open(page, importOf('orders.jsonl'), { scenario: 'empty' });
    await expect(primary(page)).toHaveText('Import 600 conversations');
    await expect(page.getByText('Tokens and lengths need a model.', { exact: false })).toBeVisible();
    await expect(page.getByRole('radio', { name: 'Tokens' })).toBeDisabled();
    await expect(page.getByRole('article', { name: 'User' })).toContainText('One flat white');
  });
});

test.describe('a dataset', () => {
  test('is read, as a table, in numbers, with its problems and versions', async ({ page }) => {
    await open(page, '/dataset/support');
    await expect(page.getByText('31\u202f204 conversations', { exact: true })).toBeVisible();
    await page.getByRole('spinbutton', { name: 'Number of the conversation' }).fill('8');
    const log = page.getByRole('article', { name: 'User' });
    await expect(log.getByRole('button', { name: /Show all of User/ })).toHaveText(/Show all 8\u202f\d{3} characters/);
    await log.getByRole('button').click();
    await expect(log).toContainText('part 130 of 130');

    await page.getByRole('tab', { name: 'Statistics' }).click();
    await expect(page.getByRole('tabpanel')).toContainText(/Turns in each\s*3\.\d/);
    await expect(page.getByRole('img', { name: 'Conversations by their length in tokens' })).toBeVisible();
    await page.getByRole('tab', { name: /Problems/ }).click();
    await page.getByRole('button', { name: /rows with a speaker of unknown role/ }).click();
    await expect(page.getByText(/the role agent is neither system/)).toBeVisible();
    await page.getByRole('tab', { name: /Versions/ }).click();
    await expect(page.getByRole('link', { name: /until April/ })).toContainText('8\u202f334 fewer');
    await page.getByRole('link', { name: /until April/ }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Support tickets 2026 until April' })).toBeVisible();
  });

  test('previews a row of the table with Space and opens it with Enter', async ({ page }) => {
    await open(page, '/dataset/orders');
    await page.getByRole('tab', { name: 'Table' }).click();
    const grid = page.getByRole('grid', { name: 'Conversations' });
    await expect(grid.getByRole('row').nth(1)).toContainText('One flat white');
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    const sheet = page.getByRole('dialog', { name: 'Conversation 3' });
    await expect(sheet.getByRole('article', { name: 'User' })).toContainText('Earl Grey');
    await page.keyboard.press('ArrowRight');
    await expect(page.getByRole('dialog', { name: 'Conversation 4' })).toContainText('cappuccino');
    await page.keyboard.press('Escape');
    await expect(grid).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(page.getByRole('tab', { name: 'Conversations' })).toHaveAttribute('aria-selected', 'true');
    await expect(page.getByRole('spinbutton', { name: 'Number of the conversation' })).toHaveValue('3');
    await expect(page.getByRole('article', { name: 'User' })).toContainText('Earl Grey');
  });

  test('that is gone says so', async ({ page }) => {
    await open(page, '/dataset/nowhere');
    await expect(page.getByText('This dataset could not be opened')).toBeVisible();
    await page.getByRole('link', { name: 'All datasets' }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Datasets' })).toBeVisible();
  });

  test('without measured lengths says why', async ({ page }) => {
    await open(page, '/dataset/radiology');
    await page.getByRole('tab', { name: 'Statistics' }).click();
    await expect(page.getByText(/Lengths in tokens were not measured/)).toBeVisible();
  });
});

/** Scrolls an element for so many frames and returns the milliseconds of each. */
async function framesWhileScrolling(page: Page, selector: string, by: number, frames: number): Promise<{ median: number; worst: number }> {
  const deltas = await page.locator(selector).evaluate(
    async (element, { by, frames }) => {
      const next = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
      const deltas: number[] = [];
      let last = await next();
      for (let frame = 0; frame < frames; frame += 1) {
        element.scrollTop += by;
        const now = await next();
        deltas.push(now - last);
        last = now;
      }
      return deltas;
    },
    { by, frames },
  );
  const sorted = deltas.sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], worst: sorted[sorted.length - 1] };
}

test.describe('what is long', () => {
  test('a table of 100 000 conversations scrolls smoothly to its end', async ({ page }) => {
    await open(page, '/dataset/tickets');
    await page.getByRole('tab', { name: 'Table' }).click();
    await expect(page.getByRole('grid').getByRole('row').nth(1)).toContainText('My export stops');
    const slow = await framesWhileScrolling(page, '[role=grid]', 60, 120);
    const fast = await framesWhileScrolling(page, '[role=grid]', 12_000, 120);
    console.log(`table of 100 000 rows: median ${slow.median.toFixed(1)} ms, worst ${slow.worst.toFixed(1)} ms; fast: median ${fast.median.toFixed(1)} ms, worst ${fast.worst.toFixed(1)} ms`);
    // What a busy machine does to single frames is printed, not judged.
    expect(slow.median).toBeLessThan(100);
    expect(fast.median).toBeLessThan(100);
    await page.getByRole('grid').focus();
    await page.keyboard.press('End');
    await expect(page.getByRole('row', { name: /^100\s000 / })).toContainText('The app does not start');
    expect(await page.getByRole('row').count()).toBeLessThan(60);
  });

  test('thousands of tokens are drawn as they come into view, and scroll smoothly', async ({ page }) => {
    await open(page, importOf('support-2026.jsonl.zip'));
    await page.getByRole('spinbutton', { name: 'Maximum length' }).fill('131072');
    await expect(page.getByText(/cuts none of/)).toBeVisible();
    for (let step = 0; step < 7; step += 1) await page.getByRole('button', { name: 'Next conversation' }).click();
    const tokens = page.getByRole('group', { name: /^Tokens of conversation 8/ });
    await expect(tokens).toBeVisible();
    await expect.poll(() => page.locator('[data-at]').count()).toBeGreaterThan(1_000);
    const drawn = await page.locator('[data-at]').count();
    expect(drawn).toBeLessThan(3_000);
    const { median, worst } = await framesWhileScrolling(page, '[role=group][aria-label^="Tokens of"]', 160, 120);
    console.log(`tokens of a long conversation: median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms, ${await page.locator('[data-at]').count()} tokens`);
    expect(median).toBeLessThan(100);
    await expect(tokens).toContainText('part 130 of 130');
    expect(await page.locator('[data-at]').count()).toBeGreaterThan(4_000);
  });
});

test('files that cannot become a dataset are refused with the reason, and a folder may be a model', async ({ page }) => {
  await open(page, '/datasets');
  await drop(page, 'enter', ['/home/ada/model-00001-of-00002.safetensors']);
  await expect(page.getByText('model-00001-of-00002.safetensors is a model, not data')).toBeVisible();
  await expect(page.getByText(/Drop the folder it lies in/)).toBeVisible();
  await drop(page, 'leave', []);
  await drop(page, 'enter', ['/home/ada/models/qwen3-0.6B']);
  await expect(page.getByText('Add the model folder qwen3-0.6B')).toBeVisible();
  await drop(page, 'leave', []);
  await drop(page, 'drop', ['/home/ada/table.xlsx']);
  await expect(page.getByText('table.xlsx is a spreadsheet')).toBeVisible();
  await expect(page.getByText('Save it as CSV, and drop that.')).toBeVisible();
  await drop(page, 'drop', ['/home/ada/data/orders.jsonl', '/home/ada/photo.jpg']);
  await expect(page.getByRole('heading', { level: 1, name: 'Import orders.jsonl' })).toBeVisible();
});

test('everything can be used at twice the size', async ({ page }) => {
  await page.setViewportSize({ width: 640, height: 400 });
  for (const route of ['/datasets', importOf('gsm8k-train.parquet'), '/dataset/gsm8k']) {
    await open(page, route);
    await page.waitForTimeout(500);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), route).toBeLessThanOrEqual(640);
  }
  await open(page, importOf('gsm8k-train.parquet'));
  await page.getByRole('slider', { name: /Hold out a share/ }).scrollIntoViewIfNeeded();
  await expect(page.getByRole('slider', { name: /Hold out a share/ })).toBeInViewport();
  await expect(primary(page)).toBeInViewport();
});

for (const theme of ['light', 'dark'] as const) {
  test(`nothing keeps people out in the ${theme} theme`, async ({ page }) => {
    await open(page, '/datasets', { theme });
    await expect(page.getByRole('row').nth(1)).toBeVisible();
    expect(await barriers(page)).toEqual([]);
    await open(page, importOf('gsm8k-train.parquet', 'orders.jsonl'), { theme });
    await expect(page.locator('[data-at]').first()).toBeVisible();
    await page.getByRole('button', { name: '12 rows without an answer' }).click();
    expect(await barriers(page)).toEqual([]);
    await open(page, importOf('broken.jsonl'), { theme });
    await expect(page.getByText('broken.jsonl cannot be imported')).toBeVisible();
    expect(await barriers(page, 'main')).toEqual([]);
    await open(page, '/dataset/support', { theme });
    await expect(page.getByRole('article').first()).toBeVisible();
    expect(await barriers(page)).toEqual([]);
    // Every tab in one theme is enough: colours are roles, and those are seen above.
    for (const tab of theme === 'light' ? ['Table', 'Statistics', 'Problems', 'Versions'] : ['Problems']) {
      await page.getByRole('tab', { name: tab }).click();
      await expect(page.getByRole('tabpanel')).toBeVisible();
      expect(await barriers(page, '[role=tabpanel]'), tab).toEqual([]);
    }
  });

  test(`pictures for the documents in the ${theme} theme @screenshot`, async ({ page }) => {
    const picture = (name: string) => page.screenshot({ path: `docs/screenshots/${name}-${theme}.png` });
    await open(page, '/datasets', { theme });
    await expect(page.getByRole('row').nth(1)).toContainText('experiment');
    await picture('datasets');
    await open(page, importOf('gsm8k-train.parquet'), { theme });
    await expect(page.locator('[data-at]').first()).toBeVisible();
    for (let step = 0; step < 5; step += 1) await page.keyboard.press('ArrowRight');
    await page.getByRole('switch', { name: 'Leave out 7 rows' }).click();
    await page.mouse.move(700, 30);
    await page.waitForTimeout(400);
    await picture('import');
    await open(page, '/dataset/support', { theme });
    await expect(page.getByRole('article').first()).toBeVisible();
    await picture('dataset');
  });
}
