import { CommandError, type Backend } from '../../../backend/backend';
import type { Estimate } from '../../../backend/generated/types';
import type { Values } from '../../../features/settings/setting';

/** Milliseconds without a change before it is asked anew. */
const rest = 250;

/** What the run would take, asked anew after each change. The last answer stays until the next one comes. */
export class LiveEstimate {
  value = $state.raw<Estimate | null>(null);
  error = $state.raw<CommandError | null>(null);
  loading = $state(false);
  #backend: Backend;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #controller: AbortController | null = null;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Asks once nothing has changed for a moment; without settings there is nothing to say. */
  follow(settings: Values | null): void {
    this.cancel();
    if (settings === null) {
      this.value = null;
      this.error = null;
      return;
    }
    this.loading = true;
    this.#timer = setTimeout(() => void this.#ask(settings), this.value === null && this.error === null ? 0 : rest);
  }

  /** Asks the same again at once. */
  retry(settings: Values | null): void {
    this.cancel();
    if (settings === null) return;
    this.loading = true;
    void this.#ask(settings);
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
    this.loading = false;
  }

  async #ask(settings: Values): Promise<void> {
    const controller = (this.#controller = new AbortController());
    try {
      const value = await this.#backend.call('experiment_estimate', { settings }, { signal: controller.signal });
      if (controller !== this.#controller) return;
      this.value = value;
      this.error = null;
    } catch (thrown) {
      if (controller !== this.#controller) return;
      this.error = CommandError.from(thrown);
    }
    this.loading = false;
  }
}
