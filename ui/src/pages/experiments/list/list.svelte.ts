import type { Activity } from '../../../app/activity.svelte';
import type { Experiment, ExperimentState } from '../../../backend/generated/types';
import type { TableSort } from '../../../primitives';

/** What a run is about, in words: names where they are known. */
export interface Names {
  dataset: (id: string) => string;
  model: (id: string) => string;
}

export const states: { state: ExperimentState; title: string }[] = [
  { state: 'running', title: 'Running' },
  { state: 'queued', title: 'Queued' },
  { state: 'paused', title: 'Paused' },
  { state: 'interrupted', title: 'Interrupted' },
  { state: 'failed', title: 'Failed' },
  { state: 'stopped', title: 'Stopped' },
  { state: 'finished', title: 'Finished' },
];

export const isLive = ({ state }: Experiment): boolean => state === 'running' || state === 'queued';
export const canContinue = ({ state }: Experiment): boolean => state === 'paused' || state === 'interrupted' || state === 'failed';
export const methodName = (method: string): string => (method === 'lora' ? 'LoRA' : method === 'full' ? 'Full' : method);

/** Seconds a run has taken so far, or took. */
export function timeOf({ started_at: from, ended_at: to, state }: Experiment, now: number): number | null {
  if (from === null) return null;
  return to !== null && state !== 'running' ? to - from : Math.max(0, now - from);
}

type Value = string | number | null;

const values: Record<string, (run: Experiment, names: Names) => Value> = {
  name: (run) => run.name.toLowerCase(),
  model: (run, names) => names.model(run.model).toLowerCase(),
  dataset: (run, names) => names.dataset(run.dataset).toLowerCase(),
  method: (run) => run.method,
  state: (run) => states.findIndex(({ state }) => state === run.state),
  progress: (run) => (run.total_steps ? run.step / run.total_steps : run.step > 0 ? 0 : null),
  best: (run) => run.best_validation_loss,
  loss: (run) => run.loss,
  rate: (run) => run.tokens_per_second,
  time: (run) => timeOf(run, Date.now() / 1000),
  created: (run) => run.created_at,
};

/** In order; what has no value comes last either way. */
export function sorted(runs: Experiment[], { key, direction }: TableSort, names: Names): Experiment[] {
  const value = values[key] ?? values.created;
  const sign = direction === 'ascending' ? 1 : -1;
  return [...runs].sort((one, other) => {
    const [a, b] = [value(one, names), value(other, names)];
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    if (typeof a === 'string' && typeof b === 'string') return sign * a.localeCompare(b);
    return sign * (Number(a) - Number(b));
  });
}

/** Each word stands in the name, the model, the dataset or the method. */
export function matches(run: Experiment, query: string, names: Names): boolean {
  const text = [run.name, run.id, run.model, names.model(run.model), run.dataset, names.dataset(run.dataset), methodName(run.method), run.state].join(' ').toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** What the list shows and what is chosen in it. */
export class RunList {
  query = $state('');
  state = $state<ExperimentState | 'all'>('all');
  sort = $state.raw<TableSort>({ key: 'created', direction: 'descending' });
  chosen = $state.raw<ReadonlySet<string>>(new Set());
  #activity: Activity;
  #names: () => Names;
  #anchor: string | null = null;

  constructor(activity: Activity, names: () => Names) {
    this.#activity = activity;
    this.#names = names;
  }

  get all(): Experiment[] {
    return this.#activity.experiments ?? [];
  }

  shown = $derived.by<Experiment[]>(() => {
    const names = this.#names();
    const query = this.query.trim();
    const found = this.all.filter((run) => (this.state === 'all' || run.state === this.state) && (query === '' || matches(run, query, names)));
    return sorted(found, this.sort, names);
  });

  /** Those that are chosen and still there, in the order of the list. */
  picked = $derived.by<Experiment[]>(() => this.shown.filter(({ id }) => this.chosen.has(id)));

  get narrowed(): boolean {
    return this.query.trim() !== '' || this.state !== 'all';
  }

  /** Chooses or lets go; with `through`, all from the last one to this one. */
  toggle(id: string, through = false): void {
    const next = new Set(this.chosen);
    const ids = this.shown.map((run) => run.id);
    const [from, to] = [this.#anchor === null ? -1 : ids.indexOf(this.#anchor), ids.indexOf(id)];
    if (through && from >= 0 && to >= 0) for (const one of ids.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(one);
    else if (!next.delete(id)) next.add(id);
    this.#anchor = id;
    this.chosen = next;
  }

  toggleAll(): void {
    this.chosen = this.picked.length === this.shown.length ? new Set() : new Set(this.shown.map(({ id }) => id));
  }

  clear(): void {
    this.chosen = new Set();
    this.#anchor = null;
  }
}
