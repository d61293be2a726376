import type { Bin, Inspection, Lengths, Problem, ProblemKind } from '../../../backend/generated/types';

/** Kinds whose rows a person may leave out; the others are left out anyway. */
export const optional: readonly ProblemKind[] = ['duplicate', 'unreadable_characters', 'too_long'];

export interface ImportCounts {
  /** Conversations kept, held-out ones among them. */
  kept: number;
  /** One row can have two problems, and is then counted twice. */
  exact: boolean;
  heldOut: number;
  rest: number;
}

export function countsOf(found: Inspection, leaveOut: readonly ProblemKind[], share: number): ImportCounts {
  const chosen = found.problems.filter(({ kind }) => leaveOut.includes(kind));
  const kept = Math.max(0, found.conversations - chosen.reduce((sum, { count }) => sum + count, 0));
  // As the studio splits: rounded, at least one on either side.
  const heldOut = share <= 0 || kept < 2 ? 0 : Math.min(kept - 1, Math.max(1, Math.round(kept * share)));
  return { kept, exact: chosen.length < 2, heldOut, rest: kept - heldOut };
}

/** How many conversations a limit cuts: exact at the measured limit, else read off the histogram. */
export function cutAt(lengths: Lengths, limit: number): { cut: number; exact: boolean } {
  if (limit === lengths.max_length) return { cut: lengths.cut, exact: true };
  if (limit >= lengths.max) return { cut: 0, exact: true };
  const beyond = (bin: Bin) => {
    if (bin.from > limit) return bin.count;
    if (bin.to <= limit) return 0;
    return (bin.count * (bin.to - limit)) / (bin.to - bin.from + 1);
  };
  return { cut: Math.round(lengths.histogram.reduce((sum, bin) => sum + beyond(bin), 0)), exact: false };
}

/** The length at which nothing of these rows is cut, where raising the limit helps. */
export function remedyLength({ kind }: Problem, lengths: Lengths | null): number | null {
  if (kind !== 'too_long' && kind !== 'nothing_trained') return null;
  return lengths === null || lengths.max <= lengths.max_length ? null : Math.min(lengths.max, 131_072);
}
