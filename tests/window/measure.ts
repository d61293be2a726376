/** Figures that the tests of the window print and keep. */

import { appendFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Window } from './application';

export function figure(what: string, value: number, unit: string): void {
  const folder = resolve('test-results');
  mkdirSync(folder, { recursive: true });
  appendFileSync(resolve(folder, 'window-figures.jsonl'), `${JSON.stringify({ what, value, unit })}\n`);
  console.log(`figure: ${what}: ${value.toFixed(unit === 'ms' ? 0 : 2)} ${unit}`);
}

/** When a process began, in milliseconds since 1970; exact to 10 ms. */
export function startOf(pid: number): number {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const started = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19]) / 100;
  return Date.now() - (uptime - started) * 1000;
}

function family(pid: number): number[] {
  const parents = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const parent = Number(readFileSync(`/proc/${entry}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]);
      parents.set(parent, [...(parents.get(parent) ?? []), Number(entry)]);
    } catch {
      // It ended while we looked.
    }
  }
  const all = [pid];
  for (const one of all) all.push(...(parents.get(one) ?? []));
  return all;
}

/** Resident memory of the program and its web processes, shared pages counted once; megabytes. */
export function memory(window: Window): { all: number; program: number; processes: number } {
  const of = (pid: number) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1000;
  const pids = family(window.pid);
  return { all: pids.map(of).reduce((sum, one) => sum + one, 0), program: of(window.pid), processes: pids.length };
}

/** Starts to watch how long the page's main thread does not come to its turn. */
export function watchPauses(window: Window): Promise<void> {
  return window.page.execute(`
    let turn = performance.now();
    window.turns = [];
    // A turn every few milliseconds, so that watching is not itself the load.
    const look = () => {
      const now = performance.now();
      window.turns.push(now - turn);
      turn = now;
      window.watching = setTimeout(look, 4);
    };
    look();`);
}

/** The longest that a turn was late, and how many were later than 50 ms. */
export async function pauses(window: Window): Promise<{ longest: number; over: number; turns: number }> {
  return window.page.execute(`clearTimeout(window.watching); const late = window.turns.slice(1).map((turn) => Math.max(0, turn - 4)); return { longest: Math.max(...late), over: late.filter((turn) => turn > 50).length, turns: late.length };`);
}
