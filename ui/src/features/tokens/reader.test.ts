import { describe, expect, it, vi } from 'vitest';
import { CommandError, type Backend } from '../../backend/backend';
import type { RenderedSample } from '../../backend/generated/types';
import { SampleReader, type ReaderInput } from './reader.svelte';

const sample = (row: number): RenderedSample => ({ row, conversation: { turns: [] }, tokens: [], cut: 0, problem: null });
const input: ReaderInput = { source: { dataset: 'orders' }, model: 'm', maxLength: null, total: 30 };
const settled = () => new Promise((resolve) => setTimeout(resolve));

function made(call = vi.fn(async (_command: string, request: { first: number; count: number }) => ({ template: 'ChatML', first: request.first, samples: Array.from({ length: Math.min(request.count, 30 - request.first) }, (_, at) => sample(request.first + at)) }))) {
  return { call, reader: new SampleReader({ call } as unknown as Backend) };
}

describe('a reader', () => {
  it('has the neighbours before they are asked for', async () => {
    const { call, reader } = made();
    reader.show(input);
    await settled();
    expect([reader.sample?.row, reader.template]).toEqual([0, 'ChatML']);
    expect(call).toHaveBeenCalledTimes(1);
    reader.go(6);
    await settled();
    expect(call.mock.calls.map(([, request]) => request.first)).toEqual([0, 8]);
    reader.go(8);
    expect([reader.sample?.row, reader.stale]).toEqual([8, false]);
  });

  it('stays within what there is, and shows the last one until the next has come', async () => {
    const { reader } = made();
    reader.show(input);
    await settled();
    reader.step(-1);
    expect(reader.index).toBe(0);
    reader.go(1_000);
    expect([reader.index, reader.sample?.row, reader.stale]).toEqual([29, 0, true]);
    await settled();
    expect([reader.sample?.row, reader.stale]).toEqual([29, false]);
  });

  it('reads anew under another model, and not when nothing has changed', async () => {
    const { call, reader } = made();
    reader.show(input);
    await settled();
    reader.show({ ...input });
    await settled();
    expect(call).toHaveBeenCalledTimes(1);
    reader.show({ ...input, model: 'other' });
    expect([reader.sample?.row, reader.stale]).toEqual([0, true]);
    await settled();
    expect([call.mock.calls.length, reader.stale]).toEqual([2, false]);
  });

  it('says what failed, and tries again', async () => {
    const { call, reader } = made();
    call.mockRejectedValueOnce(new CommandError({ code: 'tokenizer-unusable', message: 'no' }));
    reader.show(input);
    await settled();
    expect([reader.error?.code, reader.loading]).toEqual(['tokenizer-unusable', false]);
    reader.retry();
    await settled();
    expect([reader.error, reader.sample?.row]).toEqual([null, 0]);
  });

  it('of a file without a model shows what is known of it, and no tokens', async () => {
    const { call, reader } = made();
    reader.view = 'tokens';
    reader.show({ ...input, source: { path: '/a', member: null, columns: { system: null, prompt: [], answer: null, messages: null, text: null } }, model: null, total: 2, known: [{ turns: [] }, { turns: [{ role: 'user', content: 'b' }] }] });
    await settled();
    reader.go(1);
    expect([reader.sample?.conversation.turns[0].content, reader.shownView, call.mock.calls.length]).toEqual(['b', 'conversation', 0]);
  });
});
