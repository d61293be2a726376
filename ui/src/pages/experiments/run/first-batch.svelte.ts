import { Resource } from '../../../app/resource.svelte';
import type { Backend } from '../../../backend/backend';
import type { FirstBatch, RenderedSample } from '../../../backend/generated/types';

export interface BatchSample {
  /** Which of the micro-batches, from 0. */
  batch: number;
  sample: RenderedSample;
}

/** The first batch of a run, made once for the page. */
export class FirstBatchView {
  readonly resource: Resource<FirstBatch>;
  what = $state('');
  done = $state(0);
  total = $state<number | null>(null);
  secondsLeft = $state<number | null>(null);
  /** Samples shown; a batch may hold hundreds. */
  shown = $state(16);
  samples = $derived.by((): BatchSample[] => (this.resource.value?.micro_batches ?? []).flatMap((samples, batch) => samples.map((sample) => ({ batch, sample }))));

  constructor(backend: Backend, experiment: string) {
    this.resource = new Resource((signal) =>
      backend.call('experiments_first_batch', { experiment }, {
        signal,
        onEvents: (events) => {
          for (const event of events) {
            if (event.type !== 'progress') continue;
            this.what = event.what;
            this.done = event.done;
            this.total = event.total;
            this.secondsLeft = event.seconds_left;
          }
        },
      }),
    );
  }

  /** Loads it, unless it is there or on its way. */
  want(): void {
    if (this.resource.value === undefined && !this.resource.loading) void this.resource.reload();
  }
}
