import type { Estimate, Model } from '../../../backend/generated/types';
import { bytes, short, timeLeft } from '../../../format';

/** Whether it fits, in words. */
export function verdict({ memory }: Estimate): string {
  return memory.fits ? `Fits, ${inUnitOf(memory.total, memory.usable)} of ${bytes(memory.usable)}` : `Too large by ${bytes(memory.total - memory.usable)}`;
}

/** `9.2` where both are GB, so that the unit is said once; `412 MB` where they differ. */
function inUnitOf(value: number, other: number): string {
  const [number, unit] = bytes(value).split(' ');
  return bytes(other).endsWith(` ${unit}`) ? number : `${number} ${unit}`;
}

/** An estimate is never more exact than it is: `about 12 min`. */
export const aboutTime = (seconds: number): string => timeLeft(seconds).replace(/ left$/, '');

/** What a model is, in a line. */
export function modelFacts({ facts, problem }: Model): string {
  if (problem) return problem.message;
  return facts ? [`${short(facts.parameters)} parameters`, facts.family, facts.dtype, `${short(facts.context)} context`].map((part) => part.replaceAll(' ', '\u00a0')).join(' · ') : '';
}

/** Which methods fit here, in a line. */
export function modelFit(model: Model): { text: string; fits: boolean } {
  const fitting = model.fits.filter(({ fits }) => fits);
  if (model.fits.length === 0) return { text: '', fits: true };
  if (fitting.length === 0) return { text: 'Too large for this machine', fits: false };
  if (fitting.length === model.fits.length) return { text: 'Fits with every method', fits: true };
  return { text: `Fits with ${fitting.map(({ title }) => (title === 'Full fine-tuning' ? 'full' : title)).join(', ')}`, fits: true };
}
