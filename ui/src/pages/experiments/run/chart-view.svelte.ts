const key = 'attune.charts';

export type ChartAxis = 'step' | 'time';

interface Choices {
  smoothing: number;
  log: boolean;
  axis: ChartAxis;
  table: boolean;
}

const usual: Choices = { smoothing: 0.8, log: false, axis: 'step', table: false };

/** How charts are looked at: the same for every run, and remembered. */
export class ChartView {
  #choices = $state<Choices>(read());

  get smoothing(): number {
    return this.#choices.smoothing;
  }
  set smoothing(smoothing: number) {
    this.#set({ smoothing });
  }

  get log(): boolean {
    return this.#choices.log;
  }
  set log(log: boolean) {
    this.#set({ log });
  }

  get axis(): ChartAxis {
    return this.#choices.axis;
  }
  set axis(axis: ChartAxis) {
    this.#set({ axis });
  }

  get table(): boolean {
    return this.#choices.table;
  }
  set table(table: boolean) {
    this.#set({ table });
  }

  #set(change: Partial<Choices>): void {
    Object.assign(this.#choices, change);
    localStorage.setItem(key, JSON.stringify(this.#choices));
  }
}

function read(): Choices {
  try {
    return { ...usual, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Choices>) };
  } catch {
    return { ...usual };
  }
}
