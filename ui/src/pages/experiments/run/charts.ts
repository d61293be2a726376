import { pick, places } from '../../../features/experiments/decimate';
import type { RunSeries } from '../../../features/experiments/run-record';
import { smooth } from '../../../features/experiments/smoothing';
import { bytes, count, duration, loss, scientific } from '../../../format';
import { nearest, type ChartMark, type ChartSeries } from '../../../primitives/chart';
import type { ChartAxis } from './chart-view.svelte';

export interface RunChart {
  key: 'loss' | 'rate' | 'gradient' | 'speed' | 'memory';
  title: string;
  x: number[];
  series: ChartSeries[];
  format: (value: number) => string;
  /** Whether a logarithmic scale says more of it. */
  log: boolean;
}

export interface Choices {
  smoothing: number;
  axis: ChartAxis;
  /** Points of a line, at most; without it all are drawn. */
  limit?: number;
}

/** The charts of a run, in the order they stand. */
export function chartsOf(run: RunSeries, choices: Choices): RunChart[] {
  const charts = [
    lossChart(run, choices),
    lineChart(run, choices, { key: 'rate', title: 'Learning rate', label: 'learning rate', values: run.learningRate, format: scientific, log: false, smoothed: false }),
    lineChart(run, choices, { key: 'gradient', title: 'Gradient norm', label: 'norm', values: run.gradientNorm, format: loss, log: true, smoothed: true }),
    lineChart(run, choices, { key: 'speed', title: 'Tokens per second', label: 'all tokens', values: run.tokensPerSecond, format: count, log: false, smoothed: true }),
    lineChart(run, choices, { key: 'memory', title: 'Peak memory', label: 'process', values: run.memory, format: bytes, log: false, smoothed: false }),
  ];
  return run.evaluations.some(({ step }) => step === 0) ? charts.map(fromZero) : charts;
}

/** Where the loss begins before the first step, all charts do: they share one cursor and one scale. */
function fromZero(chart: RunChart): RunChart {
  if (chart.x[0] === 0) return chart;
  return { ...chart, x: [0, ...chart.x], series: chart.series.map((line) => ({ ...line, values: [null, ...line.values] })) };
}

interface Line {
  key: RunChart['key'];
  title: string;
  label: string;
  values: number[];
  format: (value: number) => string;
  log: boolean;
  smoothed: boolean;
}

function lineChart(run: RunSeries, { smoothing, axis, limit = Infinity }: Choices, line: Line): RunChart {
  const at = places(line.values, limit);
  const x = pick(along(run, axis), at);
  const { key, title, format, log } = line;
  return { key, title, x, series: withSmoothed(line.label, line.values, at, line.smoothed ? smoothing : 0), format, log };
}

/** Training loss under its trend, and the validation loss where it was measured. */
function lossChart(run: RunSeries, { smoothing, axis, limit = Infinity }: Choices): RunChart {
  const at = withEvaluations(run, places(run.loss, limit));
  const x = pick(along(run, axis), at).slice();
  const series = withSmoothed('training', run.loss, at, smoothing).map((line) => ({ ...line, values: line.values.slice() }));
  const before = run.evaluations.filter(({ step }) => step === 0);
  if (before.length > 0) {
    x.unshift(0);
    for (const line of series) line.values.unshift(null);
  }
  const validation = new Array<number | null>(x.length).fill(null);
  const steps = pick(run.step, at);
  const shift = before.length > 0 ? 1 : 0;
  for (const evaluation of run.evaluations) {
    const place = evaluation.step === 0 ? 0 : nearest(steps, evaluation.step) + shift;
    if (place >= 0) validation[place] = evaluation.loss;
  }
  if (run.evaluations.length > 0) series.push({ label: 'validation', values: validation, color: 2, points: run.evaluations.length <= 60 });
  return { key: 'loss', title: 'Training and validation loss', x, series, format: loss, log: true };
}

function withSmoothed(label: string, values: number[], at: number[] | null, weight: number): ChartSeries[] {
  const raw: ChartSeries = { label: weight > 0 ? `${label}, raw` : label, values: pick<number | null>(values, at), color: 1, faint: weight > 0 };
  if (weight <= 0) return [raw];
  return [raw, { label, values: pick(smooth(values, weight), at), color: 1 }];
}

function withEvaluations(run: RunSeries, at: number[] | null): number[] | null {
  if (at === null) return null;
  const measured = run.evaluations.filter(({ step }) => step > 0).map(({ step }) => nearest(run.step, step));
  return [...new Set([...at, ...measured])].sort((one, other) => one - other);
}

const along = (run: RunSeries, axis: ChartAxis): number[] => (axis === 'step' ? run.step : run.active);

/** Checkpoints that stand at an evaluation are said with it, so that no mark hides another. */
export function marksOf(run: RunSeries, axis: ChartAxis): ChartMark[] {
  const evaluated = new Set(run.evaluations.map(({ step }) => step));
  const saved = new Set(run.marks.filter(({ kind }) => kind === 'checkpoint').map(({ step }) => step));
  return run.marks
    .filter(({ kind, step }) => kind !== 'checkpoint' || !evaluated.has(step))
    .map(({ kind, step, active, label }) => ({
      x: axis === 'step' ? step : active,
      kind,
      label: kind === 'evaluation' && saved.has(step) ? `${label}, saved` : label,
    }));
}

export const axisFormat = (axis: ChartAxis) => (axis === 'step' ? count : (seconds: number) => (seconds === 0 ? '0' : duration(seconds)));
export const axisTitle = (axis: ChartAxis) => (axis === 'step' ? 'step' : 'trained for');
