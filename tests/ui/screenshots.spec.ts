import { open, test } from './page';

// Pictures to look at, not to compare: `npm run screenshots`, then test-results/screenshots.
const places: [name: string, route: string, scenario?: string][] = [
  ['home', '/home'],
  ['home-first-start', '/home', 'first-start'],
  ['datasets', '/datasets'],
  ['models', '/models'],
  ['experiments', '/experiments'],
  ['chat', '/chat'],
];

for (const theme of ['light', 'dark'] as const) {
  test(`gallery in the ${theme} theme @screenshot`, async ({ page }) => {
    await open(page, '/gallery', { theme });
    await page.waitForTimeout(400);
    const scroller = page.locator('[data-scroll]');
    const height = await scroller.evaluate((element) => element.scrollHeight);
    for (let part = 0, top = 0; top < height; part += 1, top += 700) {
      await scroller.evaluate((element, top) => (element.scrollTop = top), top);
      await page.waitForTimeout(150);
      await page.screenshot({ path: `test-results/screenshots/gallery-${theme}-${part}.png` });
    }
    for (const button of ['Dialog', 'Sheet', 'Confirmation']) {
      await page.getByRole('button', { name: button, exact: true }).click();
      await page.waitForTimeout(250);
      await page.screenshot({ path: `test-results/screenshots/gallery-${theme}-${button.toLowerCase()}.png` });
      await page.keyboard.press('Escape');
    }
    await page.getByRole('button', { name: 'Error toast' }).click();
    await page.getByRole('button', { name: 'Undo toast' }).click();
    await page.keyboard.press('Control+K');
    await page.waitForTimeout(250);
    await page.screenshot({ path: `test-results/screenshots/gallery-${theme}-palette.png` });
  });

  for (const [name, route, scenario] of places) {
    test(`${name} in the ${theme} theme @screenshot`, async ({ page }) => {
      await open(page, route, { theme, scenario });
      await page.waitForTimeout(500);
      await page.screenshot({ path: `test-results/screenshots/${name}-${theme}.png` });
    });
  }
}
