import { CommandError, type Backend } from '../../backend/backend';
import type { Experiment } from '../../backend/generated/types';
import { emptySeries, RunRecord, type RunSeries } from './run-record';

/** Milliseconds between two looks: while the run works or waits, and otherwise. */
// Each look draws five charts anew; where no graphics processor helps, more often would take the time training needs.
const busy = 1_000;
const idle = 2_000;
/** A reply with so many events is a part of a long history: the next part is asked for at once. */
const many = 1_000;

/** Follows one run: reads what has happened since the last look, and publishes it at most once per frame. */
export class RunHistory {
  readonly id: string;
  /** The experiment as it was at the last look. */
  experiment = $state.raw<Experiment | undefined>(undefined);
  series = $state.raw<RunSeries>(emptySeries);
  error = $state.raw<CommandError | null>(null);
  /** Whether everything that had happened at the first look has arrived. */
  complete = $state(false);
  #backend: Backend;
  #record = new RunRecord();
  #next = 0;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> | null = null;
  #following = false;

  constructor(backend: Backend, id: string) {
    this.#backend = backend;
    this.id = id;
  }

  get live(): boolean {
    return this.experiment?.state === 'running' || this.experiment?.state === 'queued';
  }

  /** Looks again and again, while the window is visible, until the returned function is called. */
  follow(): () => void {
    this.#following = true;
    const seen = () => {
      if (document.visibilityState === 'visible') void this.#again();
    };
    document.addEventListener('visibilitychange', seen);
    // What surrounds the run is painted first: made in one go, the two would hold up the page for longer.
    const painting = requestAnimationFrame(() => (this.#timer = setTimeout(() => void this.#again())));
    return () => {
      this.#following = false;
      cancelAnimationFrame(painting);
      clearTimeout(this.#timer);
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      document.removeEventListener('visibilitychange', seen);
    };
  }

  /** Looks now: everything that has happened since the last look. */
  look(): Promise<void> {
    this.#looking ??= this.#read().finally(() => (this.#looking = null));
    return this.#looking;
  }

  async #again(): Promise<void> {
    clearTimeout(this.#timer);
    await this.look();
    clearTimeout(this.#timer);
    if (!this.#following || document.visibilityState === 'hidden') return;
    this.#timer = setTimeout(() => void this.#again(), this.live ? busy : idle);
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const page = await this.#backend.call('experiments_events', { experiment: this.id, after: this.#next });
        this.#next = page.next;
        this.#record.append(page.events);
        this.experiment = page.experiment;
        this.error = null;
        if (page.events.length > 0) this.#publish();
        if (page.events.length < many) break;
      }
      if (!this.complete) this.#publishNow();
      this.complete = true;
    } catch (thrown) {
      const error = CommandError.from(thrown);
      if (!error.cancelled) this.error = error;
    }
  }

  #publish(): void {
    if (!this.#following) return this.#publishNow();
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#publishNow());
  }

  #publishNow(): void {
    if (this.#frame !== 0) cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.series = this.#record.snapshot();
  }
}
