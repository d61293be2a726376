/**
 * Places to draw of a long line, at most about `limit`: of each stretch its lowest and its highest
 * value, so that no spike disappears, and both ends. Null when all can be drawn.
 */
export function places(values: number[], limit: number): number[] | null {
  const { length } = values;
  if (length <= limit) return null;
  const stretches = Math.max(1, Math.floor(limit / 2));
  const chosen: number[] = [0];
  for (let stretch = 0; stretch < stretches; stretch += 1) {
    const from = Math.floor((stretch * length) / stretches);
    const to = Math.floor(((stretch + 1) * length) / stretches);
    let low = from;
    let high = from;
    for (let at = from + 1; at < to; at += 1) {
      if (values[at] < values[low]) low = at;
      if (values[at] > values[high]) high = at;
    }
    for (const at of low < high ? [low, high] : [high, low]) if (at > chosen[chosen.length - 1]) chosen.push(at);
  }
  if (chosen[chosen.length - 1] !== length - 1) chosen.push(length - 1);
  return chosen;
}

/** The values at those places; the list itself where all can be drawn. */
export function pick<T>(values: T[], at: number[] | null): T[] {
  return at === null ? values : at.map((place) => values[place]);
}
