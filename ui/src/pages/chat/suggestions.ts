import type { Backend } from '../../backend/backend';
import type { Model } from '../../backend/generated/types';
import type { Answerer } from './answerer';

/** Questions worth asking first: those an experiment was asked as it learnt, else the starter's. */
export async function suggestionsFor(answerer: Answerer, models: Model[], backend: Backend, signal: AbortSignal): Promise<string[]> {
  if (answerer.kind === 'experiment') {
    const samples = await backend.call('experiments_samples', { experiment: answerer.experiment }, { signal }).catch(() => null);
    const asked = [...new Set(samples?.prompts.map(({ prompt }) => prompt) ?? [])];
    if (asked.length > 0) return asked.slice(0, 3);
  }
  const starter = await starterPrompt(answerer, models, backend, signal);
  return starter === null ? [] : [starter];
}

/** Only where the starter is complete: its command would bring back a dataset that was removed. */
async function starterPrompt(answerer: Answerer, models: Model[], backend: Backend, signal: AbortSignal): Promise<string | null> {
  const bundled = models.find(({ origin }) => origin === 'bundled');
  if (!bundled) return null;
  let model = answerer.kind === 'experiment' ? null : answerer.model;
  if (answerer.kind === 'experiment') {
    const experiments = await backend.call('experiments_list', {}, { signal });
    model = experiments.find(({ id }) => id === answerer.experiment)?.model ?? null;
  }
  if (model !== bundled.id) return null;
  const datasets = await backend.call('data_list', {}, { signal });
  const complete = ['orders', 'orders-held-out'].every((wanted) => datasets.some(({ id }) => id === wanted));
  return complete ? (await backend.call('starter', {}, { signal })).prompt : null;
}
