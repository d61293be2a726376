import type { ModelReport } from '../../backend/generated/types';

/** Where the parameters of a model are. */
export interface ParameterParts {
  embedding: number;
  /** Of all layers; the width of a head is not known, so what is left over is attention with its norms. */
  attention: number;
  feedForward: number;
  head: number;
}

/** Gated feed-forward blocks have three matrices, plain ones two. Null where the numbers do not add up. */
export function parameterParts(report: ModelReport): ParameterParts | null {
  const total = report.model.facts?.parameters;
  if (total === undefined) return null;
  const embedding = report.vocabulary * report.hidden_size;
  const feedForward = report.feed_forward_matrices * report.hidden_size * report.intermediate_size * report.layers;
  const head = report.tied_head ? 0 : embedding;
  const attention = total - embedding - feedForward - head;
  return attention > 0 ? { embedding, attention, feedForward, head } : null;
}
