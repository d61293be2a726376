import { describe, expect, it } from 'vitest';
import { fromSettings, greedy, presetOf, presets, sameSampling, summary, toOptions } from './sampling';

describe('sampling', () => {
  it('draws a seed only where none is set, and sends no empty stop text', () => {
    expect(toOptions({ ...greedy, stop_strings: ['', '\n\n'] }, () => 7)).toEqual({ ...greedy, seed: 7, stop_strings: ['\n\n'] });
    expect(toOptions({ ...greedy, seed: 0 }, () => 7).seed).toBe(0);
  });

  it('recognises a preset whatever the length, seed and stop texts are', () => {
    expect(presetOf({ ...greedy, ...presets.creative, max_new_tokens: 9, seed: 3 })).toBe('creative');
    expect(presetOf({ ...greedy, temperature: 0.31 })).toBeNull();
    expect(summary({ ...greedy, temperature: 0.31 })).toBe('Temperature 0.31');
  });

  it('takes over what an experiment was set to, and ignores what is no number', () => {
    const settings = { temperature: 0.4, top_k: 20, max_length_inference: 64, stop_tokens: ['###', 4], top_p: 'much' };
    expect(fromSettings(settings)).toEqual({ ...greedy, temperature: 0.4, top_k: 20, max_new_tokens: 64, stop_strings: ['###'] });
  });

  it('compares stop texts by what they say', () => {
    expect(sameSampling({ ...greedy, stop_strings: ['a'] }, { ...greedy, stop_strings: ['a'] })).toBe(true);
    expect(sameSampling(greedy, { ...greedy, stop_strings: ['a'] })).toBe(false);
  });
});
