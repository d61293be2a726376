/**
 * How well a text answers a query whose letters must all occur in order: higher is better, null is
 * no match. Word starts and runs count more, so `ne` prefers "New experiment" to "Open".
 */
export function score(query: string, text: string): number | null {
  const wanted = query.toLowerCase().replace(/\s+/g, '');
  const letters = text.toLowerCase();
  if (wanted === '') return 0;
  // best[i][j] would be the full table; only the row before is ever needed.
  let before: (number | null)[] = Array.from({ length: letters.length + 1 }, () => 0);
  for (let at = 0; at < wanted.length; at += 1) {
    const row: (number | null)[] = [null];
    for (let index = 1; index <= letters.length; index += 1) {
      let best: number | null = null;
      if (letters[index - 1] === wanted[at]) {
        const start = index === 1 || /[\s\-_/.,]/.test(letters[index - 2]);
        const runs = at > 0 && index > 1 && letters[index - 2] === wanted[at - 1];
        const from = before[index - 1];
        if (from !== null) best = from + 1 + (start ? 4 : 0) + (runs ? 3 : 0);
      }
      const skipped = row[index - 1];
      if (skipped !== null && (best === null || skipped > best)) best = skipped;
      row.push(best);
    }
    before = row;
  }
  const total = before[letters.length];
  return total === null ? null : total - letters.length / 100;
}

/** Those that match, best first; all in their order without a query. */
export function rank<T>(query: string, items: T[], text: (item: T) => string): T[] {
  if (query.trim() === '') return items;
  return items
    .map((item) => ({ item, score: score(query, text(item)) }))
    .filter((found): found is { item: T; score: number } => found.score !== null)
    .sort((one, other) => other.score - one.score)
    .map(({ item }) => item);
}
