import { expect, it } from 'vitest';
import type { ModelReport } from '../../backend/generated/types';
import { parameterParts } from './parameters';

const starter = { vocabulary: 1_024, layers: 6, hidden_size: 128, intermediate_size: 384, feed_forward_matrices: 3, tied_head: true, model: { facts: { parameters: 1_312_384 } } } as ModelReport;

it('the parts add up to the model', () => {
  const parts = parameterParts(starter);
  expect(parts).toMatchObject({ embedding: 131_072, feedForward: 884_736, head: 0 });
  expect(parts && parts.embedding + parts.attention + parts.feedForward + parts.head).toBe(1_312_384);
  // Queries and outputs are square, keys and values half of it; 13 norms.
  expect(parts?.attention).toBe(6 * (2 * 128 * 128 + 2 * 128 * 64) + 13 * 128);
});

it('says nothing where the numbers contradict each other', () => {
  expect(parameterParts({ ...starter, layers: 60 })).toBeNull();
});

it('a feed-forward block without a gate has two matrices', () => {
  expect(parameterParts({ ...starter, feed_forward_matrices: 2 })).toMatchObject({ feedForward: 589_824 });
});
