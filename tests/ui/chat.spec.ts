import type { Page } from '@playwright/test';
import { barriers, expect, open, test } from './page';

interface ChatRequest {
  experiment?: string;
  checkpoint?: string;
  model?: string;
  adapter?: string;
  turns: { role: string; content: string }[];
  sampling: { temperature: number; max_new_tokens: number; stop_strings: string[]; seed: number };
}
interface Memory {
  call(command: string, request: unknown, options: unknown): Promise<unknown>;
  choices: (string[] | null)[];
  log: { kind: string; detail: string }[];
  fail(command: string, refusal?: { code: string; message: string; remedy?: string }, times?: number): void;
  asked?: ChatRequest[];
}
declare const window: typeof globalThis & { attune: Memory };

const prompt = "Hi! Could I get two large lattes with oat milk and a toasted bagel, no, make that three? It's for Mira, pick-up at half past nine.";
const both = '/chat?experiment=orders-starter&compare=attune-starter';

/** Opens the chat and notes what the studio is asked. */
async function openChat(page: Page, route: string, options: Parameters<typeof open>[2] = {}) {
  await open(page, route, options);
  await page.evaluate(() => {
    const { attune } = window;
    const call = attune.call.bind(attune);
    attune.asked = [];
    attune.call = (command, request, options) => {
      if (command === 'chat') attune.asked?.push(structuredClone(request) as ChatRequest);
      return call(command, request, options);
    };
  });
}
const asked = (page: Page) => page.evaluate(() => window.attune.asked ?? []);
const box = (page: Page) => page.getByRole('textbox', { name: 'Your question' });
const answers = (page: Page, of: string) => page.getByRole('article', { name: `Answer of ${of}` });

async function ask(page: Page, question: string) {
  await box(page).fill(question);
  await box(page).press('Enter');
}
const settled = (page: Page) => expect(page.getByRole('button', { name: 'Send' })).toBeVisible({ timeout: 15_000 });

test('base and tuned answer the same question one after the other, each with its numbers', async ({ page }) => {
  await openChat(page, both);
  await ask(page, prompt);
  await expect(answers(page, 'attune-starter')).toContainText('Waits for Orders to JSON');
  await expect(answers(page, 'Orders to JSON')).toContainText('"pickup": "09:30"', { timeout: 10_000 });
  await expect(answers(page, 'attune-starter')).toContainText('Gladly: two large lattes with oat milk', { timeout: 10_000 });
  await settled(page);
  for (const name of ['Orders to JSON', 'attune-starter']) await expect(answers(page, name)).toContainText(/\d+ tokens\s*\d+ tok\/s\s*\d\.\d s\s*complete/);
  expect((await asked(page)).map(({ experiment, model, turns }) => [experiment ?? model, turns])).toEqual([
    ['orders-starter', [{ role: 'user', content: prompt }]],
    ['attune-starter', [{ role: 'user', content: prompt }]],
  ]);
  await expect(page.locator('[aria-live=polite]').filter({ hasText: 'attune-starter answered: Gladly' })).toBeAttached();
  await expect(box(page)).toBeFocused();
});

test('a second question builds on each side’s own answer and the system prompt', async ({ page }) => {
  await openChat(page, both);
  await page.getByRole('button', { name: 'System prompt' }).click();
  await page.getByRole('textbox', { name: 'System prompt' }).fill('You turn orders into JSON.');
  await ask(page, 'One scone.');
  await settled(page);
  await ask(page, 'Two scones.');
  await settled(page);
  const requests = await asked(page);
  expect(requests[3].turns.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
  expect(requests[2].turns[2].content).toContain('{"items"');
  expect(requests[3].turns[2].content).toContain('Gladly');
});

test('Shift and Enter break the line; nothing is sent', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await box(page).fill('One');
  await box(page).press('Shift+Enter');
  await box(page).pressSequentially('two');
  await expect(box(page)).toHaveValue('One\ntwo');
  expect(await asked(page)).toEqual([]);
});

test('Escape stops, what was said stays, and the shortcut stops too', async ({ page }) => {
  await openChat(page, '/chat?model=Qwen%2FQwen3-0.6B');
  for (const key of ['Escape', 'Control+.']) {
    await ask(page, 'Tell me everything, a long essay');
    const answer = answers(page, 'Qwen/Qwen3-0.6B').last();
    await expect(answer).toContainText('1. A low-rank', { timeout: 10_000 });
    await page.keyboard.press(key);
    await expect(answer).toContainText('stopped');
    await expect(answer).toContainText('1. A low-rank');
    await expect(page.getByRole('button', { name: 'Send' })).toBeVisible();
  }
});

