/** Groups digits as the window does: thin, and never broken across lines. */
export const thinSpace = '\u202f';
const minus = '\u2212';

function group(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, thinSpace);
}

function signed(value: number, text: string): string {
  return value < 0 && /[1-9]/.test(text) ? minus + text : text;
}

function fixed(value: number, digits: number): string {
  const [whole, part] = Math.abs(value).toFixed(digits).split('.');
  return signed(value, part ? `${group(whole)}.${part}` : group(whole));
}

/** `7 473` */
export function count(value: number): string {
  return fixed(value, 0);
}

/** `1 row`, `7 473 rows` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${Math.abs(value) === 1 ? one : many}`;
}

/** A number with so many decimals: `0.61` */
export function decimal(value: number, digits = 2): string {
  return fixed(value, digits);
}

/** Three digits that matter, as a loss is read: `2.31`, `0.083`, `0.0041` */
export function loss(value: number): string {
  if (!Number.isFinite(value)) return value !== value ? 'not a number' : value < 0 ? `${minus}∞` : '∞';
  const size = Math.abs(value);
  if (size >= 100) return fixed(value, 0);
  if (size >= 10) return fixed(value, 1);
  if (size >= 0.1) return fixed(value, size >= 1 ? 2 : 3);
  if (size >= 0.001) return fixed(value, size >= 0.01 ? 3 : 4);
  return size === 0 ? '0' : scientific(value);
}

/** `2e-4`, `1.5e-5`: as one types it into the field. */
export function scientific(value: number): string {
  if (value === 0) return '0';
  const [mantissa, exponent] = value.toExponential(2).split('e');
  return `${signed(value, String(Math.abs(Number(mantissa))))}e${exponent.replace('+', '').replace('-', '-')}`;
}

/** `9.2 GB`; 1 GB is 1 000 000 000 bytes, as disks and memory are sold. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let size = Math.abs(value);
  let unit = 0;
  while (unit < units.length - 1 && size >= (unit === 0 ? 1000 : 999.5)) {
    size /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && size < 99.95 ? 1 : 0;
  const text = size.toFixed(digits).replace(/\.0$/, '');
  return `${signed(value, text)} ${units[unit]}`;
}

/** `596 M`, `3.2 B`: parameters and tokens. */
export function short(value: number): string {
  const units = ['', ' k', ' M', ' B', ' T'];
  let size = Math.abs(value);
  let unit = 0;
  while (unit < units.length - 1 && size >= 999.5) {
    size /= 1000;
    unit += 1;
  }
  const text = unit > 0 && size < 99.95 ? size.toFixed(1).replace(/\.0$/, '') : size.toFixed(0);
  return signed(value, text) + units[unit];
}

/** `134 tok/s` */
export function tokenRate(perSecond: number): string {
  return `${perSecond < 10 ? fixed(perSecond, 1) : count(perSecond)} tok/s`;
}

/** `42 %`, `3.4 %` below ten where it says something */
export function percent(fraction: number, digits = 0): string {
  return `${fixed(fraction * 100, digits)}${thinSpace}%`;
}

/** `0.8 s`, `42 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h` */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${fixed(Math.max(0, seconds), 1).replace(/\.0$/, '')} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), 'm', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'm');
  const hours = Math.round(whole / 3600);
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${count(large)} ${largeUnit}` : `${count(large)} ${largeUnit} ${small} ${smallUnit}`;
}

/** `about 4 min left`: an estimate, so never more exact than it is. */
export function timeLeft(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '';
  if (seconds < 10) return 'a few seconds left';
  if (seconds < 55) return `about ${Math.round(seconds / 10) * 10} s left`;
  if (seconds < 59.5 * 60) return `about ${Math.max(1, Math.round(seconds / 60))} min left`;
  const hours = seconds / 3600;
  if (hours < 9.75) return `about ${String(Math.round(hours * 2) / 2)} h left`;
  if (hours < 47.5) return `about ${Math.round(hours)} h left`;
  return `about ${Math.round(hours / 24)} days left`;
}

const day = 24 * 3600;

/** `just now`, `5 min ago`, `2 h ago`, `yesterday`, `3 days ago`, then the date. Seconds since 1970. */
export function ago(time: number, now = Date.now() / 1000): string {
  const past = now - time;
  if (past < 45) return 'just now';
  if (past < 3570) return `${Math.max(1, Math.round(past / 60))} min ago`;
  const days = calendarDays(time, now);
  if (days === 0 || past < 6 * 3600) return `${Math.round(past / 3600)} h ago`;
  if (days === 1) return 'yesterday';
  if (days < 7) return `${days} days ago`;
  return date(time, now);
}

function calendarDays(time: number, now: number): number {
  const midnight = (at: number) => new Date(at * 1000).setHours(0, 0, 0, 0) / 1000;
  return Math.round((midnight(now) - midnight(time)) / day);
}

/** `12 Nov`, with the year when it is another one. */
export function date(time: number, now = Date.now() / 1000): string {
  const at = new Date(time * 1000);
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const text = `${at.getDate()} ${months[at.getMonth()]}`;
  return at.getFullYear() === new Date(now * 1000).getFullYear() ? text : `${text} ${at.getFullYear()}`;
}

/** `12 Nov 2026, 14:03`: for tooltips behind a relative time. */
export function exactTime(time: number): string {
  const at = new Date(time * 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date(time, 0)}, ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The last part of a path. */
export function fileName(path: string): string {
  return path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
}
