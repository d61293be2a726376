import type { Samples } from '../../../backend/generated/types';

export interface SampleCell {
  step: number;
  text: string;
  /** Equal to the reference, but for blanks at its ends. */
  exact: boolean;
  /** Another answer than at the evaluation before. */
  changed: boolean;
}

export interface SampleRow {
  row: number;
  prompt: string;
  answer: string;
  /** Oldest first; the first is the base model's where it was asked. */
  cells: SampleCell[];
}

/** What was answered, question by question. A round that was cut short lacks its last answers. */
export function answersOf({ prompts, rounds }: Samples): SampleRow[] {
  return prompts.map(({ row, prompt, answer }, at) => {
    const cells = rounds.map(({ step, answers }, round): SampleCell => {
      const text = answers[at] ?? '';
      const before = rounds[round - 1]?.answers[at];
      return { step, text, exact: text.trim() === answer.trim(), changed: before !== undefined && before !== text };
    });
    return { row, prompt, answer, cells };
  });
}
