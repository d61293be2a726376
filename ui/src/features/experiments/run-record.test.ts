import { describe, expect, it } from 'vitest';
import type { LoggedEvent } from '../../backend/generated/types';
import { RunRecord } from './run-record';

const started = (time: number, resumed_from: number | null): LoggedEvent => ({ time, event: 'started', resumed_from, total_steps: 10, steps_per_epoch: 5, train_samples: 9, validation_samples: 1, trainable_parameters: 1, total_parameters: 2 });
const step = (time: number, step: number, loss: number): LoggedEvent => ({ time, event: 'step', step, epoch: step / 5, loss, learning_rate: 1, grad_norm: 1, trained_tokens: 1, tokens_per_second: 1, peak_memory: 1 });
const evaluation = (time: number, step: number, loss: number): LoggedEvent => ({ time, event: 'evaluation', step, loss, perplexity: Math.exp(loss), best: true });
const checkpoint = (time: number, step: number): LoggedEvent => ({ time, event: 'checkpoint', step, best: false });

describe('the record of a run', () => {
  it('drops the steps, evaluations and marks that a continued run takes again', () => {
    const record = new RunRecord();
    record.append([started(0, null), evaluation(0, 0, 4), step(1, 1, 3), step(2, 2, 2.5), checkpoint(2, 2), evaluation(2, 2, 2.4), step(3, 3, 2), evaluation(3, 3, 1.9)]);
    record.append([started(100, 2), step(101, 3, 2.1)]);
    const series = record.snapshot();
    expect(series.step).toEqual([1, 2, 3]);
    expect(series.loss).toEqual([3, 2.5, 2.1]);
    expect(series.evaluations.map(({ step }) => step)).toEqual([0, 2]);
    expect(series.marks.map(({ kind, step }) => `${kind} ${step}`)).toEqual(['evaluation 0', 'checkpoint 2', 'evaluation 2', 'resume 2']);
    expect(series.resumed).toBe(true);
  });

  it('begins anew where a process ended before its first checkpoint', () => {
    const record = new RunRecord();
    record.append([started(0, null), evaluation(0, 0, 4), step(1, 1, 3), started(50, null), evaluation(50, 0, 4), step(51, 1, 3.1)]);
    const series = record.snapshot();
    expect(series.loss).toEqual([3.1]);
    expect(series.evaluations).toHaveLength(1);
    expect(series.active).toEqual([1]);
    expect(series.resumed).toBe(false);
  });

  it('counts training time without pauses and without steps that were lost', () => {
    const record = new RunRecord();
    record.append([started(0, null), step(1, 1, 3), checkpoint(1, 1), step(2, 2, 3), { time: 2, event: 'paused', step: 2 }]);
    record.append([started(600, 1), { time: 600, event: 'resumed', step: 1 }, step(601, 2, 3), step(602.5, 3, 3)]);
    expect(record.snapshot().active).toEqual([1, 2, 3.5]);
  });

  it('gives snapshots that later events leave alone', () => {
    const record = new RunRecord();
    record.append([started(0, null), step(1, 1, 3)]);
    const before = record.snapshot();
    record.append([step(2, 2, 2)]);
    expect(before.step).toEqual([1]);
    expect(record.snapshot().step).toEqual([1, 2]);
  });
});
