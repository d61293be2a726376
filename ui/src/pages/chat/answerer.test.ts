import { describe, expect, it } from 'vitest';
import type { Experiment, Model } from '../../backend/generated/types';
import { baseOf, family, fromRoute, nameOf, toRoute, weightsOf, type Answerer } from './answerer';

const experiments = [{ id: 'orders-1', name: 'Orders', model: 'starter', step: 480 }] as Experiment[];
const models = [{ id: 'starter', name: 'Starter' }] as Model[];
const tuned: Answerer = { kind: 'experiment', experiment: 'orders-1', checkpoint: 'best' };

describe('who answers', () => {
  it('an experiment is sent alone: the studio refuses it beside a model', () => {
    expect(weightsOf(tuned)).toEqual({ experiment: 'orders-1', checkpoint: 'best' });
    expect(weightsOf({ ...tuned, checkpoint: null })).toEqual({ experiment: 'orders-1' });
    expect(weightsOf({ kind: 'adapter', model: 'starter', folder: '/a/lora' })).toEqual({ model: 'starter', adapter: '/a/lora' });
  });

  it('an address goes there and back', () => {
    const both: Answerer[] = [tuned, { kind: 'model', model: 'starter' }];
    expect(fromRoute(toRoute(both), experiments)).toEqual(both);
    expect(fromRoute({ name: 'chat' }, experiments)).toEqual([]);
    expect(fromRoute({ name: 'chat', model: 'starter', compare: 'orders-1' }, experiments)[1]).toEqual({ kind: 'experiment', experiment: 'orders-1', checkpoint: null });
  });

  it('both checkpoints of an experiment are one family, and its base is its model', () => {
    expect(family(tuned)).toBe(family({ ...tuned, checkpoint: 'last' }));
    expect(baseOf(tuned, experiments)).toEqual({ kind: 'model', model: 'starter' });
    expect(baseOf({ kind: 'model', model: 'starter' }, experiments)).toBeNull();
    expect(nameOf({ kind: 'adapter', model: 'starter', folder: '/a/lora' }, models, [])).toBe('Starter + lora');
  });
});
