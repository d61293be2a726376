import type { Answer, ChatRequest, Event, SamplingOptions, StopReason } from '../generated/types';
import { CommandError } from '../backend';
import type { Context, Handlers } from './context';
import { reply } from './answers';
import { experimentStore } from './experiments';
import { findModel } from './models';

const greedy: SamplingOptions = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, max_new_tokens: 256, stop_strings: [], seed: 0 };

interface Weights {
  /** As `Loading …` says it. */
  name: string;
  parameters: number;
  /** Whether it was tuned, and on what. */
  tunedOn: string | null;
  model: string;
}

/** The files a request means, or the refusal the studio would give. */
function weights({ model, adapter, experiment, checkpoint }: Partial<ChatRequest>): Weights {
  if (experiment) {
    if (model || adapter) throw new CommandError({ code: 'weights-conflict', message: 'an experiment brings its own model and adapter', remedy: 'Give either an experiment, or a model with an optional adapter.' });
    const found = experimentStore().find(({ id, name }) => id === experiment || name === experiment);
    if (!found) throw new CommandError({ code: 'experiment-not-found', message: `there is no experiment \`${experiment}\``, remedy: 'Choose one of the list.' });
    if (found.step === 0) throw new CommandError({ code: 'no-checkpoint', message: `the experiment \`${found.id}\` has no checkpoint yet`, remedy: 'Wait for its first checkpoint, or continue it.' });
    const base = findModel(found.model);
    const step = checkpoint === 'best' ? (found.best_step ?? found.step) : found.step;
    return { name: `${found.name} (step ${step})`, parameters: base.facts?.parameters ?? 0, tunedOn: found.dataset, model: base.id };
  }
  if (!model) throw new CommandError({ code: 'weights-missing', message: 'neither a model nor an experiment is given', remedy: 'Name a model or an experiment.' });
  const found = findModel(model);
  if (found.problem) throw new CommandError(found.problem);
  if (adapter && !/adapter|checkpoint|export|lora/.test(adapter)) {
    throw new CommandError({ code: 'adapter-missing', message: `${adapter} holds no adapter`, remedy: 'Choose a folder with adapter_config.json and adapter_model.safetensors.', where: adapter });
  }
  return { name: found.name, parameters: found.facts?.parameters ?? 0, tunedOn: adapter ? 'orders' : null, model: found.id };
}

/** Weights in memory, used last first: a model and its tuned self. */
let loaded: string[] = [];
/** One answer at a time, as the studio's lock makes it. */
let turn: Promise<unknown> = Promise.resolve();

async function load(of: Weights, key: string, { emit, sleep }: Context): Promise<void> {
  if (!loaded.includes(key)) {
    const parts = 8;
    const each = Math.min(220, 20 + of.parameters / 3e7);
    for (let part = 0; part <= parts; part += 1) {
      emit({ type: 'progress', what: `Loading ${of.name}`, done: (part * 1000) / parts, total: 1000, seconds_left: part < 2 ? null : ((parts - part) * each) / 1000 });
      await sleep(each);
    }
  }
  loaded = [key, ...loaded.filter((other) => other !== key)].slice(0, 2);
}

/** Streams what it says in pieces of a token, a batch at a time. */
async function stream(text: string, sampling: SamplingOptions, milliseconds: number, { emit, sleep, signal }: Context): Promise<{ text: string; tokens: number; stop: StopReason }> {
  const pieces = text.match(/\s*[\p{L}\p{N}]{1,5}|\s*[^\p{L}\p{N}\s]{1,3}|\s+/gu) ?? [];
  let said = '';
  let tokens = 0;
  for (let at = 0; at < pieces.length; ) {
    const events: Event[] = [];
    for (let batch = 0; batch < 3 && at < pieces.length; batch += 1, at += 1) {
      if (tokens >= sampling.max_new_tokens) {
        if (events.length > 0) emit(...events);
        return { text: said, tokens, stop: 'length' };
      }
      const whole = said + pieces[at];
      const stop = sampling.stop_strings.find((one) => one !== '' && whole.includes(one));
      tokens += 1;
      if (stop !== undefined) {
        const kept = whole.slice(0, whole.indexOf(stop));
        if (kept.length > said.length) events.push({ type: 'text', text: kept.slice(said.length) });
        if (events.length > 0) emit(...events);
        return { text: kept, tokens, stop: 'stop_string' };
      }
      said = whole;
      events.push({ type: 'text', text: pieces[at] });
    }
    emit(...events);
    try {
      await sleep(milliseconds * events.length);
    } catch {
      // Ended by the person: the studio returns what there is.
      if (signal.aborted) return { text: said, tokens, stop: 'cancelled' };
    }
  }
  return { text: said, tokens: tokens + 1, stop: 'stop_token' };
}

async function answer(request: Partial<ChatRequest>, context: Context): Promise<Answer> {
  const turns = request.turns ?? [];
  const last = turns.at(-1);
  if (!last || (last.role !== 'user' && last.role !== 'text')) {
    throw new CommandError({ code: 'chat-no-question', message: 'the conversation does not end with a question', remedy: 'End it with a turn of the user.' });
  }
  const of = weights(request);
  const { model, adapter, experiment, checkpoint } = request;
  await load(of, JSON.stringify([model, adapter, experiment, checkpoint]), context);
  const sampling = request.sampling ?? greedy;
  const rate = Math.max(12, Math.min(640, 3e10 / Math.max(1e7, of.parameters)));
  const started = performance.now();
  await context.sleep(60);
  const said = await stream(reply(turns, of, sampling), sampling, 1000 / rate, context);
  const seconds = (performance.now() - started) / 1000;
  const prompt = turns.reduce((sum, { content }) => sum + Math.ceil(content.length / 4) + 5, 3);
  return { text: said.text, prompt_tokens: prompt, answer_tokens: said.tokens, seconds, tokens_per_second: said.tokens / seconds, stop_reason: said.stop };
}

export const chat: Handlers = {
  chat: (request, context) => {
    const mine = turn.then(() => answer(request, context));
    turn = mine.catch(() => undefined);
    return mine;
  },
};
