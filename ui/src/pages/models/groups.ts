import { rank } from '../../app/fuzzy';
import type { Model, ModelOrigin } from '../../backend/generated/types';
import type { TableSort } from '../../primitives';

export interface ModelGroup {
  origin: ModelOrigin;
  title: string;
  models: Model[];
}

const titles: [ModelOrigin, string][] = [
  ['bundled', 'Bundled'],
  ['added', 'Added'],
  ['cache', 'Hugging Face cache'],
];

export const originTitle = (origin: ModelOrigin) => titles.find(([one]) => one === origin)?.[1] ?? 'Folder';

const values: Record<string, (model: Model) => string | number> = {
  name: (model) => model.name.toLowerCase(),
  family: (model) => model.facts?.family ?? '',
  parameters: (model) => model.facts?.parameters ?? -1,
  bytes: (model) => model.facts?.bytes ?? -1,
  context: (model) => model.facts?.context ?? -1,
};

/** By where they come from; those that match, in the order asked for. Unusable ones come last. */
export function grouped(models: Model[], query: string, sort: TableSort | null): ModelGroup[] {
  const found = rank(query, models, (model) => [model.name, model.facts?.family, model.facts?.licence, model.facts?.dtype].filter(Boolean).join(' '));
  return titles.map(([origin, title]) => ({ origin, title, models: sorted(found.filter((model) => model.origin === origin), sort) }));
}

function sorted(models: Model[], sort: TableSort | null): Model[] {
  if (!sort) return [...models].sort((one, other) => Number(one.problem !== null) - Number(other.problem !== null));
  const value = values[sort.key];
  const direction = sort.direction === 'ascending' ? 1 : -1;
  return [...models].sort((one, other) => direction * (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0));
}
