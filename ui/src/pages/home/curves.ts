import type { EventsPage } from '../../backend/generated/types';

/** The training loss of a run as far as it is known. */
export interface Curve {
  points: { step: number; loss: number }[];
  /** The step of the last checkpoint: where a run that ended goes on. */
  checkpoint: number | null;
  /** Where to read on. */
  next: number;
}

export const emptyCurve: Curve = { points: [], checkpoint: null, next: 0 };

/** A curve with the events since. A start takes back the steps that its checkpoint does not hold. */
export function extended(curve: Curve, page: EventsPage): Curve {
  let points = [...curve.points];
  let { checkpoint } = curve;
  for (const event of page.events) {
    if (event.event === 'started') {
      const from = event.resumed_from ?? 0;
      points = points.filter(({ step }) => step <= from);
      checkpoint = event.resumed_from;
    } else if (event.event === 'step') points.push({ step: event.step, loss: event.loss });
    else if (event.event === 'checkpoint') checkpoint = event.step;
  }
  return { points, checkpoint, next: page.next };
}

/** So few values that each has a pixel or two: means of equal stretches. */
export function thinned(values: number[], most: number): number[] {
  if (values.length <= most) return values;
  return Array.from({ length: most }, (_, at) => {
    const stretch = values.slice(Math.floor((at * values.length) / most), Math.floor(((at + 1) * values.length) / most));
    return stretch.reduce((sum, value) => sum + value, 0) / stretch.length;
  });
}
