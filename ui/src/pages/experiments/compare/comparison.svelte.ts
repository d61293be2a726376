import { CommandError, type Backend } from '../../../backend/backend';
import type { Experiment } from '../../../backend/generated/types';
import { RunHistory } from '../../../features/experiments/history.svelte';
import { colorsOf } from '../../../features/experiments/run-colors';
import type { Values } from '../../../features/settings/setting';
import type { Axis } from './curves';

export const most = 8;

/** One of the runs that are compared. Its letter stands in charts and tables where its name has no room. */
export class ComparedRun {
  readonly id: string;
  readonly history: RunHistory;
  settings = $state.raw<Values | null>(null);
  letter = $state('');
  color = $state(1);
  #missing = $state.raw<CommandError | null>(null);
  #stop: () => void;

  constructor(backend: Backend, id: string) {
    this.id = id;
    this.history = new RunHistory(backend, id);
    this.#stop = this.history.follow();
    backend.call('experiments_show', { experiment: id }).then(
      (report) => (this.settings = report.settings),
      (thrown) => (this.#missing = CommandError.from(thrown)),
    );
  }

  get experiment(): Experiment | undefined {
    return this.history.experiment;
  }

  get error(): CommandError | null {
    return this.#missing ?? this.history.error;
  }

  get name(): string {
    return this.experiment?.name ?? this.id;
  }

  end(): void {
    this.#stop();
  }
}

/** The runs side by side, and how they are shown. */
export class Comparison {
  runs = $state.raw<ComparedRun[]>([]);
  hidden = $state.raw<ReadonlySet<string>>(new Set());
  axis = $state<Axis>('step');
  smoothing = $state(0.8);
  logarithmic = $state(false);
  #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  visible = $derived.by<ComparedRun[]>(() => this.runs.filter(({ id }) => !this.hidden.has(id)));

  /** Those of the address, in its order; what was read of one that stays is kept. */
  show(ids: string[]): void {
    const wanted = [...new Set(ids)].slice(0, most);
    const colors = colorsOf(wanted);
    const before = this.runs;
    this.runs = wanted.map((id, at) => {
      const run = before.find((one) => one.id === id) ?? new ComparedRun(this.#backend, id);
      run.letter = String.fromCharCode(65 + at);
      run.color = colors[id];
      return run;
    });
    for (const run of before) if (!this.runs.includes(run)) run.end();
  }

  toggle(id: string): void {
    const next = new Set(this.hidden);
    if (!next.delete(id)) next.add(id);
    this.hidden = next;
  }

  end(): void {
    for (const run of this.runs) run.end();
    this.runs = [];
  }
}
