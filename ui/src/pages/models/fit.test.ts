import { describe, expect, it } from 'vitest';
import { verdict } from './fit';

const fit = (method: string, gigabytes: number, fits: boolean) => ({ method, title: method, bytes: gigabytes * 1e9, fits });

describe('whether a model fits', () => {
  it('names the methods that do, the most exact of a kind', () => {
    expect(verdict([fit('lora', 2, true), fit('lora_bfloat16', 1, true), fit('full', 9, true)], 27e9)).toMatchObject({ fits: true, text: 'LoRA · full' });
    expect(verdict([fit('lora', 30, false), fit('lora_bfloat16', 12, true), fit('full', 90, false)], 27e9)).toMatchObject({ fits: true, text: '16-bit LoRA' });
  });

  it('says by how much the smallest method is too large', () => {
    expect(verdict([fit('lora', 30, false), fit('lora_bfloat16', 28, false), fit('qlora', 12, true)], 27e9)).toMatchObject({ fits: true, text: 'QLoRA' });
    expect(verdict([fit('lora', 40, false), fit('lora_bfloat16', 30.1, false)], 27e9)).toMatchObject({ fits: false, text: 'Too large by 3.1 GB' });
  });

  it('claims nothing it does not know', () => {
    expect(verdict([], 27e9)).toBeNull();
    expect(verdict([fit('lora', 40, false)], null)?.text).toBe('Too large');
  });
});
