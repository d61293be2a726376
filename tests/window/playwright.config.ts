import { defineConfig } from '@playwright/test';

// Playwright only runs and reports these tests; the window is driven by WebDriver. One screen, one
// keyboard, one pointer: one test at a time.
export default defineConfig({
  testDir: '.',
  outputDir: process.env.ATTUNE_WINDOW_RESULTS ?? '../../test-results/window',
  workers: 1,
  fullyParallel: false,
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
});
