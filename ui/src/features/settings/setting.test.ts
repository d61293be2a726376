import { describe, expect, test } from 'vitest';
import { definitions } from '../../backend/memory/settings';
import { applies, found, sameValue, stepFromZero, upTo, valueText, whyNot } from './setting';

const of = (key: string) => {
  const definition = definitions.find((one) => one.key === key);
  if (!definition) throw new Error(key);
  return definition;
};

describe('settings', () => {
  test('a condition on nothing is met by nothing', () => {
    expect(applies(of('validation_size'), { validation_dataset: null })).toBe(true);
    expect(applies(of('validation_size'), { validation_dataset: 'held' })).toBe(false);
    expect(whyNot(of('validation_size'), definitions)).toBe('Only without validation dataset.');
    expect(whyNot(of('lora_r'), definitions)).toBe('Only with LoRA.');
  });

  test('values read as a person would write them', () => {
    expect(valueText(of('lora_init'), 'pissa')).toBe('PiSSA');
    expect(valueText(of('optimizer'), 'AdamW8bit')).toBe('AdamW8bit');
    expect(valueText(of('learning_rate'), 0.0001)).toBe('1e-4');
    expect(valueText(of('packing'), true)).toBe('on');
    expect(valueText(of('stop_tokens'), [])).toBe('none');
    expect(valueText(of('backbone_dtype'), 'bfloat16')).toBe('bfloat16');
    expect(valueText(of('save_checkpoint'), 'best')).toBe('Best');
    expect(valueText(of('max_length'), 131_072)).toBe('131\u202f072');
  });

  test('a setting is found by the name that H2O LLM Studio gives it, and by several words in any order', () => {
    expect(definitions.filter((one) => found(one, 'llm_backbone')).map(({ key }) => key)).toEqual(['model']);
    expect(found(of('gradient_checkpointing'), 'memory recomputing')).toBe(true);
    expect(found(of('gradient_checkpointing'), 'memory zebra')).toBe(false);
  });

  test('levels include those below', () => {
    expect(upTo('basic')(of('weight_decay'))).toBe(false);
    expect(upTo('expert')(of('epochs'))).toBe(true);
  });

  test('lists are the same by what they hold', () => {
    expect(sameValue(['q_proj'], ['q_proj'])).toBe(true);
    expect(sameValue(['q_proj'], ['v_proj'])).toBe(false);
    expect(sameValue(null, undefined)).toBe(true);
  });

  test('from zero a number moves by a hundredth of its range, not by one', () => {
    expect(stepFromZero(of('weight_decay').kind)).toBeCloseTo(0.01);
    expect(stepFromZero(of('gradient_clip').kind)).toBeCloseTo(0.1);
  });
});
