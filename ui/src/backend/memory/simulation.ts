import type { Experiment, LoggedEvent } from '../generated/types';

/** Numbers that look random and are the same each time. */
export function generator(name: string): () => number {
  let state = [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), 0x811c9dc5);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** How a simulated run goes: where its loss starts and ends, how fast it is, when it evaluates. */
export interface Course {
  steps: number;
  stepsPerEpoch: number;
  samples: number;
  held: number;
  parameters: number;
  trained: number;
  /** Loss before training, and what it falls towards. */
  from: number;
  to: number;
  /** Validation loss turns up again after this share of the run. */
  overfits: number;
  learningRate: number;
  warmup: number;
  schedule: string;
  tokensPerSecond: number;
  secondsPerStep: number;
  peakMemory: number;
  evaluateEvery: number;
  evaluateFirst: boolean;
  checkpointEvery: number;
  patience: number;
  /** The step in which it runs out of memory. */
  failsAt?: number;
}

/** Noise of a step, the same for each run and step, so that a continued run repeats itself. */
function noise(id: string, step: number): number {
  const random = generator(`${id}#${step}`);
  return random() + random() + random() - 1.5;
}

export function trainingLoss(id: string, course: Course, step: number): number {
  const share = step / Math.max(1, course.steps);
  const fall = 0.55 * Math.exp(-share * 40) + 0.45 * Math.exp(-share * 4.2);
  return Math.max(0.002, (course.to + (course.from - course.to) * fall) * (1 + 0.09 * noise(id, step)));
}

export function validationLoss(id: string, course: Course, step: number): number {
  const share = step / Math.max(1, course.steps);
  const fall = 0.55 * Math.exp(-share * 38) + 0.45 * Math.exp(-share * 4);
  const rise = Math.max(0, share - course.overfits) * course.to * 0.35;
  return course.to * 1.035 + (course.from - course.to) * fall + rise + course.to * 0.006 * noise(id, step + 0.5);
}

export function learningRate(course: Course, step: number): number {
  if (step <= course.warmup) return course.learningRate * (step / Math.max(1, course.warmup));
  const share = (step - course.warmup) / Math.max(1, course.steps - course.warmup);
  if (course.schedule === 'Constant') return course.learningRate;
  if (course.schedule === 'Linear') return course.learningRate * (1 - share);
  return course.learningRate * 0.5 * (1 + Math.cos(Math.PI * share));
}

const isDue = (step: number, every: number): boolean => every > 0 && step > 0 && step % every === 0;

/** What a run reports at a step: the step itself, then an evaluation and a checkpoint where they are due. */
export function eventsOfStep(experiment: Experiment, course: Course, step: number, time: number): LoggedEvent[] {
  const { id } = experiment;
  const events: LoggedEvent[] = [];
  const tokens = Math.round(course.tokensPerSecond * course.secondsPerStep);
  if (step > 0) {
    const share = step / course.steps;
    events.push({
      time, event: 'step', step, epoch: step / course.stepsPerEpoch, loss: trainingLoss(id, course, step), learning_rate: learningRate(course, step),
      grad_norm: (0.35 + 1.9 * Math.exp(-share * 18)) * (1 + 0.3 * noise(id, step + 0.25)), trained_tokens: Math.round(tokens * 0.55),
      tokens_per_second: course.tokensPerSecond * (step < 4 ? 0.7 : 1) * (1 + 0.03 * noise(id, step + 0.75)),
      peak_memory: Math.round(course.peakMemory * (0.94 + 0.06 * Math.min(1, step / 40))),
    });
  }
  const last = step === course.steps;
  const evaluates = step === 0 ? course.evaluateFirst : course.evaluateEvery > 0 && (isDue(step, course.evaluateEvery) || last);
  if (evaluates) {
    const loss = validationLoss(id, course, step);
    events.push({ time, event: 'evaluation', step, loss, perplexity: Math.exp(loss), best: loss < (experiment.best_validation_loss ?? Infinity) });
  }
  const best = events.some((event) => event.event === 'evaluation' && event.best);
  if (step > 0 && (isDue(step, course.checkpointEvery) || evaluates || last)) events.push({ time, event: 'checkpoint', step, best });
  return events;
}

/** Writes what an event says into the experiment's row, as the studio does. */
export function apply(experiment: Experiment, event: LoggedEvent): void {
  if (event.event === 'started') experiment.total_steps = event.total_steps;
  if ('step' in event) experiment.step = Math.max(experiment.step, event.step);
  if (event.event === 'step') {
    experiment.epoch = event.epoch;
    experiment.loss = event.loss;
    experiment.tokens_per_second = event.tokens_per_second;
    experiment.peak_memory = Math.max(experiment.peak_memory ?? 0, event.peak_memory);
  }
  if (event.event === 'evaluation') {
    experiment.validation_loss = event.loss;
    if (event.best) {
      experiment.best_validation_loss = event.loss;
      experiment.best_step = event.step;
    }
  }
}

/** The events that still count: a later start supersedes the steps that were lost. */
export function withoutSuperseded(events: LoggedEvent[]): LoggedEvent[] {
  let kept: LoggedEvent[] = [];
  for (const event of events) {
    if (event.event === 'started') kept = kept.filter((earlier) => !('step' in earlier) || (event.resumed_from !== null && earlier.step <= event.resumed_from));
    kept.push(event);
  }
  return kept;
}
