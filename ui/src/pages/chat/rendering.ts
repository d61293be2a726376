/** A part of an answer: prose, or code that is set in the mono face. */
export interface Segment {
  kind: 'text' | 'code' | 'json';
  text: string;
  /** The word after the fence. */
  language: string;
}

/** An object or a list, laid out; null for anything else, so that a plain "42" stays text. */
export function prettyJson(text: string): string | null {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return null;
  try {
    return layOut(JSON.parse(trimmed), '');
  } catch {
    return null;
  }
}

/** As a person writes JSON: what is short stays on its line. */
function layOut(value: unknown, indent: string): string {
  const flat = spaced(value);
  if (typeof value !== 'object' || value === null || indent.length + flat.length <= 60) return flat;
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const parts = Array.isArray(value) ? value.map((one) => layOut(one, inner)) : Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${layOut(one, inner)}`);
  return `${open}\n${parts.map((part) => inner + part).join(',\n')}\n${indent}${close}`;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${spaced(one)}`);
    return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  }
  return JSON.stringify(value);
}

/** Fenced code apart from the prose around it. Numbers beyond JavaScript's stay as written: only raw text is exact. */
export function segments(text: string): Segment[] {
  const whole = prettyJson(text);
  if (whole !== null && exact(text)) return [{ kind: 'json', text: whole, language: 'json' }];
  const found: Segment[] = [];
  const fence = /^(`{3,}|~{3,})([^\n`]*)\n([\s\S]*?)(?:^\1[ \t]*$|(?![\s\S]))/gm;
  let end = 0;
  for (const match of text.matchAll(fence)) {
    prose(text.slice(end, match.index));
    found.push({ kind: 'code', text: match[3].replace(/\n$/, ''), language: match[2].trim() });
    end = match.index + match[0].length;
  }
  prose(text.slice(end));
  return found;

  function prose(part: string): void {
    const trimmed = part.replace(/^\n+|\s+$/g, '');
    if (trimmed !== '') found.push({ kind: 'text', text: trimmed, language: '' });
  }
}

/** Whether reading and writing it changes no value, as it would a number with too many digits. */
function exact(text: string): boolean {
  const bare = (json: string) => json.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (part) => (part.startsWith('"') ? JSON.stringify(JSON.parse(part)) : ''));
  try {
    return bare(text) === JSON.stringify(JSON.parse(text));
  } catch {
    return false;
  }
}