test('an answer is given again beside the earlier one', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await ask(page, 'One scone.');
  await settled(page);
  await page.getByRole('button', { name: 'Answer again' }).click();
  await settled(page);
  await expect(page.getByRole('img', { name: 'Answer 2 of 2' })).toBeVisible();
  await page.getByRole('button', { name: 'Earlier answer' }).click();
  await expect(page.getByRole('img', { name: 'Answer 1 of 2' })).toBeVisible();
  expect(await asked(page)).toHaveLength(2);
});

test('an edited question replaces what followed, and undo brings it back', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await ask(page, 'One scone.');
  await settled(page);
  await ask(page, 'Two bagels.');
  await settled(page);
  await page.getByRole('button', { name: 'Edit the question' }).first().click();
  const field = page.getByRole('textbox', { name: 'Edit the question' });
  await expect(field).toBeFocused();
  await field.fill('Three muffins.');
  await field.press('Enter');
  await expect(answers(page, 'attune-starter')).toHaveCount(1);
  await expect(answers(page, 'attune-starter')).toContainText('three muffins');
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(answers(page, 'attune-starter')).toHaveCount(2);
  await expect(answers(page, 'attune-starter').last()).toContainText('two bagels');
  // ↑ in the empty box edits the last one.
  await box(page).press('ArrowUp');
  await expect(field).toHaveValue('Two bagels.');
  await field.press('Escape');
  await expect(field).toBeHidden();
  await expect(page.getByRole('button', { name: 'Edit the question' }).last()).toBeFocused();
});

test('copy takes the answer as written, and the whole conversation', async ({ page }) => {
  await openChat(page, '/chat?experiment=orders-starter');
  await ask(page, 'Two large lattes with oat milk and three scones for Mira.');
  await settled(page);
  const written = '{"items":[{"count":2,"item":"latte","size":"large","extras":["oat milk"]},{"count":3,"item":"scone"}],"name":"Mira"}';
  await expect(page.getByRole('region', { name: 'JSON' })).toContainText('"name": "Mira"');
  await page.getByRole('button', { name: 'As written' }).click();
  await expect(answers(page, 'Orders to JSON')).toContainText(written);
  await page.getByRole('button', { name: 'Copy the answer' }).click();
  expect(await page.evaluate(() => window.attune.log.at(-1)?.detail)).toBe(written);
  await page.getByRole('button', { name: 'Conversation', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Copy the conversation' }).click();
  expect(await page.evaluate(() => window.attune.log.at(-1)?.detail)).toBe(`You: Two large lattes with oat milk and three scones for Mira.\n\nOrders to JSON: ${written}`);
});

test('the conversation is cleared, comes back by undo, and survives a walk through the window', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await ask(page, 'One scone.');
  await settled(page);
  await page.getByRole('button', { name: 'Conversation', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Clear the conversation' }).click();
  await expect(answers(page, 'attune-starter')).toHaveCount(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(answers(page, 'attune-starter')).toContainText('one scone');
  await page.keyboard.press('Control+3');
  await expect(page.getByRole('heading', { name: 'Models' })).toBeVisible();
  await page.keyboard.press('Control+5');
  await expect(answers(page, 'attune-starter')).toContainText('one scone');
  // A new one puts it among the earlier ones.
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(answers(page, 'attune-starter')).toHaveCount(0);
  await page.getByRole('button', { name: 'Conversation', exact: true }).click();
  await page.getByRole('menuitem', { name: 'One scone.' }).click();
  await expect(answers(page, 'attune-starter')).toContainText('one scone');
});

test('who answers is found by typing, from a checkpoint, beside its base, and is remembered', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.getByRole('button', { name: 'Who answers: attune-starter' }).click();
  await page.getByRole('combobox', { name: 'Find an experiment or a model' }).fill('maths rank 4');
  await expect(page.getByRole('option').first()).toContainText('interrupted');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/experiment=gsm8k-qwen3-2/);
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  await expect(page.getByRole('button', { name: 'Second side: Qwen/Qwen3-0.6B' })).toBeVisible();
  await ask(page, 'Janet has 16 eggs. How many dollars?');
  await expect(answers(page, 'Maths, rank 4')).toContainText('#### 18', { timeout: 15_000 });
  await settled(page);
  expect((await asked(page)).map(({ experiment, model }) => experiment ?? model)).toEqual(['gsm8k-qwen3-2', 'Qwen/Qwen3-0.6B']);
  await page.goto('/?scenario=working#/home');
  await page.reload();
  await expect(page.locator('main h1').first()).toBeVisible();
  await page.keyboard.press('Control+5');
  await expect(page.getByRole('button', { name: 'First side: Maths, rank 4' })).toBeVisible();
});

test('an experiment without a checkpoint cannot be chosen', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.getByRole('button', { name: 'Who answers: attune-starter' }).click();
  const queued = page.getByRole('option', { name: /Support tone/ });
  await expect(queued).toContainText('no checkpoint yet');
  await queued.click({ force: true });
  await expect(page).toHaveURL(/model=attune-starter/);
});

test('a model answers with an adapter folder, and a folder without one is refused with the remedy', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  for (const folder of ['/home/ada/photos', '/home/ada/exports/orders-adapter']) {
    await page.evaluate((folder) => void window.attune.choices.push([folder]), folder);
    await page.getByRole('button', { name: /Who answers: / }).click();
    await page.getByRole('button', { name: 'Model with an adapter folder…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Model with an adapter folder' });
    await dialog.getByRole('button', { name: 'Choose', exact: true }).click();
    await dialog.getByRole('button', { name: 'Chat with it' }).click();
    await ask(page, 'One scone for Mira.');
    await settled(page);
  }
  await expect(page.getByRole('alert')).toContainText('Choose a folder with adapter_config.json');
  await expect(answers(page, 'attune-starter + orders-adapter')).toContainText('"name": "Mira"');
  expect((await asked(page)).at(-1)).toMatchObject({ model: 'attune-starter', adapter: '/home/ada/exports/orders-adapter' });
});

