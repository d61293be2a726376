import type { RunSeries } from './run-record';

type Cell = string | number | boolean | null | undefined;

/** RFC 4180: quotes what needs quotes, a line per row, the header first. */
export function csv(header: string[], rows: Cell[][]): string {
  return [header, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

function cell(value: Cell): string {
  if (value === null || value === undefined) return '';
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Everything measured of a run, one line per step; the validation loss stands at the step it was measured after. */
export function seriesCsv(series: RunSeries): string {
  const header = ['step', 'epoch', 'training_seconds', 'training_loss', 'validation_loss', 'learning_rate', 'gradient_norm', 'trained_tokens', 'tokens_per_second', 'memory_bytes'];
  const validation = new Map(series.evaluations.map(({ step, loss }) => [step, loss]));
  const rows: Cell[][] = series.step.map((step, at) => [
    step, series.epoch[at], series.active[at], series.loss[at], validation.get(step), series.learningRate[at],
    series.gradientNorm[at], series.trainedTokens[at], series.tokensPerSecond[at], series.memory[at],
  ]);
  const before = series.evaluations.find(({ step }) => step === 0);
  if (before) rows.unshift([0, 0, before.active, null, before.loss, null, null, null, null, null]);
  return csv(header, rows);
}
