import type { LoggedEvent, TrainEvent } from '../../backend/generated/types';

type Started = Extract<TrainEvent, { event: 'started' }>;

/** Where something happened. Time is training time, so that two runs compare however often they were paused. */
interface Place {
  step: number;
  /** Seconds of training: pauses, and steps that were lost and taken again, do not count. */
  active: number;
}

export interface RunEvaluation extends Place {
  loss: number;
  perplexity: number;
  best: boolean;
}

export interface RunMark extends Place {
  kind: 'evaluation' | 'checkpoint' | 'pause' | 'resume' | 'note';
  label: string;
}

/** One entry per step in each list. */
export interface RunSeries {
  step: number[];
  epoch: number[];
  active: number[];
  loss: number[];
  learningRate: number[];
  gradientNorm: number[];
  trainedTokens: number[];
  tokensPerSecond: number[];
  memory: number[];
  evaluations: RunEvaluation[];
  marks: RunMark[];
  /** What the newest process said when it started. */
  started: Started | null;
  /** Whether the run has gone on after a pause or a loss of its process. */
  resumed: boolean;
}

const columns = ['step', 'epoch', 'active', 'loss', 'learningRate', 'gradientNorm', 'trainedTokens', 'tokensPerSecond', 'memory'] as const;

export const emptySeries: RunSeries = {
  step: [], epoch: [], active: [], loss: [], learningRate: [], gradientNorm: [], trainedTokens: [], tokensPerSecond: [], memory: [],
  evaluations: [], marks: [], started: null, resumed: false,
};

/** The events of a run, put together: appended as they come, and taken back where a later start supersedes them. */
export class RunRecord {
  #series: RunSeries = structuredClone(emptySeries);
  /** The moment up to which training time is counted; null while nothing trains. */
  #since: number | null = null;
  #active = 0;

  append(events: LoggedEvent[]): void {
    for (const event of events) this.#take(event);
  }

  /** A copy that later events leave as it is. */
  snapshot(): RunSeries {
    const copy = { ...this.#series, evaluations: this.#series.evaluations.slice(), marks: this.#series.marks.slice() };
    for (const column of columns) copy[column] = this.#series[column].slice();
    return copy;
  }

  #take(logged: LoggedEvent): void {
    if (this.#since !== null && logged.event !== 'started' && logged.event !== 'resumed') this.#active += Math.max(0, logged.time - this.#since);
    this.#since = logged.time;
    const series = this.#series;
    if (logged.event === 'started') {
      this.#supersede(logged.resumed_from);
      series.started = logged;
      if (logged.resumed_from !== null) this.#mark('resume', logged.resumed_from, `continued from step ${logged.resumed_from}`);
      return;
    }
    const { step } = logged;
    switch (logged.event) {
      case 'step':
        series.step.push(step);
        series.epoch.push(logged.epoch);
        series.active.push(this.#active);
        series.loss.push(logged.loss);
        series.learningRate.push(logged.learning_rate);
        series.gradientNorm.push(logged.grad_norm);
        series.trainedTokens.push(logged.trained_tokens);
        series.tokensPerSecond.push(logged.tokens_per_second);
        series.memory.push(logged.peak_memory);
        break;
      case 'evaluation':
        series.evaluations.push({ step, active: this.#active, loss: logged.loss, perplexity: logged.perplexity, best: logged.best });
        this.#mark('evaluation', step, `evaluated at ${step}`);
        break;
      case 'checkpoint':
        this.#mark('checkpoint', step, logged.best ? `best checkpoint, ${step}` : `checkpoint at ${step}`);
        break;
      case 'paused':
        this.#mark('pause', step, `paused at ${step}`);
        break;
      case 'stopped':
        this.#mark('note', step, `stopped at ${step}`);
        break;
      case 'resumed':
      case 'finished':
        break;
    }
  }

  #mark(kind: RunMark['kind'], step: number, label: string): void {
    const { marks } = this.#series;
    if (kind === 'resume') this.#series.resumed = true;
    marks.push({ kind, step, active: this.#active, label });
  }

  /** Takes back every event of a step after `from`, or of every step. */
  #supersede(from: number | null): void {
    const series = this.#series;
    const kept = (place: Place) => from !== null && place.step <= from;
    let length = from === null ? 0 : series.step.length;
    while (length > 0 && series.step[length - 1] > (from ?? 0)) length -= 1;
    for (const column of columns) series[column].length = length;
    series.evaluations = series.evaluations.filter(kept);
    series.marks = series.marks.filter(kept);
    this.#active = Math.max(0, series.active.at(-1) ?? 0, series.marks.at(-1)?.active ?? 0);
    if (from === null) {
      this.#active = 0;
      series.resumed = false;
    }
  }
}
