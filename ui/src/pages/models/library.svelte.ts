import type { Confirmation } from '../../app/confirmation.svelte';
import { Resource } from '../../app/resource.svelte';
import type { Toasts } from '../../app/toasts.svelte';
import { CommandError, type Backend } from '../../backend/backend';
import type { Model } from '../../backend/generated/types';
import { bytes, counted, fileName } from '../../format';

interface Parts {
  backend: Backend;
  toasts: Toasts;
  confirmation: Confirmation;
}

/** The models of this machine, and what can be done with them. */
export class ModelLibrary {
  readonly models: Resource<Model[]>;
  /** Where the Hugging Face cache lies. */
  readonly cache: Resource<string>;
  /** A folder that was refused, with the reason. */
  refusal = $state.raw<{ folder: string; error: CommandError } | null>(null);
  adding = $state(false);
  installing = $state(false);
  #backend: Backend;
  #toasts: Toasts;
  #confirmation: Confirmation;

  constructor({ backend, toasts, confirmation }: Parts) {
    this.#backend = backend;
    this.#toasts = toasts;
    this.#confirmation = confirmation;
    this.models = new Resource((signal) => backend.call('models_list', {}, { signal }));
    this.cache = new Resource(async (signal) => (await backend.call('doctor', {}, { signal })).model_cache);
  }

  async choose(): Promise<Model[]> {
    const folder = await this.#backend.chooseFolder({ title: 'Choose a model folder' });
    return folder === null ? [] : this.add([folder]);
  }

  /** Adds folders one after the other; the first refusal stays on the page. */
  async add(folders: string[]): Promise<Model[]> {
    this.adding = true;
    this.refusal = null;
    const added: Model[] = [];
    const before = new Set(this.models.value?.map(({ id }) => id));
    for (const folder of folders) {
      try {
        added.push(await this.#backend.call('models_add', { path: folder }));
      } catch (thrown) {
        this.refusal ??= { folder, error: CommandError.from(thrown) };
      }
    }
    this.adding = false;
    await this.models.reload();
    const [first] = added;
    if (first && before.has(first.id)) this.#toasts.show(`${first.name} is already in the library`);
    else if (first) this.#toasts.show(added.length === 1 ? `Added ${first.name}` : `Added ${counted(added.length, 'model')}`, { tone: 'positive', detail: 'It stays where it is.' });
    return added;
  }

  refuse(folder: string, error: CommandError): void {
    this.refusal = { folder, error };
  }

  async install(): Promise<void> {
    this.installing = true;
    try {
      await this.#backend.call('starter', {});
      await this.models.reload();
    } catch (thrown) {
      this.#toasts.error(thrown);
    }
    this.installing = false;
  }

  async reveal(model: Model): Promise<void> {
    try {
      await this.#backend.reveal(model.folder);
    } catch (thrown) {
      this.#toasts.error(thrown);
    }
  }

  /** Removes it, after asking where something depends on it; false where it stays. */
  async remove(model: Model): Promise<boolean> {
    if (model.origin === 'cache' || model.origin === 'folder') {
      this.#toasts.show('Attune does not remove what others downloaded', { detail: `${whyKept} Reveal shows its folder.`, action: { title: 'Reveal', run: () => this.reveal(model) } });
      return false;
    }
    try {
      const dependents = (await this.#backend.call('experiments_list', {})).filter((one) => one.model === model.id);
      if (dependents.length > 0 && !(await this.#confirm(model, dependents.map(({ name }) => name)))) return false;
      const { freed } = await this.#backend.call('models_remove', { model: model.id });
      await this.models.reload();
      this.#toasts.undo(freed > 0 ? `Removed ${model.name}, ${bytes(freed)} freed` : `Removed ${model.name}; its folder stays`, () => this.#restore(model));
      return true;
    } catch (thrown) {
      this.#toasts.error(thrown);
      return false;
    }
  }

  #confirm(model: Model, dependents: string[]): Promise<boolean> {
    const them = dependents.length === 1 ? 'This experiment was tuned from it and needs it' : `These ${dependents.length} experiments were tuned from it and need it`;
    return this.#confirmation.ask({
      title: `Remove ${model.name}?`,
      body: `${them} to be continued, chatted with, evaluated or exported. They stay, and work again once the model is back. ${model.origin === 'bundled' ? 'Its files are deleted; Attune can install them again.' : 'Its folder is not deleted.'}`,
      items: dependents,
      action: 'Remove model',
      danger: true,
    });
  }

  async #restore(model: Model): Promise<void> {
    try {
      if (model.origin === 'bundled') await this.#backend.call('starter', {});
      else await this.#backend.call('models_add', { path: model.folder, name: model.name });
      await this.models.reload();
    } catch (thrown) {
      this.#toasts.error(thrown);
    }
  }
}

export const whyKept = 'It lies in the Hugging Face cache, which other programs may use too: remove it with the tool that downloaded it.';

/** The short name of a folder, for a sentence. */
export const folderName = (path: string) => fileName(path) || path;
