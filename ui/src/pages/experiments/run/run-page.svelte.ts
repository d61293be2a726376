import type { Application } from '../../../app/context.svelte';
import { Resource } from '../../../app/resource.svelte';
import type { ExperimentTab } from '../../../app/routes';
import { CommandError } from '../../../backend/backend';
import type { Experiment, KeptEvaluation, Samples } from '../../../backend/generated/types';
import { RunHistory } from '../../../features/experiments/history.svelte';
import { measurementOf, type MeasuredPass, type Measurement } from '../../../features/experiments/measurement.svelte';
import { newest } from '../../../features/experiments/predictions';
import { bytes } from '../../../format';
import { ChartView } from './chart-view.svelte';
import { Exporting } from './exporting.svelte';
import { FirstBatchView } from './first-batch.svelte';

/** What the page of one run knows and can do. */
export class RunPage {
  readonly history: RunHistory;
  readonly samples: Resource<Samples>;
  readonly evaluations: Resource<KeptEvaluation[]>;
  readonly measurement: Measurement;
  readonly charts = new ChartView();
  readonly exporting: Exporting;
  readonly firstBatch: FirstBatchView;
  /** A pause, stop or continuation that was asked for and has not happened yet. */
  asked = $state<'pause' | 'stop' | 'resume' | null>(null);
  renaming = $state(false);
  #application: Application;
  /** Whether this page has seen the run at work: then its end is news. */
  #sawItRun = false;

  constructor(application: Application, id: string) {
    const { backend } = application;
    this.#application = application;
    this.history = new RunHistory(backend, id);
    this.samples = new Resource((signal) => backend.call('experiments_samples', { experiment: id }, { signal }));
    this.evaluations = new Resource((signal) => backend.call('experiments_evaluations', { experiment: id }, { signal }));
    this.measurement = measurementOf(backend, id);
    this.exporting = new Exporting(application);
    this.firstBatch = new FirstBatchView(backend, id);
  }

  get id(): string {
    return this.history.id;
  }

  get experiment(): Experiment | undefined {
    return this.history.experiment;
  }

  get pausable(): boolean {
    return this.experiment?.state === 'running' || this.experiment?.state === 'queued';
  }

  get resumable(): boolean {
    const state = this.experiment?.state;
    return state === 'paused' || state === 'interrupted' || state === 'failed';
  }

  /** Whether there are weights to chat with, to evaluate, to take away. */
  get usable(): boolean {
    return this.history.series.marks.some(({ kind }) => kind === 'checkpoint') || this.experiment?.state === 'finished';
  }

  /** The step a continued run goes on from. */
  get lastCheckpoint(): number | null {
    return this.history.series.marks.filter(({ kind }) => kind === 'checkpoint').at(-1)?.step ?? null;
  }

  /** What a waiting run waits for, by name. */
  get behind(): string | null {
    const { activity } = this.#application;
    const others = activity.jobs.filter((job) => job.state === 'running' && job.subject !== this.id && (job.kind === 'train' || job.kind === 'evaluate'));
    const training = others.find(({ kind }) => kind === 'train');
    return training ? this.nameOf(training.subject) : (others[0]?.what ?? null);
  }

  nameOf(id: string): string {
    return this.#application.activity.experiments?.find((one) => one.id === id)?.name ?? id;
  }

  get kept() {
    return newest(this.evaluations.value ?? []);
  }

  /** Follows the run until the returned function is called. */
  follow(): () => void {
    return this.history.follow();
  }

