import { untrack } from 'svelte';
import { CommandError } from '../backend/backend';

export interface Toast {
  id: number;
  tone: 'info' | 'positive' | 'critical';
  title: string;
  detail: string | null;
  code: string | null;
  action: { title: string; run: () => unknown } | null;
  /** Milliseconds until it leaves by itself; null stays until closed. */
  lasts: number | null;
}

const shown = 4;

export class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 1;

  /** Something happened; a sentence, and what follows from it. */
  show(title: string, options: Partial<Omit<Toast, 'id' | 'title'>> = {}): number {
    const id = this.#next++;
    const toast: Toast = { id, title, tone: 'info', detail: null, code: null, action: null, lasts: options.action ? 9000 : 5000, ...options };
    this.list = [...untrack(() => this.list), toast].slice(-shown);
    return id;
  }

  /** Something is gone, and can be had back: `undo('Removed Café orders', …)`. */
  undo(title: string, restore: () => unknown): number {
    return this.show(title, { action: { title: 'Undo', run: restore } });
  }

  /** A refusal, with its remedy. A cancelled command says nothing. */
  error(thrown: unknown): void {
    const error = CommandError.from(thrown);
    if (error.cancelled) return;
    const detail = [error.where, error.remedy].filter(Boolean).join('. ');
    this.show(sentence(error.message), { tone: 'critical', detail: detail === '' ? null : detail, code: error.code, lasts: null });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

/** The studio's messages continue a line in the terminal; here they start one. */
export function sentence(message: string): string {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.?…:]$/.test(text) ? text : `${text}.`;
}
