import { describe, expect, it } from 'vitest';
import type { Inspection, Lengths, Problem, ProblemKind } from '../../../backend/generated/types';
import { countsOf, cutAt, remedyLength } from './counts';

const problem = (kind: ProblemKind, count: number, left_out = false): Problem => ({ kind, count, rows: [1], examples: [], detail: '', left_out, remedy: '' });
const found = { conversations: 7_461, problems: [problem('empty_answer', 12, true), problem('duplicate', 7), problem('too_long', 3)] } as Inspection;

const lengths = { max_length: 512, max: 1_187, cut: 3, histogram: [{ from: 1, to: 100, count: 50 }, { from: 101, to: 200, count: 10 }, { from: 1_101, to: 1_187, count: 3 }] } as Lengths;

describe('what an import keeps', () => {
  it('is what makes conversations, less what is left out by choice', () => {
    expect(countsOf(found, [], 0)).toEqual({ kept: 7_461, exact: true, heldOut: 0, rest: 7_461 });
    expect(countsOf(found, ['duplicate'], 0)).toMatchObject({ kept: 7_454, exact: true });
    expect(countsOf(found, ['duplicate', 'too_long'], 0)).toMatchObject({ kept: 7_451, exact: false });
  });

  it('is split as the studio does', () => {
    expect(countsOf(found, [], 0.1)).toMatchObject({ heldOut: 746, rest: 6_715 });
    expect(countsOf({ ...found, conversations: 3 }, [], 0.01)).toMatchObject({ heldOut: 1, rest: 2 });
    expect(countsOf({ ...found, conversations: 1 }, [], 0.5)).toMatchObject({ heldOut: 0, rest: 1 });
  });
});

describe('a limit', () => {
  it('cuts exactly so many where it was measured, and about so many elsewhere', () => {
    expect(cutAt(lengths, 512)).toEqual({ cut: 3, exact: true });
    expect(cutAt(lengths, 150)).toEqual({ cut: 8, exact: false });
    expect(cutAt(lengths, 1_187)).toEqual({ cut: 0, exact: true });
  });

  it('is raised to the longest row', () => {
    expect(remedyLength(problem('too_long', 3), lengths)).toBe(1_187);
    expect(remedyLength(problem('duplicate', 3), lengths)).toBeNull();
    expect(remedyLength(problem('too_long', 3), null)).toBeNull();
  });
});
