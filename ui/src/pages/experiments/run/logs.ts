import type { Level, LogLine } from '../../../backend/generated/types';

export type LogFilter = 'all' | Level;

export function filtered(lines: LogLine[], filter: LogFilter, search: string): LogLine[] {
  const words = search.trim().toLowerCase();
  return lines.filter((line) => (filter === 'all' || line.level === filter) && (words === '' || line.message.toLowerCase().includes(words)));
}

const two = (value: number) => String(value).padStart(2, '0');

/** `14:03:07`, in the time of this place. */
export function clock(time: number): string {
  const at = new Date(time * 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `Thursday, 12 November 2026`: stands where the day changes. */
export function day(time: number): string {
  return new Date(time * 1000).toLocaleDateString('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
}

/** As a file would hold them. */
export function plain(lines: LogLine[]): string {
  return lines.map(({ time, level, message }) => `${new Date(time * 1000).toISOString()} ${level.padEnd(7)} ${message}`).join('\n');
}

/** Where a text holds the words, for marking: even pieces are plain, odd ones are found. */
export function pieces(text: string, search: string): string[] {
  const words = search.trim().toLowerCase();
  if (words === '') return [text];
  const result: string[] = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(words); at >= 0; at = lower.indexOf(words, from)) {
    result.push(text.slice(from, at), text.slice(at, at + words.length));
    from = at + words.length;
  }
  result.push(text.slice(from));
  return result;
}
