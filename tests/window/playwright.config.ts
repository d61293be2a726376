import { defineConfig } from '@playwright/test';

// Playwright only runs and reports these tests; the window is driven by WebDriver. One screen, one
// keyboard, one pointer: one test at a time.
export default defineConfig({
  testDir: '.',
  outputDir: process.env.ATTUNE_WINDOW_RESULTS ?? '../../test-results/window',
  workers: 1,
  fullyParallel: false,
  // A real screen, a real driver and a machine that others use too lose a press now and then. What
  // passes only at the second try is named in the report as flaky: a thing to look into, not a pass
  // to forget. Each try has a home folder, a program and a driver of its own (application.ts).
  retries: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
});
