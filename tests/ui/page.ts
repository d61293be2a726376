import { AxeBuilder } from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';

/** Opens a place of the window on the memory backend: `open('/datasets', { scenario: 'empty' })`. */
export async function open(page: Page, route: string, options: { scenario?: string; theme?: 'light' | 'dark'; fail?: string } = {}): Promise<void> {
  const { scenario = 'working', theme = 'light', fail } = options;
  await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
  await page.goto(`/?scenario=${scenario}${fail ? `&fail=${fail}` : ''}#${route}`);
  await expect(page.locator('main h1').first()).toBeVisible();
  await page.evaluate(() => document.fonts.ready);
}

/** What axe finds that keeps people from using the page, or the part of it that `within` selects. */
export async function barriers(page: Page, within = 'body'): Promise<string[]> {
  await settled(page);
  const { violations } = await new AxeBuilder({ page }).include(within).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary?.split('\n').slice(1, 3).join(' ')}`));
}

/** Waits until colours have changed: half-way between two themes nothing can be read, and nobody has to. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    await frame();
    const ending = document.getAnimations().filter((animation) => Number.isFinite(animation.effect?.getComputedTiming().endTime));
    await Promise.all(ending.map((animation) => animation.finished.catch(() => undefined)));
  });
}

/** Every test also fails on a script error and on what the window's content security policy refuses. */
export const test = base.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(`${error.name}: ${error.message}\n${error.stack ?? ''}`));
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      await use(complaints);
      expect(complaints).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };
