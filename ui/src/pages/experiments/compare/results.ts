import type { Experiment, JsonValue, SettingDefinition } from '../../../backend/generated/types';
import { sameValue, valueText, type Values } from '../../../features/settings/setting';
import { bytes, count, decimal, duration, loss, tokenRate } from '../../../format';

export interface MatrixCell {
  text: string;
  /** The best of its row. */
  best?: boolean;
}

export interface MatrixRow {
  key: string;
  title: string;
  detail?: string;
  cells: MatrixCell[];
}

interface Measure {
  key: string;
  title: string;
  value: (run: Experiment) => number | null;
  format: (value: number, run: Experiment) => string;
  /** What counts as better; nothing where neither is. */
  better?: 'low' | 'high';
  /** Means something only against runs on the same data. */
  ofData?: boolean;
}

const seconds = ({ started_at: from, ended_at: to, state }: Experiment): number | null => (from === null ? null : (to !== null && state !== 'running' ? to : Date.now() / 1000) - from);

const measures: Measure[] = [
  { key: 'best', title: 'Best validation loss', value: (run) => run.best_validation_loss, format: (value, run) => (run.best_step === null ? loss(value) : `${loss(value)} at ${count(run.best_step)}`), better: 'low', ofData: true },
  { key: 'validation', title: 'Last validation loss', value: (run) => run.validation_loss, format: loss, better: 'low', ofData: true },
  { key: 'loss', title: 'Last training loss', value: (run) => run.loss, format: loss, better: 'low', ofData: true },
  { key: 'step', title: 'Steps', value: (run) => run.step, format: (value, run) => (run.total_steps === null || run.total_steps === value ? count(value) : `${count(value)} / ${count(run.total_steps)}`) },
  { key: 'epoch', title: 'Epochs', value: (run) => run.epoch, format: (value) => decimal(value) },
  { key: 'rate', title: 'Speed', value: (run) => run.tokens_per_second, format: tokenRate, better: 'high' },
  { key: 'memory', title: 'Peak memory', value: (run) => run.peak_memory, format: bytes, better: 'low' },
  { key: 'time', title: 'Time', value: seconds, format: duration },
];

/** Whether all learn from the same dataset: losses on different data say nothing about each other. */
export const isSameData = (runs: (Experiment | undefined)[]): boolean => new Set(runs.flatMap((run) => run?.dataset ?? [])).size <= 1;

/** What came out of each run, the best of each row marked where there are at least two to choose from. */
export function results(runs: (Experiment | undefined)[]): MatrixRow[] {
  const comparable = isSameData(runs);
  return measures.map(({ key, title, value, format, better, ofData }) => {
    const values = runs.map((run) => (run ? value(run) : null));
    const present = values.filter((one): one is number => one !== null && Number.isFinite(one));
    const top = better && (comparable || !ofData) && new Set(present).size > 1 ? (better === 'low' ? Math.min(...present) : Math.max(...present)) : null;
    return { key, title, cells: values.map((one, at) => ({ text: one === null ? '–' : format(one, runs[at] as Experiment), best: one !== null && one === top })) };
  });
}

/** The settings of each run, in the order of their definitions; those on which all agree only when asked for. */
export function settingRows(definitions: SettingDefinition[], runs: (Values | null)[], all: boolean): MatrixRow[] {
  const read = runs.filter((values): values is Values => values !== null);
  const differs = ({ key }: SettingDefinition) => read.some((values) => !sameValue(values[key], read[0][key]));
  const text = (definition: SettingDefinition, value: JsonValue | undefined) => valueText(definition, value);
  return definitions
    .filter(({ key }) => key !== 'experiment_name')
    .filter((definition) => all || differs(definition))
    .map((definition) => ({ key: definition.key, title: definition.title, detail: definition.key, cells: runs.map((values) => ({ text: values === null ? '' : text(definition, values[definition.key]) })) }));
}
