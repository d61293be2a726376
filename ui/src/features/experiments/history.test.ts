import { describe, expect, it, vi } from 'vitest';
import type { Backend } from '../../backend/backend';
import { CommandError } from '../../backend/backend';
import type { LoggedEvent } from '../../backend/generated/types';
import { RunHistory } from './history.svelte';

const step = (at: number): LoggedEvent => ({ time: at, event: 'step', step: at, epoch: 0, loss: 1 / at, learning_rate: 1, grad_norm: 1, trained_tokens: 1, tokens_per_second: 1, peak_memory: 1 });

/** A backend whose run has more to tell at each look. */
function telling(parts: LoggedEvent[][]) {
  const asked: number[] = [];
  const call = vi.fn(async (_: string, { after }: { after: number }) => {
    asked.push(after);
    return { experiment: { id: 'run', state: 'running' }, events: parts.shift() ?? [], next: after + 7 };
  });
  return { backend: { call } as unknown as Backend, asked };
}

describe('following a run', () => {
  it('asks for what is new, and adds it to what it has', async () => {
    const { backend, asked } = telling([[step(1), step(2)], [step(3)]]);
    const history = new RunHistory(backend, 'run');
    await history.look();
    expect(history.series.step).toEqual([1, 2]);
    await history.look();
    expect(history.series.step).toEqual([1, 2, 3]);
    expect(asked).toEqual([0, 7]);
    expect(history.complete).toBe(true);
  });

  it('reads a long history to its end before it is complete', async () => {
    const { backend, asked } = telling([Array.from({ length: 1_000 }, (_, at) => step(at + 1)), [step(1_001)]]);
    const history = new RunHistory(backend, 'run');
    await history.look();
    expect(asked).toEqual([0, 7]);
    expect(history.series.step).toHaveLength(1_001);
  });

  it('keeps what it has when a look fails, and says why', async () => {
    const { backend } = telling([[step(1)]]);
    const history = new RunHistory(backend, 'run');
    await history.look();
    (backend.call as unknown as ReturnType<typeof vi.fn>).mockRejectedValueOnce(new CommandError({ code: 'store', message: 'locked' }));
    await history.look();
    expect(history.error?.code).toBe('store');
    expect(history.series.step).toEqual([1]);
    await history.look();
    expect(history.error).toBeNull();
  });
});
