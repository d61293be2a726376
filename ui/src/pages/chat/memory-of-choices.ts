import type { Answerer } from './answerer';
import { greedy, type Sampling } from './sampling';

const samplingKey = (of: string) => `attune.chat.sampling.${of}`;
const lastKey = 'attune.chat.last';

/** Storage may be full or forbidden; forgetting a choice is no failure to speak of. */
function write(key: string, value: unknown): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    return;
  }
}

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null');
  } catch {
    return null;
  }
}

/** Sampling that was set for these weights before; null where it never was. */
export function rememberedSampling(of: string): Sampling | null {
  const found = read(samplingKey(of));
  return typeof found === 'object' && found !== null ? { ...greedy, ...found } : null;
}

export function rememberSampling(of: string, sampling: Sampling | null): void {
  write(samplingKey(of), sampling);
}

/** Who answered last. */
export function rememberedAnswerers(): Answerer[] {
  const found = read(lastKey);
  return Array.isArray(found) ? (found as Answerer[]).filter((one) => typeof one?.kind === 'string').slice(0, 2) : [];
}

export function rememberAnswerers(answerers: Answerer[]): void {
  write(lastKey, answerers);
}
