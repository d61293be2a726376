import { pick, places } from '../../../features/experiments/decimate';
import type { RunSeries } from '../../../features/experiments/run-record';
import { smooth } from '../../../features/experiments/smoothing';

export type Axis = 'step' | 'time';

export interface Curve {
  x: number[];
  y: number[];
}

export interface Metric {
  key: string;
  title: string;
  /** Whether its noise is worth smoothing. */
  noisy: boolean;
  /** Measured now and then, not at each step. */
  sparse?: boolean;
  curve: (series: RunSeries, axis: Axis) => Curve;
}

const column = (key: 'loss' | 'learningRate' | 'gradientNorm' | 'tokensPerSecond') => (series: RunSeries, axis: Axis): Curve => ({ x: axis === 'step' ? series.step : series.active, y: series[key] });

export const metrics: Metric[] = [
  { key: 'loss', title: 'Training loss', noisy: true, curve: column('loss') },
  { key: 'validation', title: 'Validation loss', noisy: false, sparse: true, curve: ({ evaluations }, axis) => ({ x: evaluations.map(({ step, active }) => (axis === 'step' ? step : active)), y: evaluations.map(({ loss }) => loss) }) },
  { key: 'rate', title: 'Learning rate', noisy: false, curve: column('learningRate') },
  { key: 'norm', title: 'Gradient norm', noisy: true, curve: column('gradientNorm') },
  { key: 'speed', title: 'Tokens per second', noisy: true, curve: column('tokensPerSecond') },
];

export interface Overlay {
  x: number[];
  /** For each curve its values along `x`: as measured, and smoothed. */
  raw: (number | null)[][];
  smoothed: (number | null)[][];
}

/** Curves with places of their own on one common axis. Long ones are thinned, without losing their spikes. */
export function overlay(curves: Curve[], smoothing: number, limit = 2_400): Overlay {
  const each = Math.max(300, Math.floor(limit / Math.max(1, curves.length)));
  const thin = curves.map(({ x, y }) => {
    const at = places(y, each);
    return { x: pick(x, at), raw: pick(y, at), smoothed: pick(smooth(y, smoothing), at) };
  });
  const x = [...new Set(thin.flatMap((curve) => curve.x))].sort((one, other) => one - other);
  const place = new Map(x.map((value, index) => [value, index]));
  const spread = (xs: number[], values: (number | null)[]) => {
    const row = new Array<number | null>(x.length).fill(null);
    xs.forEach((value, index) => (row[place.get(value) as number] = values[index]));
    return row;
  };
  return { x, raw: thin.map((curve) => spread(curve.x, curve.raw)), smoothed: thin.map((curve) => spread(curve.x, curve.smoothed)) };
}
