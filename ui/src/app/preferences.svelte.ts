import { CommandError, type Backend } from '../backend/backend';
import type { Preferences } from '../backend/generated/types';
import type { Theme } from './theme.svelte';
import type { Toasts } from './toasts.svelte';

/** What a person has chosen for the program. A change shows at once, is saved at once, and goes back when it cannot be saved. */
export class PreferenceKeeper {
  value = $state.raw<Preferences | null>(null);
  error = $state.raw<CommandError | null>(null);
  #backend: Backend;
  #toasts: Toasts;
  #theme: Theme;
  /** The last that is known to be on disk. */
  #saved: Preferences | null = null;
  // One after the other: each replaces all of them.
  #saving: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(backend: Backend, toasts: Toasts, theme: Theme) {
    this.#backend = backend;
    this.#toasts = toasts;
    this.#theme = theme;
    theme.chosen = (appearance) => void this.change({ appearance });
  }

  async read(): Promise<void> {
    try {
      const preferences = await this.#backend.call('preferences', {});
      this.error = null;
      this.#saved = preferences;
      if (this.#waiting === 0) this.#show(preferences);
    } catch (thrown) {
      this.error = CommandError.from(thrown);
    }
  }

  /** Resolves to whether it was saved; a refusal has been told. */
  change(part: Partial<Preferences>): Promise<boolean> {
    if (this.value !== null) this.#show({ ...this.value, ...part });
    this.#waiting += 1;
    const saving = this.#saving.then(() => this.#save(part));
    this.#saving = saving;
    return saving;
  }

  async #save(part: Partial<Preferences>): Promise<boolean> {
    try {
      const base = this.#saved ?? (await this.#backend.call('preferences', {}));
      this.#saved = await this.#backend.call('preferences_set', { preferences: { ...base, ...part } });
      this.error = null;
      return true;
    } catch (thrown) {
      this.#toasts.error(thrown);
      return false;
    } finally {
      this.#waiting -= 1;
      // Only the last of several answers is what is to be seen.
      if (this.#waiting === 0 && this.#saved !== null) this.#show(this.#saved);
    }
  }

  #show(preferences: Preferences): void {
    this.value = preferences;
    this.#theme.adopt(preferences.appearance);
  }
}
