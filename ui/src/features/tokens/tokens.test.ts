import { describe, expect, it } from 'vitest';
import type { RenderedToken } from '../../backend/generated/types';
import { blocksOf, countsOf, fateOf, nameOf, visibleText } from './tokens';

const token = (text: string, more: Partial<RenderedToken> = {}): RenderedToken => ({ id: 1, text, trained: false, stop: false, ...more });

describe('blocks', () => {
  it('hold every token once, in order, and never tear a line', () => {
    const tokens = Array.from({ length: 3_000 }, (_, at) => token(at % 70 === 69 ? '\n' : `w${at}`));
    const blocks = blocksOf(tokens);
    expect(blocks.flatMap((block) => block.tokens)).toEqual(tokens);
    expect(blocks.every((block) => tokens[block.from] === block.tokens[0])).toBe(true);
    expect(blocks.slice(0, -1).every((block) => block.tokens.at(-1)?.text === '\n')).toBe(true);
    expect(blocks.length).toBeGreaterThan(10);
  });

  it('keep a line without an end together, and know nothing of nothing', () => {
    expect(blocksOf(Array.from({ length: 900 }, () => token('a')))).toHaveLength(1);
    expect(blocksOf([])).toEqual([]);
  });
});

describe('a token', () => {
  it('shows what cannot be seen, and still breaks the line', () => {
    expect(visibleText(token('.\n\n'))).toBe('.↵\n↵\n');
    expect(visibleText(token('\t'))).toBe('⇥\t');
    expect(visibleText(token(''))).toBe('◦');
    expect(visibleText(token(' flat'))).toBe(' flat');
  });

  it('is named with its whitespace', () => {
    expect(nameOf(token(' flat'))).toBe('" flat"');
    expect(nameOf(token('\n'))).toBe('"\\n"');
    expect(nameOf(token(''))).toBe('part of a character');
  });

  it('is trained or masked, and both may stop', () => {
    expect(fateOf(token('a', { trained: true }))).toBe('trained');
    expect(fateOf(token('a', { stop: true }))).toBe('masked, stop token');
    expect(countsOf([token('a'), token('b', { trained: true }), token('c', { trained: true, stop: true })])).toEqual({ all: 3, trained: 2, masked: 1, stops: 1 });
  });
});
