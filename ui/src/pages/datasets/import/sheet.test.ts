import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandError, type Backend, type CallOptions } from '../../../backend/backend';
import type { Inspection, Problem } from '../../../backend/generated/types';
import { ImportSheet } from './sheet.svelte';

const found = {
  columns: ['prompt', 'answer', 'note'].map((name) => ({ name, kind: 'text', examples: [], empty: 0 })),
  shape: { kind: 'prompt_answer', prompt: ['prompt'], separator: '\n\n', answer: 'answer' },
  conversations: 100,
  problems: [{ kind: 'duplicate', count: 4, left_out: false } as Problem, { kind: 'empty_answer', count: 2, left_out: true } as Problem],
  lengths: { max_length: 512 },
} as unknown as Inspection;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function made() {
  const call = vi.fn(async (command: string, _request: Record<string, unknown>, _options?: CallOptions): Promise<unknown> => (command === 'data_check' ? found : { dataset: { id: 'a' } }));
  return { call, sheet: new ImportSheet({ call } as unknown as Backend, '/data/My orders.jsonl.zip') };
}

describe('a file on its way into the library', () => {
  it('is called as the file is, and checked once for a model', async () => {
    const { call, sheet } = made();
    expect(sheet.name).toBe('My orders');
    sheet.under('m');
    sheet.under('m');
    await vi.runAllTimersAsync();
    sheet.under('m');
    expect(call).toHaveBeenCalledTimes(1);
    expect([sheet.ready, sheet.limit, sheet.counts?.kept]).toEqual([true, 512, 100]);
    sheet.under('other');
    expect(call.mock.calls[1][1]).toMatchObject({ model: 'other' });
  });

  it('waits for the last of several changes, and keeps the old findings until then', async () => {
    const { call, sheet } = made();
    sheet.under('m');
    await vi.runAllTimersAsync();
    sheet.setLimit(600);
    sheet.setLimit(700);
    sheet.setRole('note', 'prompt');
    expect([sheet.stale, sheet.ready, sheet.found]).toEqual([true, false, found]);
    await vi.runAllTimersAsync();
    expect(call).toHaveBeenCalledTimes(2);
    expect(call.mock.calls[1][1]).toMatchObject({ max_length: 700, columns: { prompt: ['prompt', 'note'], answer: 'answer', system: '' } });
    expect(sheet.stale).toBe(false);
  });

  it('is not read while a role is missing', async () => {
    const { call, sheet } = made();
    sheet.under('m');
    await vi.runAllTimersAsync();
    sheet.setRole('answer', 'ignore');
    await vi.runAllTimersAsync();
    expect([call.mock.calls.length, sheet.ready]).toEqual([1, false]);
    expect(sheet.missing).toMatch(/the answer/);
  });

  it('is imported with what was chosen, and only what can be', async () => {
    const { call, sheet } = made();
    sheet.under('m');
    await vi.runAllTimersAsync();
    sheet.setLeftOut('duplicate', true);
    sheet.setLeftOut('too_long', true);
    sheet.name = '  ';
    sheet.holdOut = 0.1;
    await sheet.bringIn();
    expect(call.mock.calls[1].slice(0, 2)).toMatchObject(['data_import', { leave_out: ['duplicate'], hold_out: 0.1, name: null, model: 'm' }]);
    expect(sheet.done).not.toBeNull();
  });

  it('shows a refusal, and nothing of an answer that came too late', async () => {
    const { call, sheet } = made();
    call.mockRejectedValueOnce(new CommandError({ code: 'data-broken-line', message: 'no' }));
    sheet.under('m');
    await vi.runAllTimersAsync();
    expect([sheet.error?.code, sheet.ready, sheet.checking]).toEqual(['data-broken-line', false, false]);
    let late: (value: Inspection) => void = () => undefined;
    call.mockImplementationOnce(() => new Promise((resolve) => (late = resolve)));
    void sheet.check();
    await sheet.check();
    late({ ...found, conversations: 1 });
    await vi.runAllTimersAsync();
    expect(sheet.found?.conversations).toBe(100);
  });
});
