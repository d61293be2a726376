import { untrack } from 'svelte';
import { useActivity, useBackend } from '../../app/context.svelte';
import type { CommandError } from '../../backend/backend';
import { useResource } from '../../app/resource.svelte';
import type { Model } from '../../backend/generated/types';
import type { Choice } from '../../primitives';

/** What was chosen last, as long as the window is open. */
let remembered: string | null = null;

export interface PreviewModels {
  /** Whether it is decided which model is used; it may be none. */
  readonly ready: boolean;
  readonly model: Model | null;
  readonly choices: Choice[];
  readonly error: CommandError | null;
  choose(id: string): void;
}

/** The model whose template and tokenizer conversations are seen under: the chosen one, the one tuned last, the bundled one. */
export function usePreviewModels(): PreviewModels {
  const backend = useBackend();
  const activity = useActivity();
  const list = useResource((signal) => backend.call('models_list', {}, { signal }));
  let chosen = $state<string | null>(remembered);
  let tuned = $state<string | null | undefined>(undefined);

  // A run that starts later must not change what somebody is looking at.
  $effect(() => {
    const { experiments, error } = activity;
    if (untrack(() => tuned) === undefined && (experiments !== undefined || error !== null)) tuned = experiments?.[0]?.model ?? null;
  });

  const usable = $derived((list.value ?? []).filter((model) => model.problem === null));
  const known = (id: string | null | undefined) => (id ? usable.find((model) => model.id === id) : undefined);
  const model = $derived(known(chosen) ?? known(tuned) ?? usable.find((one) => one.origin === 'bundled') ?? usable.at(0) ?? null);

  return {
    get ready() {
      return tuned !== undefined && (list.value !== undefined || list.error !== null);
    },
    get model() {
      return model;
    },
    get choices() {
      return usable.map(({ id, name, origin }) => ({ value: id, title: name, detail: origin === 'bundled' ? 'bundled' : id === tuned ? 'tuned last' : undefined }));
    },
    get error() {
      return list.error;
    },
    choose(id) {
      remembered = chosen = id;
    },
  };
}
