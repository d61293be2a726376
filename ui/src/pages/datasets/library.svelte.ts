import type { Activity } from '../../app/activity.svelte';
import type { Confirmation } from '../../app/confirmation.svelte';
import type { Toasts } from '../../app/toasts.svelte';
import type { Backend } from '../../backend/backend';
import type { Dataset, Experiment } from '../../backend/generated/types';
import { bytes, counted } from '../../format';
import type { TableSort } from '../../primitives';
import { shapeName } from './words';

/** The experiments that train on a dataset, newest first. */
export function usersOf(dataset: Dataset, experiments: readonly Experiment[] | undefined): Experiment[] {
  return (experiments ?? []).filter((experiment) => experiment.dataset === dataset.id);
}

const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

/** The datasets with these words in them, in this order. */
export function listed(datasets: readonly Dataset[], search: string, sort: TableSort, uses: (dataset: Dataset) => number): Dataset[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = datasets.filter((dataset) => {
    const text = `${dataset.name} ${dataset.id} ${dataset.file} ${shapeName(dataset.shape)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const compare: Record<string, (a: Dataset, b: Dataset) => number> = {
    name: (a, b) => byName.compare(a.name, b.name),
    conversations: (a, b) => a.conversations - b.conversations,
    shape: (a, b) => byName.compare(shapeName(a.shape), shapeName(b.shape)),
    file: (a, b) => byName.compare(a.file, b.file),
    bytes: (a, b) => a.bytes - b.bytes,
    created: (a, b) => a.created_at - b.created_at,
    uses: (a, b) => uses(a) - uses(b),
  };
  const direction = sort.direction === 'ascending' ? 1 : -1;
  return found.sort((a, b) => direction * (compare[sort.key] ?? compare.created)(a, b));
}

interface Removal {
  backend: Backend;
  activity: Activity;
  confirmation: Confirmation;
  toasts: Toasts;
}

/** Removes a dataset after it was said what depends on it; whether it is gone. */
export async function removeDataset(dataset: Dataset, { backend, activity, confirmation, toasts }: Removal): Promise<boolean> {
  const users = usersOf(dataset, activity.experiments);
  const sure = await confirmation.ask({
    title: `Remove ${dataset.name}?`,
    body: users.length === 0 ? `Its ${counted(dataset.conversations, 'conversation')} and the copy of ${dataset.file} are deleted. The file you imported stays where it is.` : 'What these experiments made stays, but they cannot be continued or evaluated on it again:',
    items: users.map((experiment) => experiment.name),
    action: 'Remove dataset',
    danger: true,
  });
  if (!sure) return false;
  try {
    const { freed } = await backend.call('data_remove', { dataset: dataset.id });
    toasts.show(`Removed ${dataset.name}`, { detail: `${bytes(freed)} freed.` });
    return true;
  } catch (thrown) {
    toasts.error(thrown);
    return false;
  }
}
