import { describe, expect, it } from 'vitest';
import { readDropped } from './dropped';

describe('what is dropped on the models page', () => {
  it('takes a folder for a model, whatever its name ends in', () => {
    expect(readDropped(['/models/Llama-3.2-3B', '/models/qwen3-0.6b/'])).toEqual({ kind: 'folders', folders: ['/models/Llama-3.2-3B', '/models/qwen3-0.6b'] });
  });

  it('takes the files of a model for their folder, once', () => {
    expect(readDropped(['/m/qwen/config.json', '/m/qwen/model-00001-of-00002.safetensors'])).toEqual({ kind: 'folders', folders: ['/m/qwen'] });
  });

  it('takes a GGUF file for a model of its own', () => {
    expect(readDropped(['/m/qwen-q4.gguf', '/m/qwen-q8.gguf'])).toEqual({ kind: 'folders', folders: ['/m/qwen-q4.gguf', '/m/qwen-q8.gguf'] });
  });

  it('knows weights it cannot read from files that are no model', () => {
    expect(readDropped(['/m/qwen.bin'])).toEqual({ kind: 'unreadable', path: '/m/qwen.bin' });
    expect(readDropped(['/data/orders.jsonl'])).toEqual({ kind: 'other' });
    expect(readDropped(['/photo.jpg'])).toEqual({ kind: 'other' });
  });
});