test('sampling reaches the studio, ends answers, and is remembered for who answers', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.getByRole('button', { name: 'Sampling settings' }).click();
  const panel = page.getByRole('complementary', { name: 'Sampling' });
  await panel.getByText('Creative').click();
  await panel.getByRole('spinbutton', { name: 'Seed' }).fill('7');
  await panel.getByRole('spinbutton', { name: 'Longest answer' }).fill('4');
  await ask(page, 'One scone.');
  await settled(page);
  await expect(answers(page, 'attune-starter')).toContainText('cut at the longest answer');
  expect((await asked(page))[0].sampling).toMatchObject({ temperature: 1.1, min_p: 0.05, seed: 7, max_new_tokens: 4 });
  await panel.getByRole('spinbutton', { name: 'Longest answer' }).fill('200');
  await panel.getByRole('button', { name: 'Add a stop text' }).click();
  await panel.getByRole('textbox', { name: 'Stop text 1' }).fill('scone');
  await ask(page, 'Two scones.');
  await settled(page);
  await expect(answers(page, 'attune-starter').last()).toContainText('ended at a stop text');
  await page.reload();
  await page.getByRole('button', { name: 'Sampling settings' }).click();
  await expect(panel.getByRole('textbox', { name: 'Stop text 1' })).toHaveValue('scone');
  await panel.getByRole('button', { name: 'Reset' }).click();
  await expect(panel.getByRole('spinbutton', { name: 'Longest answer' })).toHaveValue('256');
});

test('a refusal stands where the answer would be, and is tried again', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.evaluate(() => window.attune.fail('chat', { code: 'out-of-memory', message: 'the weights do not fit into memory', remedy: 'Pause the training, or choose a smaller model.' }));
  await ask(page, 'One scone.');
  await expect(page.getByRole('alert')).toContainText('Pause the training');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(answers(page, 'attune-starter')).toContainText('one scone');
  await settled(page);
  // A refusal the second time leaves the good answer within reach.
  await page.evaluate(() => window.attune.fail('chat'));
  await page.getByRole('button', { name: 'Answer again' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await page.getByRole('button', { name: 'Earlier answer' }).click();
  await expect(answers(page, 'attune-starter')).toContainText('one scone');
});

test('loading weights is seen, and said what it loads', async ({ page }) => {
  await openChat(page, '/chat?model=meta-llama%2FLlama-3.2-3B-Instruct');
  await ask(page, 'Hello');
  await expect(page.getByRole('progressbar', { name: 'Loading meta-llama/Llama-3.2-3B-Instruct' })).toBeVisible();
  await box(page).press('Escape');
  await expect(page.getByText('Stopped before the first token.')).toBeVisible();
});

test('a run that trains answers with the checkpoint that is chosen, and says what training means for answers', async ({ page }) => {
  await openChat(page, '/chat?experiment=gsm8k-qwen3');
  await expect(page.getByText('is training on this device: answers are slower until it ends or pauses.')).toContainText('It answers with a checkpoint');
  await page.getByRole('combobox', { name: /Checkpoint: Last, step/ }).click();
  await page.getByRole('option', { name: /Best, step/ }).click();
  await expect(page).toHaveURL(/checkpoint=best/);
  await ask(page, 'Janet has 16 eggs. How many dollars?');
  await expect(answers(page, 'Maths, rank 16')).toContainText('Janet sells', { timeout: 10_000 });
  expect((await asked(page))[0]).toMatchObject({ experiment: 'gsm8k-qwen3', checkpoint: 'best' });
});

test('what is said stays text, in any script and length', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await ask(page, '<img src=x onerror=alert(1)>');
  await expect(answers(page, 'attune-starter')).toContainText('<img src=x onerror=alert(1)>');
  expect(await page.locator('main img[src=x]').count()).toBe(0);
  await settled(page);
  await ask(page, 'مرحبا، أريد قهوة');
  await expect(answers(page, 'attune-starter').last().getByText('مرحبا!')).toHaveCSS('direction', 'rtl');
  await settled(page);
  await ask(page, 'word '.repeat(2_100).trim());
  await expect(page.getByRole('button', { name: /Show all 10\s499 characters/ })).toBeVisible();
  await settled(page);
  await ask(page, 'Write a Python script');
  await expect(page.getByRole('region', { name: 'python' })).toContainText('json.loads(line)');
});

