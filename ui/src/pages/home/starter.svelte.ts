import type { Activity } from '../../app/activity.svelte';
import type { Navigation } from '../../app/navigation.svelte';
import type { Toasts } from '../../app/toasts.svelte';
import { CommandError, type Backend } from '../../backend/backend';
import type { Event } from '../../backend/generated/types';

/** The first of `First run`, `First run 2`, … that nobody has. */
export function unusedName(wanted: string, taken: string[]): string {
  const used = new Set(taken);
  let name = wanted;
  for (let number = 2; used.has(name); number += 1) name = `${wanted} ${number}`;
  return name;
}

/** From one press of a button to a run that trains. */
export class StarterRun {
  /** What it does now; null while it does nothing. */
  what = $state<string | null>(null);
  done = $state(0);
  total = $state<number | null>(null);
  error = $state.raw<CommandError | null>(null);
  #backend: Backend;
  #activity: Activity;
  #navigation: Navigation;
  #toasts: Toasts;

  constructor(backend: Backend, activity: Activity, navigation: Navigation, toasts: Toasts) {
    this.#backend = backend;
    this.#activity = activity;
    this.#navigation = navigation;
    this.#toasts = toasts;
  }

  get busy(): boolean {
    return this.what !== null;
  }

  async start(): Promise<void> {
    if (this.busy) return;
    this.error = null;
    this.#says('Installing the starter model and its orders');
    try {
      const starter = await this.#backend.call('starter', {}, { onEvents: (events) => this.#heard(events) });
      this.#says('Starting the run');
      const name = unusedName('First run', (this.#activity.experiments ?? []).map(({ name }) => name));
      const id = await this.#activity.start({
        settings: {
          ...starter.settings,
          model: starter.model,
          dataset: starter.dataset,
          experiment_name: name,
          // What tuning changes is only seen beside what was there before, on orders it never saw.
          validation_dataset: starter.held_out,
          evaluation_epochs: 1,
          evaluate_before_training: true,
        },
      });
      await this.#show(id, name);
    } catch (thrown) {
      const error = CommandError.from(thrown);
      if (!error.cancelled) this.error = error;
    } finally {
      this.what = null;
    }
  }

  async #show(id: string, name: string): Promise<void> {
    const open = () => this.#navigation.go({ name: 'experiment', id, tab: 'charts' });
    // Whoever has gone elsewhere in the meantime is not fetched back.
    if (this.#navigation.route.name === 'home') await open();
    else this.#toasts.show(`${name} has started`, { tone: 'positive', action: { title: 'Open', run: open } });
  }

  #says(what: string): void {
    this.what = what;
    this.done = 0;
    this.total = null;
  }

  #heard(events: Event[]): void {
    for (const event of events) {
      if (event.type !== 'progress') continue;
      this.what = event.what;
      this.done = event.done;
      this.total = event.total;
    }
  }
}
