import { describe, expect, it } from 'vitest';
import { prettyJson, segments } from './rendering';

describe('how an answer is set', () => {
  it('lays out an answer that is JSON as a whole, and keeps what is short on its line', () => {
    const [part] = segments('{"items":[{"count":2,"item":"latte","size":"large","extras":["oat milk"]},{"count":1,"item":"scone"}],"name":"Mira"}');
    expect(part.kind).toBe('json');
    expect(part.text).toContain('    { "count": 1, "item": "scone" }');
    expect(JSON.parse(part.text)).toMatchObject({ name: 'Mira' });
  });

  it('leaves numbers and words alone, though they are JSON', () => {
    expect(prettyJson('42')).toBeNull();
    expect(prettyJson('"yes"')).toBeNull();
    expect(segments('42')[0].kind).toBe('text');
  });

  it('shows JSON as it was written where laying it out would change it', () => {
    for (const text of ['{"id": 12345678901234567890}', '{"price": 1.50}', '{"a": 1, "a": 2}']) expect(segments(text)).toEqual([{ kind: 'text', text, language: '' }]);
  });

  it('sets fenced code apart, also while the fence is still open', () => {
    const found = segments('Read it:\n\n```python\nprint("<b>")\n```\n\nDone.');
    expect(found.map(({ kind }) => kind)).toEqual(['text', 'code', 'text']);
    expect(found[1]).toEqual({ kind: 'code', text: 'print("<b>")', language: 'python' });
    expect(segments('```\nunfinished')).toEqual([{ kind: 'code', text: 'unfinished', language: '' }]);
  });

  it('is quick with long text', () => {
    const long = '```js\n'.repeat(3) + 'x `` y '.repeat(20_000);
    const started = performance.now();
    segments(long);
    expect(performance.now() - started).toBeLessThan(200);
  });
});
