import type { EvaluationRow, KeptEvaluation } from '../../backend/generated/types';
import type { TableSort } from '../../primitives/table';

/** A row that was not trained on, as the base model and the tuned one answer it. */
export interface Prediction {
  row: number;
  prompt: string;
  expected: string;
  base: string | null;
  baseExact: boolean | null;
  baseLoss: number | null;
  tuned: string | null;
  exact: boolean | null;
  loss: number | null;
  trainedTokens: number;
}

export type PredictionFilter = 'all' | 'wrong' | 'fixed' | 'broken';

/** The newest kept evaluation of the tuned model, and that of the base model. */
export function newest(kept: KeptEvaluation[]): { base: KeptEvaluation | undefined; tuned: KeptEvaluation | undefined } {
  return {
    base: kept.find(({ weights }) => weights.experiment === null && weights.adapter === null && weights.model !== null),
    tuned: kept.find(({ weights }) => weights.experiment !== null),
  };
}

/** Rows of both evaluations side by side, in the order of the dataset. */
export function joined(base: KeptEvaluation | undefined, tuned: KeptEvaluation | undefined): Prediction[] {
  const before = new Map(base?.evaluation.rows.map((row) => [row.row, row]));
  const after = new Map(tuned?.evaluation.rows.map((row) => [row.row, row]));
  const rows = [...new Set([...before.keys(), ...after.keys()])].sort((one, other) => one - other);
  return rows.map((row) => together(row, before.get(row), after.get(row)));
}

function together(row: number, base: EvaluationRow | undefined, tuned: EvaluationRow | undefined): Prediction {
  const any = tuned ?? base;
  return {
    row,
    prompt: any?.prompt ?? '',
    expected: any?.answer ?? '',
    base: base?.prediction ?? null,
    baseExact: base?.exact_match ?? null,
    baseLoss: base?.loss ?? null,
    tuned: tuned?.prediction ?? null,
    exact: tuned?.exact_match ?? null,
    loss: tuned?.loss ?? null,
    trainedTokens: any?.trained_tokens ?? 0,
  };
}

const passes: Record<PredictionFilter, (row: Prediction) => boolean> = {
  all: () => true,
  wrong: (row) => row.exact === false,
  fixed: (row) => row.exact === true && row.baseExact === false,
  broken: (row) => row.exact === false && row.baseExact === true,
};

/** Rows that pass the filter and hold the words, in the order asked for. */
export function chosen(rows: Prediction[], filter: PredictionFilter, search: string, sort: TableSort | null): Prediction[] {
  const words = search.trim().toLowerCase();
  const holds = (row: Prediction) => words === '' || [row.prompt, row.expected, row.base, row.tuned].some((text) => text?.toLowerCase().includes(words));
  const list = rows.filter((row) => passes[filter](row) && holds(row));
  if (!sort) return list;
  const sign = sort.direction === 'ascending' ? 1 : -1;
  const value = (row: Prediction): number | null => (sort.key === 'loss' ? row.loss : sort.key === 'baseLoss' ? row.baseLoss : sort.key === 'exact' ? Number(row.exact) : row.row);
  return list.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    // Rows without a value stay at the end, whatever the order.
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (a - b) || one.row - other.row;
  });
}

export const tally = (rows: Prediction[], filter: PredictionFilter): number => rows.filter(passes[filter]).length;
