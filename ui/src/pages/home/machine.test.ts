import { expect, test } from 'vitest';
import { backendWords, checkWords, computesOn, fitsHere } from './machine';

// The studio lists methods in an order of its own; people want to know first how far it goes.
test('what fits is said largest first, in round numbers', () => {
  const capacity = [
    { method: 'full', title: 'Full fine-tuning', parameters: 361_821_120 },
    { method: 'lora', title: 'LoRA', parameters: 1_235_814_400 },
    { method: 'quantised', title: 'LoRA on 4-bit weights', parameters: 8_030_261_248 },
  ];
  expect(fitsHere(capacity)).toEqual(['8 B with LoRA on 4-bit weights', '1.2 B with LoRA', '362 M with full fine-tuning']);
  expect(capacity[0].method).toBe('full');
});

test('the device is said with its reason', () => {
  expect(computesOn({ kind: 'cpu', reason: 'no supported GPU was found' })).toBe('The processor: no supported GPU was found.');
});

test('what stands in the way of a device is said with what helps', () => {
  const backend = { kind: 'cuda', state: 'no_driver', name: null, reason: 'there is an NVIDIA GPU, but no driver for it', remedy: 'Install the driver.', memory: null } as const;
  expect(backendWords(backend)).toBe('NVIDIA GPU: there is an NVIDIA GPU, but no driver for it. Install the driver.');
});

test('a check says whether it agrees, and how fast', () => {
  const result = { loss: 4.8, loss_difference: 1e-7, gradient_difference: 2.14e-7, step_difference: 1e-7, tolerance: 1e-3, operations: 48, concerns: [], agrees: true, tokens_per_second: 2340.4, operations_per_second: 8.12e11 };
  expect(checkWords({ kind: 'metal', result, problem: null })).toBe('Apple GPU: agrees with the formulas (gradients 2.1e-7 apart) · 2\u202f340 tokens/s · 812 GFLOP/s');
  const concerns = ['our kernel for rope is switched off: it differs by 1.0e-2'];
  expect(checkWords({ kind: 'metal', result: { ...result, concerns }, problem: null })).toContain(concerns[0]);
  expect(checkWords({ kind: 'metal', result: { ...result, agrees: false }, problem: null })).toContain('computes wrongly');
  expect(checkWords({ kind: 'cuda', result: null, problem: { code: 'device-unavailable', message: 'the device cannot be used' } })).toBe('NVIDIA GPU: The device cannot be used.');
});
