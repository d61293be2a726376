import { describe, expect, test } from 'vitest';
import type { Estimate } from '../../../backend/generated/types';
import type { Backend } from '../../../backend/backend';
import { ExperimentForm, nextName } from './form.svelte';
import { verdict } from './verdict';

describe('the name of a duplicate', () => {
  test('counts copies, and leaves a number that means something', () => {
    expect(nextName('Tone', ['Tone'])).toBe('Tone 2');
    expect(nextName('Tone 2', ['Tone', 'Tone 2'])).toBe('Tone 3');
    expect(nextName('Tone', ['Tone', 'Tone 2'])).toBe('Tone 3');
    expect(nextName('Rank 16', ['Rank 16'])).toBe('Rank 16 (2)');
    expect(nextName('Rank 16 (2)', ['Rank 16', 'Rank 16 (2)'])).toBe('Rank 16 (3)');
  });
});

test('no precision of frozen weights is left over when every weight is to be trained', () => {
  const form = new ExperimentForm({} as Backend);
  form.method = 'qlora';
  expect(form.changes).toMatchObject({ backbone_dtype: 'nf4' });
  form.method = 'full';
  expect(form.changes).toMatchObject({ lora: false, backbone_dtype: 'float32' });
});

test('the verdict says a unit once where both share it', () => {
  const of = (total: number, usable: number) => verdict({ memory: { parts: [], total, usable, fits: total <= usable } } as unknown as Estimate);
  expect(of(9.2e9, 27e9)).toBe('Fits, 9.2 of 27 GB');
  expect(of(412e6, 27e9)).toBe('Fits, 412 MB of 27 GB');
  expect(of(30.1e9, 27e9)).toBe('Too large by 3.1 GB');
});
