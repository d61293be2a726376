/** A line of a Chart; `values` runs along the chart's `x`, null where there is none. */
export interface ChartSeries {
  label: string;
  values: (number | null)[];
  /** Series colour 1 to 8; the same run keeps its colour everywhere. */
  color: number;
  /** The raw line under a smoothed one; without an entry in the legend. */
  faint?: boolean;
  dashed?: boolean;
  /** Draws a point at each value, for what is measured now and then. */
  points?: boolean;
}

/** Something that happened at a place of the x axis. */
export interface ChartMark {
  x: number;
  label: string;
  kind: 'evaluation' | 'checkpoint' | 'pause' | 'resume' | 'note';
}

export interface ChartDrawing {
  title: string;
  x: number[];
  series: ChartSeries[];
  xLabel: string;
  formatX: (value: number) => string;
  format: (value: number) => string;
  log?: boolean;
}

/** The place of the value nearest to `x` in a rising list; -1 in an empty one. */
export function nearest(x: ArrayLike<number>, wanted: number): number {
  let low = 0;
  let high = x.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && Math.abs(x[low - 1] - wanted) <= Math.abs(x[low] - wanted)) return low - 1;
  return low < x.length ? low : -1;
}

/** Ticks between whole steps have the label of the step before: it is said once. */
export function apart(labels: string[]): string[] {
  return labels.map((label, at) => (at > 0 && label === labels[at - 1] ? '' : label));
}

/** The last value at or before a place, for series that are measured now and then. */
export function valueAt(values: (number | null)[], index: number): number | null {
  for (let at = Math.min(index, values.length - 1); at >= 0; at -= 1) {
    const value = values[at];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

const escape = (text: string) => text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign] ?? sign);

/** Four or five round numbers from `low` to `high`. */
export function ticks(low: number, high: number, about = 5): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / about;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((candidate) => candidate >= rough) ?? rough;
  const list: number[] = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) list.push(Number(tick.toPrecision(12)));
  return list;
}

/** The chart as a picture of its own, with the colours it is given: `text`, `muted`, `line`, `surface` and `series-1` to `series-8`. */
export function chartToSvg(drawing: ChartDrawing, color: (role: string) => string, width = 800, height = 400): string {
  const { title, x, series, xLabel, formatX, format, log = false } = drawing;
  const box = { left: 64, right: 20, top: 64, bottom: 44 };
  const usable = (value: number | null): value is number => value !== null && Number.isFinite(value) && (!log || value > 0);
  const scale = (value: number) => (log ? Math.log10(value) : value);
  const present = series.flatMap((line) => line.values.filter(usable)).map(scale);
  const [low, high] = present.length === 0 ? [0, 1] : [present.reduce((a, b) => Math.min(a, b)), present.reduce((a, b) => Math.max(a, b))];
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  const [bottom, top] = [low - pad, high + pad];
  const [start, end] = [x[0] ?? 0, x.at(-1) ?? 1];
  const across = (value: number) => box.left + ((value - start) / (end - start || 1)) * (width - box.left - box.right);
  const down = (value: number) => box.top + (1 - (value - bottom) / (top - bottom)) * (height - box.top - box.bottom);
  const place = (value: number) => value.toFixed(1);
  const text = (at: [number, number], words: string, role: string, more = '') => `<text x="${place(at[0])}" y="${place(at[1])}" fill="${color(role)}" ${more}>${escape(words)}</text>`;

  const parts = [`<rect width="${width}" height="${height}" fill="${color('surface')}"/>`, text([20, 28], title, 'text', 'font-size="15" font-weight="600"')];
  for (const tick of ticks(bottom, top)) {
    parts.push(`<line x1="${box.left}" x2="${width - box.right}" y1="${place(down(tick))}" y2="${place(down(tick))}" stroke="${color('line')}"/>`);
    parts.push(text([box.left - 8, down(tick) + 4], format(log ? 10 ** tick : tick), 'muted', 'text-anchor="end"'));
  }
  const below = ticks(start, end, 7);
  apart(below.map(formatX)).forEach((label, at) => parts.push(text([across(below[at]), height - box.bottom + 18], label, 'muted', 'text-anchor="middle"')));
  parts.push(text([width - box.right, height - 8], xLabel, 'muted', 'text-anchor="end"'));
  let legend = 20;
  for (const line of series) {
    let pen = 'M';
    const path = line.values.map((value, at) => (usable(value) ? `${at > 0 && pen === 'L' ? 'L' : ((pen = 'L'), 'M')}${place(across(x[at]))} ${place(down(scale(value)))}` : '')).join('');
    const stroke = color(`series-${line.color}`);
    parts.push(`<path d="${path}" fill="none" stroke="${stroke}" stroke-width="${line.faint ? 1 : 2}" stroke-linejoin="round"${line.faint ? ' opacity="0.35"' : ''}${line.dashed ? ' stroke-dasharray="6 4"' : ''}/>`);
    if (line.faint) continue;
    parts.push(`<rect x="${legend}" y="42" width="12" height="3" rx="1.5" fill="${stroke}"/>`, text([legend + 18, 48], line.label, 'muted'));
    legend += 34 + line.label.length * 7;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, system-ui, sans-serif" font-size="12"><title>${escape(title)}</title>${parts.join('')}</svg>`;
}
