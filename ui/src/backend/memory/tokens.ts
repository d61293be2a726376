import type { Conversation, RenderedSample, RenderedToken } from '../generated/types';

/** Pieces as a vocabulary of some 50 000 would make them: short words whole, long ones in parts. */
const piece = /<\|[a-z_]+\|>| ?[a-zäöüßé]{1,6}(?![a-zäöüßé])| ?[a-zäöüßé]{1,4}|[ \t]+|\n+|\d|[\p{L}\p{M}]|\p{Extended_Pictographic}\ufe0f?|(?:(?!<\|)[^\s\p{L}\d]){1,3}/giu;

function number(text: string): number {
  let hash = 17;
  for (const character of text) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 49_000;
  return hash + 256;
}

interface Part {
  text: string;
  trained: boolean;
}

function parts(conversation: Conversation): Part[] {
  return conversation.turns.flatMap(({ role, content }): Part[] => {
    if (role === 'text') return [{ text: content, trained: true }, { text: '<|im_end|>', trained: true }];
    const answers = role === 'assistant';
    return [
      { text: `<|im_start|>${role}\n`, trained: false },
      { text: `${content}<|im_end|>`, trained: answers },
      { text: '\n', trained: false },
    ];
  });
}

/** How many tokens a conversation has, and how many of them are learnt. */
export function measure(conversation: Conversation): { tokens: number; trained: number } {
  let tokens = 0;
  let trained = 0;
  for (const part of parts(conversation)) {
    const count = part.text.match(piece)?.length ?? 0;
    tokens += count;
    if (part.trained) trained += count;
  }
  return { tokens, trained };
}

function tokens(conversation: Conversation, everything: boolean): RenderedToken[] {
  return parts(conversation).flatMap(({ text, trained }) =>
    (text.match(piece) ?? []).flatMap((text): RenderedToken[] => {
      const token = { id: number(text), text, trained: trained || everything, stop: (trained || everything) && text === '<|im_end|>' };
      // A picture takes several tokens; the last completes it.
      if (/\p{Extended_Pictographic}/u.test(text)) return [{ ...token, id: 176, text: '' }, { ...token, id: 223, text: '' }, token];
      return [token];
    }),
  );
}

export function rendered(row: number, conversation: Conversation, maximum = 512, everything = false): RenderedSample {
  const all = tokens(conversation, everything);
  const kept = all.slice(0, maximum);
  const problem = kept.some((token) => token.trained)
    ? null
    : { code: 'sample-nothing-trained', message: `no answer lies within the first ${maximum} of ${all.length} tokens`, remedy: 'Raise the maximum length, or leave the row out.', where: null };
  return { row, conversation, tokens: kept, cut: all.length - kept.length, problem };
}
