import { barriers, expect, open, test } from './page';

for (const theme of ['light', 'dark'] as const) {
  test(`nothing in the gallery is a barrier in the ${theme} theme`, async ({ page }) => {
    test.slow();
    await open(page, '/gallery', { theme });
    expect(await barriers(page)).toEqual([]);
    for (const [button, role] of [['Dialog', 'dialog'], ['Sheet', 'dialog'], ['Confirmation', 'alertdialog'], ['Popover', 'dialog']] as const) {
      await page.getByRole('button', { name: button, exact: true }).click();
      await expect(page.getByRole(role)).toBeVisible();
      expect(await barriers(page, `[role=${role}]`), button).toEqual([]);
      await page.keyboard.press('Escape');
      await expect(page.getByRole(role)).toBeHidden();
    }
    await page.keyboard.press('Control+K');
    await expect(page.getByRole('listbox')).toBeVisible();
    expect(await barriers(page, '[data-modal]'), 'palette').toEqual([]);
  });
}

test('a table of a hundred thousand rows keeps few of them, and the keyboard reaches the last', async ({ page }) => {
  await open(page, '/gallery');
  const table = page.getByRole('grid', { name: 'Predictions' });
  await expect(table).toHaveAttribute('aria-rowcount', '100001');
  await table.focus();
  await page.keyboard.press('End');
  await expect(table.getByText('100\u202f000')).toBeVisible();
  expect(await table.getByRole('row').count()).toBeLessThan(40);
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('status').filter({ hasText: 'Row 2' })).toBeVisible();
});

test('a number out of range says so and keeps the last good value', async ({ page }) => {
  await open(page, '/gallery');
  const rank = page.getByRole('spinbutton', { name: 'LoRA rank' });
  await rank.fill('300');
  await expect(page.getByText('At most 256')).toBeVisible();
  await rank.blur();
  await expect(rank).toHaveValue('16');
  const rate = page.getByRole('spinbutton', { name: 'Learning rate' });
  await rate.focus();
  await page.keyboard.press('ArrowDown');
  await expect(rate).toHaveValue('9e-5');
});

test('choices are made by keyboard', async ({ page }) => {
  await open(page, '/gallery');
  const schedule = page.getByRole('button', { name: 'Schedule' }).or(page.getByRole('combobox', { name: 'Schedule' }));
  await schedule.focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(schedule).toContainText('Linear');
  const model = page.getByRole('combobox', { name: /Model/ });
  await model.click();
  await model.fill('llama');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(model).toHaveValue('meta-llama/Llama-3.2-3B-Instruct');
});

test('the limit of a histogram moves by arrow keys and by dragging', async ({ page }) => {
  await open(page, '/gallery');
  const limit = page.getByRole('slider', { name: /Tokens per conversation: limit/ });
  await limit.focus();
  await page.keyboard.press('ArrowRight');
  await expect(limit).toHaveAttribute('aria-valuenow', '513');
  const box = await limit.boundingBox();
  if (!box) throw new Error('the limit is not shown');
  await page.mouse.move(box.x + 1, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x - 80, box.y + 40);
  await page.mouse.up();
  expect(Number(await limit.getAttribute('aria-valuenow'))).toBeLessThan(400);
});

test('charts of one group share their cursor, and arrow keys read the values', async ({ page }) => {
  await open(page, '/gallery');
  const chart = page.getByRole('group', { name: /^Loss to step 400/ });
  await chart.focus();
  await page.keyboard.press('Home');
  await expect(page.locator('figure', { hasText: 'Tokens per second' })).toContainText('step 1');
  await page.getByText('Numbers', { exact: true }).last().click();
  await expect(page.getByRole('grid', { name: 'Loss, numbers' })).toBeVisible();
});
