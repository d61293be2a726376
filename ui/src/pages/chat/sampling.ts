import type { JsonValue, SamplingOptions } from '../../backend/generated/types';

/** Sampling as a person sets it: a seed may be left to chance. */
export type Sampling = Omit<SamplingOptions, 'seed'> & { seed: number | null };

export const greedy: Sampling = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, max_new_tokens: 256, stop_strings: [], seed: null };

export type Preset = 'precise' | 'balanced' | 'creative';

type Choice = Pick<Sampling, 'temperature' | 'top_k' | 'top_p' | 'min_p' | 'repetition_penalty'>;

/** What a preset changes; lengths, stop texts and seed stay. */
export const presets: Record<Preset, Choice> = {
  precise: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1 },
  balanced: { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0, repetition_penalty: 1 },
  creative: { temperature: 1.1, top_k: 0, top_p: 1, min_p: 0.05, repetition_penalty: 1 },
};

/** The preset that the values are, if they are one. */
export function presetOf(sampling: Sampling): Preset | null {
  const matches = (choice: Choice) => (Object.keys(choice) as (keyof Choice)[]).every((key) => choice[key] === sampling[key]);
  return (Object.keys(presets) as Preset[]).find((name) => matches(presets[name])) ?? null;
}

/** As the studio takes it; `chance` draws a seed where none is set. */
export function toOptions(sampling: Sampling, chance: () => number): SamplingOptions {
  return { ...sampling, stop_strings: sampling.stop_strings.filter((text) => text !== ''), seed: sampling.seed ?? chance() };
}

/** What an experiment's settings say about answers. */
export function fromSettings(settings: Record<string, JsonValue>): Sampling {
  const number = (key: string, otherwise: number) => (typeof settings[key] === 'number' ? settings[key] : otherwise);
  const stops = settings.stop_tokens;
  return {
    temperature: number('temperature', greedy.temperature),
    top_k: number('top_k', greedy.top_k),
    top_p: number('top_p', greedy.top_p),
    min_p: number('min_p', greedy.min_p),
    repetition_penalty: number('repetition_penalty', greedy.repetition_penalty),
    max_new_tokens: number('max_length_inference', greedy.max_new_tokens),
    stop_strings: Array.isArray(stops) ? stops.filter((text) => typeof text === 'string') : [],
    seed: null,
  };
}

export function sameSampling(one: Sampling, other: Sampling): boolean {
  return (Object.keys(greedy) as (keyof Sampling)[]).every((key) => JSON.stringify(one[key]) === JSON.stringify(other[key]));
}

/** A word about it for a button. */
export function summary(sampling: Sampling): string {
  const preset = presetOf(sampling);
  if (preset) return preset.charAt(0).toUpperCase() + preset.slice(1);
  return sampling.temperature === 0 ? 'Greedy' : `Temperature ${sampling.temperature}`;
}
