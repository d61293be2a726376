import { defineConfig } from '@playwright/test';

const address = `http://localhost:${process.env.ATTUNE_UI_PORT ?? 4173}`;

export default defineConfig({
  testDir: 'tests/ui',
  outputDir: process.env.ATTUNE_UI_RESULTS ?? 'test-results',
  workers: 1,
  // A real browser on a machine that others use too misses a moment now and then. What passes only at
  // the second try is named in the report as flaky: a thing to look into, not a pass to forget.
  retries: 1,
  timeout: 30_000,
  reporter: [['list']],
  grepInvert: process.env.SCREENSHOTS ? undefined : /@screenshot/,
  use: {
    baseURL: address,
    viewport: { width: 1280, height: 800 },
    colorScheme: 'light',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
        '--font-render-hinting=none',
      ],
    },
  },
  webServer: {
    command: 'npx vite preview',
    url: address,
    reuseExistingServer: true,
    timeout: 30_000,
  },
});
