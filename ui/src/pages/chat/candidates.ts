import type { Experiment, Model } from '../../backend/generated/types';
import { count, short } from '../../format';
import { canAnswer, type Answerer } from './answerer';

/** A line of the list of those who can be asked. */
export interface Candidate {
  answerer: Answerer;
  group: 'Experiments' | 'Models';
  name: string;
  detail: string;
  state: Experiment['state'] | null;
  /** Why not. */
  refusal: string | null;
}

const states: Record<Experiment['state'], string> = { queued: 'queued', running: 'training', paused: 'paused', interrupted: 'interrupted', stopped: 'stopped', finished: 'finished', failed: 'failed' };

/** What was tuned comes first: it is what one chats with here. */
export function candidates(experiments: Experiment[], models: Model[]): Candidate[] {
  const tuned = experiments.map((one): Candidate => ({
    answerer: { kind: 'experiment', experiment: one.id, checkpoint: null },
    group: 'Experiments',
    name: one.name,
    detail: canAnswer(one) ? `${states[one.state]}, step ${count(one.step)}` : states[one.state],
    state: one.state,
    refusal: canAnswer(one) ? null : 'no checkpoint yet',
  }));
  const plain = models.map((one): Candidate => ({
    answerer: { kind: 'model', model: one.id },
    group: 'Models',
    name: one.name,
    detail: one.facts ? short(one.facts.parameters) : '',
    state: null,
    refusal: one.problem ? 'cannot be used' : null,
  }));
  return [...tuned, ...plain];
}
