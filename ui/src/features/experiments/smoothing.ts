/**
 * An exponential moving average without the pull towards zero at its start, as TensorBoard and
 * Weights & Biases draw it: 0 leaves the values as they are, 0.99 follows only the trend.
 */
export function smooth(values: (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return values;
  const result = new Array<number | null>(values.length);
  let average = 0;
  let share = 1;
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at];
    if (value === null || !Number.isFinite(value)) {
      result[at] = null;
      continue;
    }
    average = average * weight + value * (1 - weight);
    share *= weight;
    result[at] = average / (1 - share);
  }
  return result;
}
