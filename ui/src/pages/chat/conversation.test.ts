import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandError, type Backend, type CallOptions, type RequestOf } from '../../backend/backend';
import type { Answer } from '../../backend/generated/types';
import type { Answerer } from './answerer';
import { Conversation } from './conversation.svelte';

const tuned: Answerer = { kind: 'experiment', experiment: 'orders', checkpoint: null };
const base: Answerer = { kind: 'model', model: 'starter' };

let asked: RequestOf<'chat'>[];
let during: ((request: RequestOf<'chat'>, options: CallOptions) => void) | null;
let refuse: CommandError | null;

const reply = (text: string, stop_reason: Answer['stop_reason'] = 'stop_token'): Answer => ({ text, prompt_tokens: 9, answer_tokens: 3, seconds: 0.1, tokens_per_second: 30, stop_reason });

const backend = {
  async call(_command: string, request: RequestOf<'chat'>, options: CallOptions) {
    asked.push(request);
    options.onEvents?.([{ type: 'text', text: 'half' }]);
    during?.(request, options);
    await Promise.resolve();
    if (refuse) throw refuse;
    return options.signal?.aborted ? reply('half', 'cancelled') : reply(`${request.experiment ?? request.model}: ${request.turns?.at(-1)?.content}`);
  },
} as unknown as Backend;

function conversation(...answerers: Answerer[]): Conversation {
  const made = new Conversation(1, backend, (one) => (one.kind === 'model' ? one.model : 'tuned'));
  made.choose(answerers);
  return made;
}

beforeEach(() => {
  asked = [];
  during = null;
  refuse = null;
  vi.stubGlobal('requestAnimationFrame', () => 0);
  vi.stubGlobal('cancelAnimationFrame', () => undefined);
  const stored = new Map<string, string>();
  vi.stubGlobal('localStorage', { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => stored.set(key, value), removeItem: (key: string) => stored.delete(key) });
});

describe('a conversation', () => {
  it('asks both sides the same with the same seed, one after the other, each with its own answers', async () => {
    const chat = conversation(tuned, base);
    chat.setSampling({ ...chat.sampling, temperature: 1 });
    chat.system = 'Be brief.';
    await chat.send('one');
    await chat.send('two');
    expect(asked.map(({ experiment, model }) => experiment ?? model)).toEqual(['orders', 'starter', 'orders', 'starter']);
    expect(asked[0].sampling?.seed).toBe(asked[1].sampling?.seed);
    expect(asked[3].turns).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'starter: one' },
      { role: 'user', content: 'two' },
    ]);
  });

  it('keeps what was said when it is stopped, and leaves the second side unasked', async () => {
    const chat = conversation(tuned, base);
    during = () => chat.stop();
    await chat.send('one');
    const [first, second] = chat.exchanges[0].cells;
    expect(asked).toHaveLength(1);
    expect(first.answer).toMatchObject({ text: 'half', state: 'done', stopReason: 'cancelled' });
    expect(second.answer).toMatchObject({ text: '', state: 'done', stopReason: 'cancelled' });
    expect(chat.busy).toBe(false);
  });

  it('keeps a refusal out of what is asked next', async () => {
    const chat = conversation(base);
    refuse = new CommandError({ code: 'store', message: 'locked' });
    await chat.send('one');
    expect(chat.exchanges[0].cells[0].answer).toMatchObject({ state: 'failed', error: refuse });
    refuse = null;
    await chat.send('two');
    expect(asked[1].turns).toEqual([{ role: 'user', content: 'two' }]);
  });

  it('keeps the earlier answer when it is asked again', async () => {
    const chat = conversation(base);
    await chat.send('one');
    await chat.regenerate();
    const [cell] = chat.exchanges[0].cells;
    expect(cell.versions).toHaveLength(2);
    expect(cell.shown).toBe(1);
    expect(asked[1].turns).toEqual(asked[0].turns);
  });

  it('replaces what follows an edited question, and has the way back', async () => {
    const chat = conversation(base);
    await chat.send('one');
    await chat.send('two');
    const before = chat.exchanges;
    const undo = chat.edit(before[0], 'other');
    await vi.waitFor(() => expect(chat.busy).toBe(false));
    expect(chat.exchanges.map(({ prompt }) => prompt)).toEqual(['other']);
    undo();
    expect(chat.exchanges).toBe(before);
  });

  it('gives a side that comes later only the questions it has answered', async () => {
    const chat = conversation(tuned);
    await chat.send('one');
    chat.choose([tuned, base]);
    await chat.send('two');
    expect(asked.at(-1)?.turns).toEqual([{ role: 'user', content: 'two' }]);
    await chat.ask(chat.exchanges[0], 1);
    expect(asked.at(-1)).toMatchObject({ model: 'starter', turns: [{ role: 'user', content: 'one' }] });
  });

  it('lets the second side keep its answers when the first goes', async () => {
    const chat = conversation(tuned, base);
    await chat.send('one');
    chat.remove(0);
    chat.choose([base]);
    await chat.send('two');
    expect(asked.at(-1)?.turns?.[1]).toEqual({ role: 'assistant', content: 'starter: one' });
  });

  it('remembers sampling for who answers, until it is as usual', () => {
    const chat = conversation(base);
    chat.setSampling({ ...chat.sampling, max_new_tokens: 7 });
    expect(conversation(base).sampling.max_new_tokens).toBe(7);
    expect(conversation(tuned).sampling.max_new_tokens).toBe(256);
    chat.setSampling({ ...chat.usual });
    expect(localStorage.getItem('attune.chat.sampling.model:starter')).toBeNull();
  });
});
