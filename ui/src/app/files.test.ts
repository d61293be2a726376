import { describe, expect, it } from 'vitest';
import { asData, mayBeFolder, refusal } from './files';

describe('dropped files', () => {
  it('are data by their type, whatever its case', () => {
    expect(asData(['/a/Müller & Söhne.CSV', '/a/photo.jpg', 'C:\\data\\orders.jsonl', '/a/notes'])).toEqual(['/a/Müller & Söhne.CSV', 'C:\\data\\orders.jsonl']);
  });

  it('may be a folder when their name has no type, and a version is none', () => {
    expect(['/models/qwen3-0.6B', '/models/Llama-3.2', '/models/starter'].every(mayBeFolder)).toBe(true);
    expect(['/a/model.safetensors', '/a/orders.csv', '/a/clip.mp4'].some(mayBeFolder)).toBe(false);
  });

  it('are refused with the reason and the remedy', () => {
    expect(refusal(['/a/model.safetensors']).title).toBe('model.safetensors is a model, not data');
    expect(refusal(['/a/model.safetensors']).detail).toMatch(/folder/);
    expect(refusal(['/a/sheet.xlsx']).detail).toMatch(/CSV/);
    expect(refusal(['/a/what.xyz']).title).toBe('what.xyz cannot become a dataset');
    expect(refusal(['/a/a.png', '/a/b.png'])).toMatchObject({ title: 'None of these 2 files can become a dataset' });
  });
});
