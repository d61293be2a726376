import type { Backend } from '../../../backend/backend';
import { ImportSheet } from './sheet.svelte';

/** Files that are imported one after another; each keeps what was chosen for it. */
export class ImportQueue {
  sheets = $state.raw<readonly ImportSheet[]>([]);
  #current = $state.raw<ImportSheet | null>(null);
  #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get current(): ImportSheet | null {
    return this.#current;
  }

  /** Those that are neither imported nor the one on show. */
  get waiting(): ImportSheet[] {
    return this.sheets.filter((sheet) => sheet.done === null && sheet !== this.#current);
  }

  /** Takes these files; one that is known stays as it is. */
  sync(paths: readonly string[]): void {
    const known = new Map(this.sheets.map((sheet) => [sheet.path, sheet]));
    const kept = new Set(paths);
    for (const sheet of this.sheets) if (!kept.has(sheet.path)) sheet.cancel();
    this.sheets = [...kept].map((path) => known.get(path) ?? new ImportSheet(this.#backend, path));
    if (this.#current === null || !this.sheets.includes(this.#current)) this.#current = this.#open();
  }

  show(sheet: ImportSheet): void {
    if (sheet.done === null) this.#current = sheet;
  }

  /** Goes on to a file that is still to be imported; false when there is none. */
  next(): boolean {
    const next = this.#open();
    if (next) this.#current = next;
    return next !== null;
  }

  cancel(): void {
    for (const sheet of this.sheets) sheet.cancel();
  }

  #open(): ImportSheet | null {
    return this.sheets.find((sheet) => sheet.done === null) ?? null;
  }
}
