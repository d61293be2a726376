import type { RenderedSample, RenderedToken } from '../../backend/generated/types';

/** Tokens drawn together; a browser skips the blocks that are out of view. */
export interface TokenBlock {
  /** Place of its first token in the sample. */
  from: number;
  tokens: RenderedToken[];
}

/** A block ends with the first line that reaches this many tokens, so that no line is torn. */
const blockSize = 160;

export function blocksOf(tokens: readonly RenderedToken[]): TokenBlock[] {
  const blocks: TokenBlock[] = [];
  let from = 0;
  for (let at = 0; at < tokens.length; at += 1) {
    const full = at + 1 - from >= blockSize && tokens[at].text.endsWith('\n');
    if (!full && at + 1 < tokens.length) continue;
    blocks.push({ from, tokens: tokens.slice(from, at + 1) });
    from = at + 1;
  }
  return blocks;
}

/** How a token reads where every character counts: line ends and tabs become signs, and stay what they are. */
export function visibleText({ text }: RenderedToken): string {
  // A part of a character has no text of its own, but still is a token.
  if (text === '') return '◦';
  return text.replace(/\r/g, '␍').replace(/\n/g, '↵\n').replace(/\t/g, '⇥\t');
}

/** What training does with a token, in a word. */
export function fateOf({ trained, stop }: RenderedToken): string {
  return `${trained ? 'trained' : 'masked'}${stop ? ', stop token' : ''}`;
}

/** A token in a sentence, for its tooltip and for screen readers. */
export function nameOf(token: RenderedToken): string {
  if (token.text === '') return 'part of a character';
  return JSON.stringify(token.text);
}

export interface TokenCounts {
  all: number;
  trained: number;
  masked: number;
  stops: number;
}

export function countsOf(tokens: readonly RenderedToken[]): TokenCounts {
  let trained = 0;
  let stops = 0;
  for (const token of tokens) {
    if (token.trained) trained += 1;
    if (token.stop) stops += 1;
  }
  return { all: tokens.length, trained, masked: tokens.length - trained, stops };
}

/** The text exactly as the model reads it. */
export function rawText(sample: RenderedSample): string {
  return sample.tokens.map((token) => token.text).join('');
}
