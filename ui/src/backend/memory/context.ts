import type { CommandName, ReplyOf, RequestOf } from '../backend';
import type { Event } from '../generated/types';

export const scenarios = ['first-start', 'working', 'empty', 'failing', 'slow'] as const;
export type Scenario = (typeof scenarios)[number];

/** What a handler is given beside its arguments. */
export interface Context {
  scenario: Scenario;
  signal: AbortSignal;
  emit(...events: Event[]): void;
  /** Rejects with `cancelled` when the caller aborts. */
  sleep(milliseconds: number): Promise<void>;
}

/** A feature area exports one object of these; `handlers.ts` joins them. */
export type Handlers = {
  [C in CommandName]?: (request: RequestOf<C>, context: Context) => ReplyOf<C> | Promise<ReplyOf<C>>;
};

/** `?scenario=` of the address; a library in use without it. */
export function readScenario(search = location.search): Scenario {
  const asked = new URLSearchParams(search).get('scenario');
  return scenarios.find((scenario) => scenario === asked) ?? 'working';
}

/** The moment the data of this folder is written for: the page's start, so that "2 h ago" stays true. */
export const now = Math.floor(Date.now() / 1000);
