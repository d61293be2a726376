import type { Dataset } from '../../../backend/generated/types';

const plain = (name: string) => name.toLowerCase().replace(/[\s,]*(held out)$/, '').trim();

/** Whether one name begins the other, at the end of a word. */
function related(a: string, b: string): boolean {
  const [short, long] = [plain(a), plain(b)].sort((one, other) => one.length - other.length);
  return short.length >= 3 && long.startsWith(short) && !/^[\p{L}\p{N}]/u.test(long.slice(short.length));
}

export interface Version {
  dataset: Dataset;
  /** Conversations more or less than in the one it is compared with. */
  difference: number;
  /** Whether both were imported from the same bytes. */
  sameFile: boolean;
  current: boolean;
}

/** The datasets of the same file or name, newest first, each compared with `current`. */
export function versionsOf(current: Dataset, all: readonly Dataset[]): Version[] {
  return all
    .filter((dataset) => dataset.id === current.id || dataset.file === current.file || related(dataset.name, current.name))
    .sort((a, b) => b.created_at - a.created_at)
    .map((dataset) => ({ dataset, difference: dataset.conversations - current.conversations, sameFile: dataset.sha256 === current.sha256, current: dataset.id === current.id }));
}
