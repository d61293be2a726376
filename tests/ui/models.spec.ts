import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface Memory {
  drop(drop: { kind: string; paths: string[]; x: number; y: number }): void;
  choices: (string[] | null)[];
  log: { kind: string; detail: string }[];
  fail(command: string, refusal?: { code: string; message: string; remedy?: string }, times?: number): void;
}
declare const window: typeof globalThis & { attune: Memory };
const row = (page: Page, name: string) => page.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) });

async function drop(page: Page, paths: string[], kinds = ['enter', 'drop']) {
  for (const kind of kinds) await page.evaluate(([kind, paths]) => window.attune.drop({ kind: kind as string, paths: paths as string[], x: 400, y: 300 }), [kind, paths]);
}

test('models stand by origin with their numbers, what fits, and why one cannot be used', async ({ page }) => {
  await open(page, '/models');
  const qwen = row(page, 'Qwen/Qwen3-0.6B');
  for (const text of ['qwen3', '596 M', 'bfloat16', '1.2 GB', '40 960', 'apache-2.0', 'LoRA · full']) await expect(qwen).toContainText(text.replaceAll(/(\d) (\d)/g, '$1\u202f$2'));
  await expect(row(page, 'Qwen/Qwen2.5-Coder-32B-Instruct')).toContainText(/Too large by \d+\.\d GB/);
  await expect(row(page, 'google/gemma-3n-E4B')).toContainText('The model family `gemma3n` is not supported. Choose a Llama');
  for (const group of ['Bundled', 'Added', 'Hugging Face cache']) await expect(page.getByRole('rowheader', { name: group })).toBeVisible();
});

test('the list is narrowed, sorted and walked by keyboard', async ({ page }) => {
  await open(page, '/models');
  await page.getByRole('button', { name: 'Parameters' }).click();
  await page.getByRole('button', { name: 'Parameters' }).click();
  const names = page.locator('a[data-row]');
  await expect(names.nth(2)).toHaveText('Qwen/Qwen2.5-Coder-32B-Instruct');
  await page.keyboard.press('Control+F');
  await page.keyboard.type('llama3');
  await expect(page.getByRole('status').filter({ hasText: '1 model' })).toBeVisible();
  await expect(names).toHaveCount(1);
  await page.keyboard.press('Escape');
  await names.first().focus();
  await page.keyboard.press('ArrowDown');
  await expect(names.nth(1)).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'house-style-7b' })).toBeVisible();
});

test('nothing found says so and leads back', async ({ page }) => {
  await open(page, '/models');
  await page.getByRole('searchbox').fill('zzzz');
  await expect(page.getByText('No model has “zzzz”')).toBeVisible();
  await page.getByRole('button', { name: 'Show all' }).click();
  await expect(page.locator('a[data-row]')).toHaveCount(7);
});

test('a folder is added by dialog, by drop, or refused with the reason', async ({ page }) => {
  await open(page, '/models');
  await page.evaluate(() => void window.attune.choices.push(['/home/ada/نماذج/نموذج-اللغة-العربية']));
  await page.getByRole('button', { name: 'Add folder' }).click();
  await expect(page.locator('a[data-row="نموذج-اللغة-العربية"]')).toBeVisible();

  await drop(page, ['/home/ada/models/Qwen3-0.6B-tuned'], ['enter']);
  await expect(page.getByText('Add model Qwen3-0.6B-tuned')).toBeVisible();
  await drop(page, ['/home/ada/models/Qwen3-0.6B-tuned'], ['drop']);
  await expect(row(page, 'Qwen3-0.6B-tuned')).toBeVisible();

  await drop(page, ['/home/ada/models/truncated']);
  const alert = page.getByRole('alert').filter({ hasText: 'truncated could not be added' });
  await expect(alert).toContainText('download the file again');
  await alert.getByRole('button', { name: 'Dismiss' }).click();
  await expect(alert).toBeHidden();

  await drop(page, ['/home/ada/qwen-q4.gguf'], ['enter']);
  await expect(page.getByText('Add model qwen-q4.gguf')).toBeVisible();
  await drop(page, ['/home/ada/qwen-q4.gguf'], ['drop']);
  await expect(row(page, 'qwen-q4.gguf')).toBeVisible();

  await drop(page, ['/home/ada/qwen.bin']);
  await expect(page.getByRole('alert').filter({ hasText: 'qwen.bin could not be added' })).toContainText('never read');
});

