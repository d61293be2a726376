import { CommandError, type Backend, type RequestOf } from '../../backend/backend';
import type { Answer as Reply, Event, StopReason } from '../../backend/generated/types';
import { identity, type Answerer } from './answerer';

export type AnswerState = 'waiting' | 'loading' | 'writing' | 'done' | 'failed';

/** What loads, and how far it is. */
export interface Loading {
  what: string;
  done: number;
  total: number | null;
  secondsLeft: number | null;
}

/** Tells when the screen is drawn next; tests draw at once. */
export type OnFrame = (draw: () => void) => () => void;

const onFrame: OnFrame = (draw) => {
  const frame = requestAnimationFrame(draw);
  return () => cancelAnimationFrame(frame);
};

/** One answer of one set of weights, while it comes and after. */
export class Answer {
  readonly by: string;
  readonly of: string;
  text = $state.raw('');
  state = $state<AnswerState>('waiting');
  loading = $state.raw<Loading | null>(null);
  error = $state.raw<CommandError | null>(null);
  /** Numbers of an answer that has ended. */
  reply = $state.raw<Reply | null>(null);
  /** Seconds since it began to write. */
  seconds = $state(0);
  /** Ended by the person before the first token. */
  stopped = $state(false);
  #pending = '';
  #frame: (() => void) | null = null;
  #began = 0;
  #onFrame: OnFrame;

  constructor(answerer: Answerer, name: string, draw: OnFrame = onFrame) {
    this.of = identity(answerer);
    this.by = name;
    this.#onFrame = draw;
  }

  get live(): boolean {
    return this.state === 'waiting' || this.state === 'loading' || this.state === 'writing';
  }

  get stopReason(): StopReason | null {
    return this.stopped ? 'cancelled' : (this.reply?.stop_reason ?? null);
  }

  /** Whether the next question may build on it. */
  get usable(): boolean {
    return this.state === 'done' && this.text !== '';
  }

  /** Asks and follows the answer to its end; refusals stay with it. */
  async ask(backend: Backend, request: RequestOf<'chat'>, signal: AbortSignal): Promise<void> {
    this.state = 'loading';
    try {
      const reply = await backend.call('chat', request, { onEvents: (events) => this.#take(events), signal });
      this.#settle();
      this.text = reply.text;
      this.reply = reply;
      this.seconds = reply.seconds;
      this.state = 'done';
    } catch (thrown) {
      this.#settle();
      const error = CommandError.from(thrown);
      if (error.cancelled) this.cancel();
      else {
        this.error = error;
        this.state = 'failed';
      }
    }
  }

  /** Ended before it began, or while it loaded. */
  cancel(): void {
    this.stopped = true;
    this.state = 'done';
  }

  #take(events: Event[]): void {
    for (const event of events) {
      if (event.type === 'progress') {
        const { what, done, total, seconds_left: secondsLeft } = event;
        this.loading = { what, done, total, secondsLeft };
      } else if (event.type === 'text') this.#pending += event.text;
    }
    if (this.#pending === '') return;
    if (this.#began === 0) this.#began = performance.now();
    // Tokens come faster than the screen: text grows once for each frame.
    this.#frame ??= this.#onFrame(() => this.#draw());
  }

  #draw(): void {
    this.#frame = null;
    this.text += this.#pending;
    this.#pending = '';
    this.seconds = (performance.now() - this.#began) / 1000;
    this.loading = null;
    this.state = 'writing';
  }

  #settle(): void {
    this.#frame?.();
    this.#frame = null;
    this.text += this.#pending;
    this.#pending = '';
    this.loading = null;
  }
}
