/** What a person types as a number: `2e-4`, `1 000`, `0,5`; null when it is none. */
export function parseNumber(text: string): number | null {
  const plain = text.trim().replace(/[\s\u202f\u00a0_]/g, '').replace(/^\u2212/, '-').replace(/,(?=\d)/, '.');
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return null;
  const value = Number(plain);
  return Number.isFinite(value) ? value : null;
}

/** A number as it stands in a field: short, exact, as one would type it. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential().replace('e-', 'e-').replace('e+', 'e');
  return String(Number(value.toPrecision(12)));
}

/** The same for assistive technology, which knows no exponents; nothing for what has no end. */
export function plainNumber(value: number | null): string | undefined {
  if (value === null || !Number.isFinite(value)) return undefined;
  const text = String(value);
  return text.includes('e') ? value.toFixed(20).replace(/\.?0+$/, '') : text;
}

/** The next value up or down: by `step`, or by a digit of its own magnitude where there is none. */
export function stepped(value: number, direction: 1 | -1, step: number | undefined, minimum: number, maximum: number): number {
  let by = step;
  if (by === undefined) {
    const size = Math.abs(value) || 1;
    const magnitude = Math.floor(Math.log10(size) + 1e-9);
    // Going down from 1e-4 the next digit is 9e-5, not 0.
    const below = direction < 0 && Math.abs(size / 10 ** magnitude - 1) < 1e-9;
    by = 10 ** (below ? magnitude - 1 : magnitude);
  }
  const next = Number((value + direction * by).toPrecision(12));
  return Math.min(maximum, Math.max(minimum, next));
}
