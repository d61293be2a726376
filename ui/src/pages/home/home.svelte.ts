import { SvelteSet } from 'svelte/reactivity';
import type { Application } from '../../app/context.svelte';
import { Resource } from '../../app/resource.svelte';
import type { Dataset, DoctorReport, Experiment, Job, Model } from '../../backend/generated/types';
import { fileName } from '../../format';
import { Curves } from './curves.svelte';
import { StarterRun } from './starter.svelte';

/** So many of each list; the rest is on its own page. */
const few = 5;

const methods: Record<string, string> = { lora: 'LoRA', full: 'Full' };

/** What is in sight on the first page: all of it follows from what goes on. */
export class Home {
  readonly machine: Resource<DoctorReport>;
  readonly datasets: Resource<Dataset[]>;
  readonly models: Resource<Model[]>;
  readonly curves: Curves;
  readonly starter: StarterRun;
  /** What was asked for and has not happened yet: `pause/ID`. */
  readonly pending = new SvelteSet<string>();
  #application: Application;

  constructor(application: Application) {
    const { backend, activity, navigation, toasts } = application;
    this.#application = application;
    this.machine = new Resource((signal) => backend.call('doctor', {}, { signal }));
    this.datasets = new Resource((signal) => backend.call('data_list', {}, { signal }));
    this.models = new Resource((signal) => backend.call('models_list', {}, { signal }));
    this.curves = new Curves(backend);
    this.starter = new StarterRun(backend, activity, navigation, toasts);
  }

  get #experiments(): Experiment[] {
    return this.#application.activity.experiments ?? [];
  }

  get known(): boolean {
    return this.#application.activity.experiments !== undefined && (this.datasets.value !== undefined || this.datasets.error !== null);
  }

  /** Nothing here yet. */
  get isNew(): boolean {
    return this.#experiments.length === 0 && this.datasets.value?.length === 0;
  }

  /** Those that train or wait for the device, the one that trains first. */
  get live(): Experiment[] {
    const waiting = this.#experiments.filter(({ state }) => state === 'queued').reverse();
    return [...this.#experiments.filter(({ state }) => state === 'running'), ...waiting];
  }

  /** Those that could go on. */
  get resting(): Experiment[] {
    return this.#experiments.filter(({ state }) => state === 'interrupted' || state === 'paused');
  }

  get recent(): Experiment[] {
    return this.#experiments.filter(({ state }) => state === 'finished' || state === 'stopped' || state === 'failed').slice(0, few);
  }

  get recentDatasets(): Dataset[] {
    return (this.datasets.value ?? []).slice(0, few);
  }

  /** Imports, evaluations and exports; training has its own place. */
  get jobs(): Job[] {
    return this.#application.activity.jobs.filter(({ kind }) => kind !== 'train');
  }

  /** Offered until the bundled model was tuned once. */
  get offersStarter(): boolean {
    if (this.models.value === undefined) return false;
    const bundled = new Set(this.models.value.filter(({ origin }) => origin === 'bundled').map(({ id }) => id));
    return !this.#experiments.some(({ model }) => bundled.has(model));
  }

  datasetName(id: string): string {
    return this.datasets.value?.find((dataset) => dataset.id === id)?.name ?? id;
  }

  modelName(id: string): string {
    const model = this.models.value?.find((model) => model.id === id);
    return model?.name ?? (id.startsWith('/') ? fileName(id) : id);
  }

  methodName(method: string): string {
    return methods[method] ?? method;
  }

  /** What a job works on, as a person calls it. */
  subjectOf(job: Job): string {
    return this.#experiments.find(({ id }) => id === job.subject)?.name ?? fileName(job.subject);
  }

  /** The step a resting run goes on from. */
  goesOnFrom(experiment: Experiment): number {
    return this.curves.checkpoint(experiment.id) ?? experiment.step;
  }

  pause(experiment: Experiment): Promise<void> {
    return this.#ask(`pause/${experiment.id}`, () => this.#application.activity.pause(experiment.id));
  }

  resume(experiment: Experiment): Promise<void> {
    return this.#ask(`resume/${experiment.id}`, () => this.#application.activity.resume(experiment.id));
  }

  cancel(job: Job): Promise<void> {
    return this.#ask(`cancel/${job.id}`, async () => {
      await this.#application.backend.call('jobs_cancel', { job: job.id });
      await this.#application.activity.refresh();
    });
  }

  async #ask(what: string, work: () => Promise<void>): Promise<void> {
    if (this.pending.has(what)) return;
    this.pending.add(what);
    try {
      await work();
    } catch (thrown) {
      this.#application.toasts.error(thrown);
    } finally {
      this.pending.delete(what);
    }
  }
}