test('a long answer is followed to its end until one scrolls away', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.getByRole('button', { name: 'Sampling settings' }).click();
  await page.getByRole('spinbutton', { name: 'Longest answer' }).fill('1500');
  await ask(page, 'Everything, long');
  const view = page.getByRole('region', { name: 'Conversation' });
  const below = () => view.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  await expect.poll(() => view.evaluate((element) => element.scrollTop), { timeout: 10_000 }).toBeGreaterThan(200);
  expect(await below()).toBeLessThan(40);
  await view.hover();
  await page.mouse.wheel(0, -400);
  await expect(page.getByRole('button', { name: 'Jump to latest' })).toBeVisible();
  await page.waitForTimeout(200);
  expect(await below()).toBeGreaterThan(200);
  await page.getByRole('button', { name: 'Jump to latest' }).click();
  await expect(page.getByRole('button', { name: 'Jump to latest' })).toBeHidden();
  await page.keyboard.press('Control+.');
});

test('questions to begin with are those the run was asked, else the starter’s', async ({ page }) => {
  await openChat(page, '/chat?model=attune-starter');
  await page.getByRole('list', { name: 'Questions to begin with' }).getByRole('button').click();
  await expect(answers(page, 'attune-starter')).toContainText('Gladly');
  await settled(page);
  await openChat(page, '/chat?model=Qwen%2FQwen3-0.6B');
  await expect(page.getByRole('heading', { name: 'Ask Qwen/Qwen3-0.6B' })).toBeVisible();
  await expect(page.getByRole('list', { name: 'Questions to begin with' })).toHaveCount(0);
});

test('without any model the bundled one is offered', async ({ page }) => {
  await openChat(page, '/chat', { scenario: 'empty' });
  await page.getByRole('button', { name: 'Install the bundled model' }).click();
  await expect(page.getByRole('button', { name: 'Who answers: attune-starter' })).toBeVisible();
});

test('nothing is cut off in the smallest window at 200 %', async ({ page }) => {
  await page.setViewportSize({ width: 640, height: 480 });
  await openChat(page, both);
  await ask(page, 'One scone.');
  await settled(page);
  const width = page.viewportSize()?.width ?? 0;
  for (const name of ['Send', 'Sampling settings', 'Copy the question']) {
    const place = await page.getByRole('button', { name }).boundingBox();
    expect((place?.x ?? width) + (place?.width ?? 0)).toBeLessThanOrEqual(width);
  }
  await page.getByRole('button', { name: 'Sampling settings' }).click();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
});

for (const theme of ['light', 'dark'] as const) {
  test(`nothing keeps people from using it in the ${theme} theme`, async ({ page }) => {
    await openChat(page, both, { theme });
    await ask(page, 'Two large lattes for Mira.');
    await settled(page);
    await page.getByRole('button', { name: 'Sampling settings' }).click();
    await page.getByRole('button', { name: 'System prompt' }).click();
    expect(await barriers(page)).toEqual([]);
    await page.getByRole('button', { name: 'First side: Orders to JSON' }).click();
    await expect(page.getByRole('option').first()).toBeVisible();
    expect(await barriers(page, '[role=dialog]')).toEqual([]);
  });

  test(`base and tuned side by side in the ${theme} theme @screenshot`, async ({ page }) => {
    await openChat(page, both, { theme });
    await ask(page, prompt);
    await settled(page);
    await page.waitForTimeout(300);
    await page.screenshot({ path: `docs/screenshots/chat-${theme}.png` });
  });
}
