import type { Drop } from '../backend/backend';

/** What dropping would do, or why nothing would come of it. */
export interface DropAnswer {
  title: string;
  detail?: string;
  refused?: boolean;
}

/** What a page does with files dropped on the window. */
export interface DropTarget {
  /** Says what dropping them would do; null leaves them to the page behind. */
  describe(paths: string[]): DropAnswer | null;
  drop(paths: string[]): unknown;
}

/** The whole window is one drop target; the page registered last is asked first. */
export class Drops {
  /** What hovers over the window now. */
  hovering = $state.raw<DropAnswer | null>(null);
  #targets: DropTarget[] = [];
  #paths: string[] = [];
  #failed: (thrown: unknown) => void;

  constructor(failed: (thrown: unknown) => void) {
    this.#failed = failed;
  }

  add(target: DropTarget): () => void {
    this.#targets.unshift(target);
    return () => {
      this.#targets = this.#targets.filter((other) => other !== target);
    };
  }

  handle(drop: Drop): void {
    if (drop.kind === 'leave') {
      this.hovering = null;
      this.#paths = [];
      return;
    }
    if (drop.paths.length > 0) this.#paths = drop.paths;
    const target = this.#targets.find((candidate) => candidate.describe(this.#paths) !== null);
    if (drop.kind === 'drop') {
      const paths = this.#paths;
      this.hovering = null;
      this.#paths = [];
      if (target && paths.length > 0) Promise.resolve(target.drop(paths)).catch(this.#failed);
    } else if (drop.kind === 'enter') {
      this.hovering = target?.describe(this.#paths) ?? { title: 'Nothing here takes these files', detail: 'CSV, JSON, JSONL, Parquet and ZIP become datasets.', refused: true };
    }
  }
}