  /** Notices the end of the run, and measures a starter run the first time it is seen. */
  async settle(state: Experiment['state']): Promise<void> {
    if (state === 'running' || state === 'queued') {
      this.#sawItRun = true;
      return;
    }
    // A short run may have ended while the page was on its way.
    const news = this.#sawItRun || Date.now() / 1000 - (this.experiment?.ended_at ?? 0) < 30;
    this.#sawItRun = false;
    if (!news) return;
    await this.evaluations.reload();
    if (state === 'finished' && this.kept.tuned === undefined && !this.measurement.asked && (await this.#isStarter())) await this.measure();
  }

  async #isStarter(): Promise<boolean> {
    try {
      const starter = await this.#application.backend.call('starter', {});
      return this.experiment?.dataset === starter.dataset;
    } catch {
      // Measuring by itself is a courtesy; the button stays.
      return false;
    }
  }

  async measure(passes?: MeasuredPass[]): Promise<void> {
    if (!this.experiment) return;
    await this.measurement.run(this.experiment, passes);
    await this.evaluations.reload();
  }

  async togglePause(): Promise<void> {
    if (this.asked !== null) return;
    if (this.pausable) await this.#ask('pause', () => this.#application.activity.pause(this.id));
    else if (this.resumable) await this.#ask('resume', () => this.#application.activity.resume(this.id));
  }

  async stop(): Promise<void> {
    const queued = this.experiment?.state === 'queued';
    const yes = await this.#application.confirmation.ask({
      title: queued ? 'Take this run out of the queue?' : 'Stop this run and keep it?',
      body: queued ? 'It has not started, so there is nothing to keep.' : 'It writes a checkpoint and ends. It stays in the list with what it has learnt, and is not continued.',
      action: queued ? 'Take out' : 'Stop and keep',
    });
    if (yes) await this.#ask('stop', () => this.#application.activity.stop(this.id));
  }

  async #ask(what: 'pause' | 'stop' | 'resume', act: () => Promise<void>): Promise<void> {
    this.asked = what;
    try {
      await act();
    } catch (thrown) {
      this.#application.toasts.error(thrown);
    } finally {
      await this.history.look();
      this.asked = null;
    }
  }

  async rename(name: string): Promise<void> {
    const trimmed = name.trim();
    this.renaming = false;
    if (trimmed === '' || trimmed === this.experiment?.name) return;
    try {
      this.history.experiment = await this.#application.backend.call('experiments_rename', { experiment: this.id, name: trimmed });
      await this.#application.activity.refresh();
    } catch (thrown) {
      this.#application.toasts.error(thrown);
    }
  }

  async remove(): Promise<void> {
    const { experiment } = this;
    if (!experiment) return;
    const checkpoints = new Set(this.history.series.marks.filter(({ kind }) => kind === 'checkpoint').map(({ step }) => step)).size;
    const yes = await this.#application.confirmation.ask({
      title: `Delete “${experiment.name}”?`,
      body: 'Its files leave the disk now. This cannot be undone. Dataset and base model stay.',
      items: [
        checkpoints > 0 ? 'What it has learnt: its checkpoints' : 'Its settings',
        'Its charts, samples and logs',
        ...((this.evaluations.value?.length ?? 0) > 0 ? ['Its kept evaluations'] : []),
        experiment.folder,
      ],
      action: 'Delete experiment',
      danger: true,
    });
    if (!yes) return;
    const { backend, toasts, navigation, activity } = this.#application;
    try {
      const removed = await backend.call('experiments_delete', { experiment: this.id });
      toasts.show(`Deleted ${removed.name}`, { detail: `${bytes(removed.freed)} freed on disk.` });
      await navigation.go({ name: 'experiments' });
      await activity.refresh();
    } catch (thrown) {
      toasts.error(thrown);
    }
  }

  show(tab: ExperimentTab): void {
    this.#application.navigation.replace({ name: 'experiment', id: this.id, tab });
  }

  duplicate(): Promise<void> {
    return this.#application.navigation.go({ name: 'new', from: this.id });
  }

  chat(withBase = false): Promise<void> {
    return this.#application.navigation.go({ name: 'chat', experiment: this.id, compare: withBase ? this.experiment?.model : undefined });
  }

  compare(): Promise<void> {
    return this.#application.navigation.go({ name: 'compare', ids: [this.id] });
  }

  async reveal(): Promise<void> {
    if (this.experiment) await this.#application.backend.reveal(this.experiment.folder);
  }

  async copy(text: string, said: string): Promise<void> {
    try {
      await this.#application.backend.copy(text);
      this.#application.toasts.show(said, { tone: 'positive' });
    } catch (thrown) {
      this.#application.toasts.error(CommandError.from(thrown));
    }
  }
}
