import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

// The window's policy. The preview server sends it too, so that every UI test runs under it.
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  'connect-src ipc: http://ipc.localhost',
  "base-uri 'none'",
  "form-action 'none'",
  "object-src 'none'",
].join('; ');

export default defineConfig({
  root: 'ui',
  base: './',
  plugins: [svelte({ configFile: '../svelte.config.js' }), tailwindcss()],
  clearScreen: false,
  server: { port: 1420, strictPort: true },
  preview: {
    port: Number(process.env.ATTUNE_UI_PORT ?? 4173),
    strictPort: true,
    headers: { 'Content-Security-Policy': contentSecurityPolicy },
  },
  // Vitest would otherwise take Svelte's server build, in which effects never run.
  resolve: process.env.VITEST ? { conditions: ['browser'] } : undefined,
  build: {
    outDir: process.env.ATTUNE_UI_DIST ?? 'dist',
    emptyOutDir: true,
    target: 'safari15',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
