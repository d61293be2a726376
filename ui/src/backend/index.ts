import type { Backend } from './backend';

export * from './backend';

/** Whether this is the desktop window; in a browser everything lives in memory. */
export const isNative = typeof window !== 'undefined' && '__TAURI_INTERNALS__' in window;

/** Each implementation is loaded only where it is used. */
export async function openBackend(): Promise<Backend> {
  if (isNative) return new (await import('./tauri')).TauriBackend();
  return new (await import('./memory')).MemoryBackend();
}
