const key = 'attune.run-colors';
const colors = [1, 2, 3, 4, 5, 6, 7, 8];

function read(): Record<string, number> {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}') as Record<string, number>;
  } catch {
    return {};
  }
}

/**
 * The series colours of runs, 1 to 8. A run keeps the colour it was first given, on every page and
 * after a restart; only where two runs that stand together share one does the later get another.
 */
export function colorsOf(ids: string[]): Record<string, number> {
  const known = read();
  const taken = new Set<number>();
  const result: Record<string, number> = {};
  // Those that have a colour come before those that still need one.
  for (const id of ids) {
    if (known[id] === undefined || taken.has(known[id])) continue;
    taken.add((result[id] = known[id]));
  }
  const used = colors.map((color) => Object.values(known).filter((one) => one === color).length);
  const rarest = [...colors].sort((one, other) => used[one - 1] - used[other - 1] || one - other);
  for (const id of ids) {
    if (result[id] !== undefined) continue;
    const color = rarest.find((one) => !taken.has(one)) ?? rarest[0];
    taken.add((result[id] = known[id] = color));
  }
  try {
    localStorage.setItem(key, JSON.stringify(known));
  } catch {
    // Without storage colours last until the window closes.
  }
  return result;
}
