import { CommandError } from '../backend/backend';

/** Something loaded: `const datasets = new Resource((signal) => backend.call('data_list', {}, { signal }))`. */
export class Resource<T> {
  value = $state.raw<T | undefined>(undefined);
  error = $state.raw<CommandError | null>(null);
  loading = $state(false);
  #load: (signal: AbortSignal) => Promise<T>;
  #controller: AbortController | null = null;

  constructor(load: (signal: AbortSignal) => Promise<T>) {
    this.#load = load;
  }

  /** Loads, or loads again; what was there stays until the new value comes. A later call cancels an earlier. */
  async reload(): Promise<void> {
    this.#controller?.abort();
    const controller = (this.#controller = new AbortController());
    this.loading = true;
    try {
      const value = await this.#load(controller.signal);
      if (controller !== this.#controller) return;
      this.value = value;
      this.error = null;
    } catch (thrown) {
      if (controller !== this.#controller) return;
      const error = CommandError.from(thrown);
      if (!error.cancelled) this.error = error;
    }
    this.loading = false;
  }

  /** Lets go of a running load. */
  cancel(): void {
    this.#controller?.abort();
    this.#controller = null;
    this.loading = false;
  }
}

/** A resource that loads when the component mounts, anew when what `load` reads before its first await changes. */
export function useResource<T>(load: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const resource = new Resource(load);
  $effect(() => {
    void resource.reload();
    return () => resource.cancel();
  });
  return resource;
}
