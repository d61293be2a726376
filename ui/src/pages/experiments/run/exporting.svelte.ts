import type { Application } from '../../../app/context.svelte';
import { CommandError } from '../../../backend/backend';
import type { CheckpointChoice, Event, Experiment, Export, ExportDtype, ExportFormat } from '../../../backend/generated/types';

/** A folder's name from a run's: `orders-to-json-adapter`. Letters of any script stay. */
export function folderName(name: string, format: ExportFormat): string {
  const base = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '');
  return `${base === '' ? 'attune' : base.slice(0, 60)}-${format === 'adapter' ? 'adapter' : 'merged'}`;
}

/** Taking a run's result away. */
export class Exporting {
  format = $state<ExportFormat>('adapter');
  dtype = $state<ExportDtype | 'own'>('own');
  checkpoint = $state<CheckpointChoice | 'usual'>('usual');
  /** Where the new folder goes; null until it was chosen. */
  parent = $state<string | null>(null);
  /** The new folder's name, as typed; the run's own without it. */
  typed = $state<string | null>(null);
  running = $state(false);
  what = $state('');
  done = $state(0);
  total = $state<number | null>(null);
  secondsLeft = $state<number | null>(null);
  error = $state.raw<CommandError | null>(null);
  result = $state.raw<Export | null>(null);
  #application: Application;
  #controller: AbortController | null = null;

  constructor(application: Application) {
    this.#application = application;
  }

  nameFor(experiment: Experiment): string {
    return this.typed ?? folderName(experiment.name, this.format);
  }

  folderFor(experiment: Experiment): string | null {
    if (this.parent === null) return null;
    const separator = this.parent.includes('\\') && !this.parent.includes('/') ? '\\' : '/';
    return `${this.parent.replace(/[\\/]+$/, '')}${separator}${this.nameFor(experiment)}`;
  }

  /** What keeps the name from being a folder's. */
  nameProblem(experiment: Experiment): string | null {
    const name = this.nameFor(experiment).trim();
    if (name === '') return 'The folder needs a name';
    return /[\\/:*?"<>|]/.test(name) || name === '.' || name === '..' ? 'A folder’s name has no \\ / : * ? " < > |' : null;
  }

  async choose(): Promise<void> {
    const chosen = await this.#application.backend.chooseFolder({ title: 'Where the export goes' });
    if (chosen !== null) this.parent = chosen;
  }

  async run(experiment: Experiment): Promise<void> {
    if (this.running) return;
    if (this.parent === null) await this.choose();
    const folder = this.folderFor(experiment);
    if (folder === null || this.nameProblem(experiment) !== null) return;
    await this.#write(experiment, folder, false);
  }

  async #write(experiment: Experiment, folder: string, overwrite: boolean): Promise<void> {
    const controller = (this.#controller = new AbortController());
    Object.assign(this, { running: true, error: null, result: null, what: 'Preparing', done: 0, total: null, secondsLeft: null });
    let occupied = false;
    try {
      this.result = await this.#application.backend.call(
        'export',
        { experiment: experiment.id, checkpoint: this.checkpoint === 'usual' ? null : this.checkpoint, format: this.format, folder, overwrite, dtype: this.format === 'merged' && this.dtype !== 'own' ? this.dtype : null },
        { signal: controller.signal, onEvents: (events) => this.#follow(events) },
      );
    } catch (thrown) {
      const error = CommandError.from(thrown);
      occupied = error.code === 'export-occupied' && !overwrite;
      if (!occupied && !error.cancelled) this.error = error;
    } finally {
      this.running = false;
      this.#controller = null;
    }
    if (occupied && (await this.#mayReplace(folder))) await this.#write(experiment, folder, true);
  }

  #mayReplace(folder: string): Promise<boolean> {
    return this.#application.confirmation.ask({
      title: 'Replace what is in this folder?',
      body: 'The folder already holds something. A model or an adapter is replaced as a whole; nothing else ever is.',
      items: [folder],
      action: 'Replace',
      danger: true,
    });
  }

  cancel(): void {
    this.#controller?.abort();
  }

  #follow(events: Event[]): void {
    for (const event of events) {
      if (event.type !== 'progress') continue;
      this.what = event.what;
      this.done = event.done;
      this.total = event.total;
      this.secondsLeft = event.seconds_left;
    }
  }
}
