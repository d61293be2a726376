import type { Application } from '../../../app/context.svelte';
import { CommandError } from '../../../backend/backend';
import type { Experiment } from '../../../backend/generated/types';
import { bytes, counted } from '../../../format';
import { isLive } from './list.svelte';

/** What can be done with runs of the list. */
export class RunActions {
  /** The run whose name is being changed. */
  renaming = $state<string | null>(null);
  #application: Application;

  constructor(application: Application) {
    this.#application = application;
  }

  open({ id }: Experiment): void {
    void this.#application.navigation.go({ name: 'experiment', id, tab: 'charts' });
  }

  compare(runs: Experiment[]): void {
    void this.#application.navigation.go({ name: 'compare', ids: runs.slice(0, 8).map(({ id }) => id) });
  }

  async rename(run: Experiment, name: string): Promise<void> {
    this.renaming = null;
    if (name.trim() === '' || name.trim() === run.name) return;
    await this.#try(async () => {
      await this.#application.backend.call('experiments_rename', { experiment: run.id, name: name.trim() });
      await this.#application.activity.refresh();
    });
  }

  continue({ id }: Experiment): Promise<void> {
    return this.#try(() => this.#application.activity.resume(id));
  }

  pause({ id }: Experiment): Promise<void> {
    return this.#try(() => this.#application.activity.pause(id));
  }

  async stop(run: Experiment): Promise<void> {
    const body = run.state === 'queued' ? 'It has not begun, so there is nothing to keep.' : 'What it has learnt is kept, and it cannot be continued afterwards. Pause it to go on later.';
    if (!(await this.#application.confirmation.ask({ title: `Stop ${run.name}?`, body, action: run.state === 'queued' ? 'Take out of the queue' : 'Stop and keep' }))) return;
    await this.#try(() => this.#application.activity.stop(run.id));
  }

  /** Deletes after a question that names what goes; says what it freed. */
  async delete(runs: Experiment[]): Promise<boolean> {
    const gone = runs.filter((run) => !isLive(run));
    const kept = runs.length - gone.length;
    if (gone.length === 0) {
      this.#application.toasts.show(runs.length === 1 ? `${runs[0].name} is still ${runs[0].state}` : 'These are still at work', { detail: 'Stop it first, then delete it.' });
      return false;
    }
    const title = gone.length === 1 ? `Delete ${gone[0].name}?` : `Delete ${counted(gone.length, 'experiment')}?`;
    const body = `Its settings, history, checkpoints and kept evaluations are removed from the disk. Exports and the dataset stay.${kept > 0 ? ` ${counted(kept, 'run')} still at work ${kept === 1 ? 'is' : 'are'} left alone.` : ''}`;
    const items = gone.map((run) => `${run.name}: ${run.step > 0 ? `${counted(run.step, 'step')}, ` : ''}${run.folder}`);
    if (!(await this.#application.confirmation.ask({ title, body: gone.length === 1 ? body : body.replace(/^Its/, 'Their'), items, action: gone.length === 1 ? 'Delete experiment' : `Delete ${counted(gone.length, 'experiment')}`, danger: true }))) return false;
    let freed = 0;
    let removed = 0;
    await this.#try(async () => {
      for (const { id } of gone) {
        freed += (await this.#application.backend.call('experiments_delete', { experiment: id })).freed;
        removed += 1;
      }
    });
    await this.#application.activity.refresh();
    if (removed > 0) this.#application.toasts.show(removed === 1 ? `${gone[0].name} is deleted` : `${counted(removed, 'experiment')} deleted`, { detail: `${bytes(freed)} freed` });
    return removed > 0;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.#application.toasts.error(CommandError.from(thrown));
    }
  }
}
