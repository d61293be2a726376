/** A stretch of an answer against another text: in both, only here, or only there. */
export interface Piece {
  text: string;
  kind: 'same' | 'added' | 'missing';
}

/** Longer texts are compared by line, so that the comparison stays quick. */
const manyWords = 1_500;

/** What `text` has that `reference` has not, and the other way round, word by word. */
export function difference(reference: string, text: string): Piece[] {
  if (reference === text) return text === '' ? [] : [{ text, kind: 'same' }];
  let [from, to] = [words(reference), words(text)];
  if (from.length > manyWords || to.length > manyWords) [from, to] = [lines(reference), lines(text)];
  if (from.length > manyWords || to.length > manyWords) return join([{ text: reference, kind: 'missing' }, { text, kind: 'added' }]);
  return join(pieces(from, to));
}

/** Whether two texts have enough in common for their difference to say more than either text. */
export function alike(pieces: Piece[]): boolean {
  const length = (kinds: Piece['kind'][]) => pieces.reduce((sum, { text, kind }) => sum + (kinds.includes(kind) ? text.replace(/\s/g, '').length : 0), 0);
  return length(['same']) >= 0.4 * Math.max(1, length(['same', 'added']));
}

const words = (text: string): string[] => text.match(/\s+|[\p{L}\p{N}_]+|./gsu) ?? [];
const lines = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+/g) ?? [];

/** Longest common subsequence, the plain table. */
function pieces(from: string[], to: string[]): Piece[] {
  const width = to.length + 1;
  const table = new Uint16Array((from.length + 1) * width);
  for (let row = from.length - 1; row >= 0; row -= 1) {
    for (let column = to.length - 1; column >= 0; column -= 1) {
      const at = row * width + column;
      table[at] = from[row] === to[column] ? table[at + width + 1] + 1 : Math.max(table[at + width], table[at + 1]);
    }
  }
  const result: Piece[] = [];
  let [row, column] = [0, 0];
  while (row < from.length || column < to.length) {
    const at = row * width + column;
    if (row < from.length && column < to.length && from[row] === to[column]) {
      result.push({ text: from[row], kind: 'same' });
      row += 1;
      column += 1;
    } else if (row < from.length && (column === to.length || table[at + width] >= table[at + 1])) {
      result.push({ text: from[row], kind: 'missing' });
      row += 1;
    } else {
      result.push({ text: to[column], kind: 'added' });
      column += 1;
    }
  }
  return result;
}

function join(list: Piece[]): Piece[] {
  const result: Piece[] = [];
  for (const piece of list) {
    const last = result.at(-1);
    if (piece.text === '') continue;
    if (last?.kind === piece.kind) last.text += piece.text;
    else result.push({ ...piece });
  }
  return result;
}
