import { SvelteMap } from 'svelte/reactivity';
import type { Backend } from '../../backend/backend';
import type { Experiment } from '../../backend/generated/types';
import { emptyCurve, extended, thinned, type Curve } from './curves';

/** Longer histories are too much to read for a line of a hundred pixels. */
const longest = 20_000;

// Kept between visits: what a run that ended has done does not change.
const known = new SvelteMap<string, Curve>();
const seen = new Map<string, string>();
let order: Promise<unknown> = Promise.resolve();

/** Loss curves for the few runs in sight, read once and then only what is new. */
export class Curves {
  #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Reads what is new in a run, one run after the other. */
  look(experiment: Experiment): void {
    const { id, step, state } = experiment;
    const now = `${state}/${step}`;
    if (step === 0 || step > longest || seen.get(id) === now) return;
    seen.set(id, now);
    order = order.then(() => this.#read(id));
  }

  async #read(id: string): Promise<void> {
    const before = known.get(id) ?? emptyCurve;
    try {
      const page = await this.#backend.call('experiments_events', { experiment: id, after: before.next });
      known.set(id, extended(before, page));
    } catch {
      // A line less; the next look tries again.
      seen.delete(id);
    }
  }

  losses(id: string, most = 64): number[] {
    return thinned(known.get(id)?.points.map(({ loss }) => loss) ?? [], most);
  }

  checkpoint(id: string): number | null {
    return known.get(id)?.checkpoint ?? null;
  }
}
