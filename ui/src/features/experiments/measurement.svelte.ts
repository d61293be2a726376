import { CommandError, type Backend } from '../../backend/backend';
import type { Event, Experiment } from '../../backend/generated/types';

export type MeasuredPass = 'base' | 'tuned';

/** Asks the base model and the tuned one the rows that training never saw, and keeps both results with the run. */
export class Measurement {
  /** What is asked now; null while nothing is. */
  pass = $state<MeasuredPass | null>(null);
  what = $state('');
  done = $state(0);
  total = $state<number | null>(null);
  secondsLeft = $state<number | null>(null);
  /** What holds the device, while this waits for it. */
  behind = $state<string | null>(null);
  error = $state.raw<CommandError | null>(null);
  /** Whether it was asked for once, by a person or by itself. */
  asked = false;
  #backend: Backend;
  #controller: AbortController | null = null;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get running(): boolean {
    return this.pass !== null;
  }

  /** Measures; returns whether both passes came to their end. Both take the rows from the run, so that they are the same rows. */
  async run(experiment: Experiment, passes: MeasuredPass[] = ['base', 'tuned']): Promise<boolean> {
    if (this.running) return false;
    const controller = (this.#controller = new AbortController());
    this.error = null;
    this.asked = true;
    try {
      for (const pass of passes) {
        this.#begin(pass);
        const weights = pass === 'base' ? { model: experiment.model, held_out_of: experiment.id } : { experiment: experiment.id };
        await this.#backend.call('evaluate', { ...weights, rows: false, keep: true }, { signal: controller.signal, onEvents: (events) => this.#follow(events) });
      }
      return true;
    } catch (thrown) {
      const error = CommandError.from(thrown);
      if (!error.cancelled) this.error = error;
      return false;
    } finally {
      this.pass = null;
      this.behind = null;
      this.#controller = null;
    }
  }

  cancel(): void {
    this.#controller?.abort();
  }

  #begin(pass: MeasuredPass): void {
    this.pass = pass;
    this.what = pass === 'base' ? 'Loading the base model' : 'Loading the tuned model';
    this.done = 0;
    this.total = null;
    this.secondsLeft = null;
  }

  #follow(events: Event[]): void {
    for (const event of events) {
      if (event.type === 'waiting') this.behind = event.behind;
      if (event.type !== 'progress') continue;
      this.behind = null;
      this.what = event.what;
      this.done = event.done;
      this.total = event.total;
      this.secondsLeft = event.seconds_left;
    }
  }
}

const known = new WeakMap<Backend, Map<string, Measurement>>();

/** The measurement of a run: it goes on while other pages are looked at. */
export function measurementOf(backend: Backend, experiment: string): Measurement {
  const all = known.get(backend) ?? new Map<string, Measurement>();
  known.set(backend, all);
  const one = all.get(experiment) ?? new Measurement(backend);
  all.set(experiment, one);
  return one;
}
