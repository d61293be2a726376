import type { CheckpointChoice, ExperimentReport } from '../../backend/generated/types';

/** The steps of an experiment's checkpoints, and which of them answers when none is named. */
export interface CheckpointSteps {
  best: number | null;
  last: number | null;
  usual: CheckpointChoice;
}

/** `…/checkpoints/step-00000120` is step 120. */
function stepOf(folder: string | null): number | null {
  const digits = /step-(\d+)\/?$/.exec(folder ?? '')?.[1];
  return digits === undefined ? null : Number(digits);
}

export function checkpointSteps({ best_checkpoint, last_checkpoint, settings }: ExperimentReport): CheckpointSteps {
  return { best: stepOf(best_checkpoint), last: stepOf(last_checkpoint), usual: settings.save_checkpoint === 'best' ? 'best' : 'last' };
}
