import { expect, test } from 'vitest';
import { unusedName } from './starter.svelte';

test('a second first run has another name', () => {
  expect(unusedName('First run', [])).toBe('First run');
  expect(unusedName('First run', ['First run', 'First run 3'])).toBe('First run 2');
  expect(unusedName('First run', ['First run', 'First run 2'])).toBe('First run 3');
});