test('data dropped here still becomes a dataset', async ({ page }) => {
  await open(page, '/models');
  await drop(page, ['/home/ada/orders.csv']);
  await expect(page).toHaveURL(/#\/import\?path=/);
});

test('an empty machine is told where models come from, and the bundled one is installed', async ({ page }) => {
  await open(page, '/models', { scenario: 'empty' });
  await expect(page.getByText('/data/huggingface/hub')).toBeVisible();
  await expect(page.getByText('Attune downloads nothing yet')).toBeVisible();
  expect(await barriers(page, 'main')).toEqual([]);
  await page.getByRole('button', { name: 'Install the bundled model' }).click();
  await expect(row(page, 'attune-starter')).toBeVisible();
});

test('removing names what depends on it, and can be undone', async ({ page }) => {
  await open(page, '/models');
  await page.getByRole('button', { name: 'More for house-style-7b' }).click();
  await page.getByRole('menuitem', { name: 'Remove' }).click();
  const question = page.getByRole('alertdialog');
  await expect(question).toContainText('House style');
  await question.getByRole('button', { name: 'Cancel' }).click();
  await expect(row(page, 'house-style-7b')).toBeVisible();
  await page.locator('a[data-row="house-style-7b"]').focus();
  await page.keyboard.press('Delete');
  await question.getByRole('button', { name: 'Remove model' }).click();
  await expect(row(page, 'house-style-7b')).toBeHidden();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(row(page, 'house-style-7b')).toBeVisible();
});

test('a model of the cache stays, with the reason', async ({ page }) => {
  await open(page, '/models');
  await page.getByRole('button', { name: 'More for Qwen/Qwen3-0.6B' }).click();
  await page.getByRole('menuitem', { name: 'Remove' }).click();
  await expect(page.getByText('other programs may use too')).toBeVisible();
  await expect(row(page, 'Qwen/Qwen3-0.6B')).toBeVisible();
});

test('the model page shows its make, its memory, its template and what was tuned from it', async ({ page }) => {
  await open(page, '/model/Qwen%2FQwen3-0.6B');
  await expect(page.getByText('28 layers of width')).toBeVisible();
  await expect(page.getByText('16 query heads, 8 key/value heads')).toBeVisible();
  await expect(page.getByText('shares the embedding’s weights')).toBeVisible();
  await expect(page.getByRole('meter', { name: 'Full fine-tuning' })).toHaveAttribute('aria-valuetext', /10\.2 GB of 30\.6 GB/);
  await expect(page.getByRole('region', { name: 'Source of the template' })).toContainText('<|im_start|>');
  await expect(page.getByText('Attune cannot remove it')).toBeVisible();
  await page.getByRole('button', { name: 'Reveal' }).click();
  expect(await page.evaluate(() => window.attune.log.at(-1)?.detail)).toContain('models--Qwen--Qwen3-0.6B');
  await page.getByRole('link', { name: /Maths, rank 4/ }).click();
  await expect(page).toHaveURL(/#\/experiment\/gsm8k-qwen3-2\//);
  await page.goBack();
  await expect(page.getByRole('link', { name: 'Chat', exact: true }).last()).toHaveAttribute('href', '#/chat?model=Qwen%2FQwen3-0.6B');
  await page.keyboard.press('Control+Enter');
  await expect(page).toHaveURL(/#\/new\?model=Qwen%2FQwen3-0.6B/);
});

test('a model that cannot be used says why, and where it lies', async ({ page }) => {
  await open(page, '/model/google%2Fgemma-3n-E4B');
  await expect(page.getByRole('alert')).toContainText('Choose a Llama, SmolLM, Mistral, Qwen2, Qwen3, Gemma,');
  await expect(page.getByText('models--google--gemma-3n-E4B')).toBeVisible();
  await expect(page.getByRole('link', { name: 'Tune' })).toBeHidden();
});

test('a list that cannot be read says so and reads again', async ({ page }) => {
  await open(page, '/home');
  await page.evaluate(() => window.attune.fail('models_list'));
  await page.keyboard.press('Control+3');
  await expect(page.getByText('The models could not be listed')).toBeVisible();
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(row(page, 'attune-starter')).toBeVisible();
});

test('nothing is cut off in the smallest window at 200 %', async ({ page }) => {
  await page.setViewportSize({ width: 640, height: 480 });
  for (const route of ['/models', '/model/house-style-7b']) {
    await open(page, route);
    await expect(page.getByText('house-style-7b').first()).toBeVisible();
    expect(await page.locator('[data-scroll]').evaluate((element) => element.scrollWidth - element.clientWidth)).toBeLessThanOrEqual(0);
  }
});

for (const theme of ['light', 'dark'] as const) {
  test(`nothing keeps people from using the pages in the ${theme} theme`, async ({ page }) => {
    await open(page, '/models', { theme });
    await expect(row(page, 'attune-starter')).toBeVisible();
    expect(await barriers(page)).toEqual([]);
    await open(page, '/model/Qwen%2FQwen3-0.6B', { theme });
    await expect(page.getByText('Tuned here')).toBeVisible();
    expect(await barriers(page)).toEqual([]);
  });

  test(`models in the ${theme} theme @screenshot`, async ({ page }) => {
    await open(page, '/models', { theme });
    await expect(row(page, 'attune-starter')).toBeVisible();
    await page.waitForTimeout(300);
    await page.screenshot({ path: `docs/screenshots/models-${theme}.png` });
  });
}

test('a model in the light theme @screenshot', async ({ page }) => {
  await open(page, '/model/Qwen%2FQwen3-0.6B');
  await expect(page.getByText('Maths, rank 4')).toBeVisible();
  await page.waitForTimeout(300);
  await page.screenshot({ path: 'docs/screenshots/model-light.png' });
});
