import { expect, test } from 'vitest';
import { computesOn, fitsHere } from './machine';

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
  expect(computesOn({ kind: 'cpu', reason: 'no supported GPU was found', looked_for: [] })).toBe('The processor: no supported GPU was found.');
});
