/** Every place of the window. What stands in the address is all a page needs to open. */
export type Route =
  | { name: 'home' }
  | { name: 'datasets' }
  | { name: 'dataset'; id: string }
  | { name: 'import'; paths: string[] }
  | { name: 'models' }
  | { name: 'model'; id: string }
  | { name: 'experiments' }
  | { name: 'experiment'; id: string; tab: ExperimentTab }
  | { name: 'new'; dataset?: string; model?: string; from?: string }
  | { name: 'compare'; ids: string[] }
  | { name: 'chat'; model?: string; experiment?: string; checkpoint?: string; compare?: string }
  | { name: 'settings'; section: string }
  | { name: 'gallery' };

export const experimentTabs = ['charts', 'samples', 'data', 'predictions', 'chat', 'logs', 'settings', 'export'] as const;
export type ExperimentTab = (typeof experimentTabs)[number];

export type Section = 'home' | 'datasets' | 'models' | 'experiments' | 'chat' | 'settings';

/** The entry of the sidebar a route belongs to. */
export function sectionOf(route: Route): Section | null {
  switch (route.name) {
    case 'dataset':
    case 'import':
      return 'datasets';
    case 'model':
      return 'models';
    case 'experiment':
    case 'new':
    case 'compare':
      return 'experiments';
    case 'gallery':
      return null;
    default:
      return route.name;
  }
}

function query(values: Record<string, string | string[] | undefined>): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== '') parameters.append(key, one);
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** The part of the address after `#`. */
export function format(route: Route): string {
  switch (route.name) {
    case 'dataset':
    case 'model':
      return `/${route.name}/${encodeURIComponent(route.id)}`;
    case 'experiment':
      return `/experiment/${encodeURIComponent(route.id)}/${route.tab}`;
    case 'import':
      return `/import${query({ path: route.paths })}`;
    case 'compare':
      return `/compare${query({ id: route.ids })}`;
    case 'new':
      return `/new${query({ dataset: route.dataset, model: route.model, from: route.from })}`;
    case 'chat':
      return `/chat${query({ model: route.model, experiment: route.experiment, checkpoint: route.checkpoint, compare: route.compare })}`;
    case 'settings':
      return `/settings/${encodeURIComponent(route.section)}`;
    default:
      return `/${route.name}`;
  }
}

/** The route of an address; home for what is no route. */
export function parse(hash: string): Route {
  const [path, search = ''] = hash.replace(/^#?\/?/, '').split('?');
  const [name, ...rest] = path.split('/').map(decode);
  const parameters = new URLSearchParams(search);
  const one = (key: string) => parameters.get(key) ?? undefined;
  switch (name) {
    case 'datasets':
    case 'models':
    case 'experiments':
    case 'gallery':
      return { name };
    case 'dataset':
    case 'model':
      return rest[0] ? { name, id: rest[0] } : { name: `${name}s` as 'datasets' | 'models' };
    case 'experiment':
      return rest[0] ? { name, id: rest[0], tab: experimentTabs.find((tab) => tab === rest[1]) ?? 'charts' } : { name: 'experiments' };
    case 'import':
      return { name, paths: parameters.getAll('path') };
    case 'compare':
      return { name, ids: parameters.getAll('id') };
    case 'new':
      return { name, dataset: one('dataset'), model: one('model'), from: one('from') };
    case 'chat':
      return { name, model: one('model'), experiment: one('experiment'), checkpoint: one('checkpoint'), compare: one('compare') };
    case 'settings':
      return { name, section: rest[0] || 'general' };
    default:
      return { name: 'home' };
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
