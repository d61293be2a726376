import type { Backend } from '../../backend/backend';
import type { Turn } from '../../backend/generated/types';
import { Answer } from './answer.svelte';
import { family, weightsOf, type Answerer } from './answerer';
import { rememberedSampling, rememberSampling } from './memory-of-choices';
import { greedy, sameSampling, toOptions, type Sampling } from './sampling';

/** The answers of one side to one question: asked again, the earlier ones stay. */
export class Cell {
  versions = $state.raw<Answer[]>([]);
  shown = $state(0);

  get answer(): Answer | null {
    return this.versions[this.shown] ?? null;
  }

  put(answer: Answer): void {
    this.versions = [...this.versions, answer];
    this.shown = this.versions.length - 1;
  }
}

/** A question with the answers of both sides. */
export class Exchange {
  readonly id: number;
  readonly prompt: string;
  cells = $state.raw<[Cell, Cell]>([new Cell(), new Cell()]);

  constructor(id: number, prompt: string) {
    this.id = id;
    this.prompt = prompt;
  }
}

export type Side = 0 | 1;

/** Turns asked of one or two sets of weights. Each side keeps to its own answers. */
export class Conversation {
  readonly id: number;
  answerers = $state.raw<Answerer[]>([]);
  exchanges = $state.raw<Exchange[]>([]);
  system = $state('');
  sampling = $state<Sampling>({ ...greedy });
  /** What sampling goes back to: the experiment's own settings, or greedy. */
  usual = $state.raw<Sampling>(greedy);
  /** What is being typed. */
  draft = $state('');
  /** The side that answers now. */
  at = $state<Side | null>(null);
  /** Said to screen readers when an answer is complete. */
  announcement = $state('');
  #backend: Backend;
  #nameOf: (answerer: Answerer) => string;
  #controller: AbortController | null = null;
  #next = 1;

  constructor(id: number, backend: Backend, nameOf: (answerer: Answerer) => string) {
    this.id = id;
    this.#backend = backend;
    this.#nameOf = nameOf;
  }

  get busy(): boolean {
    return this.at !== null;
  }

  get sides(): Side[] {
    return this.answerers.map((_, side) => side as Side);
  }

  get title(): string {
    return this.exchanges[0]?.prompt.slice(0, 80) ?? 'New conversation';
  }

  /** Sets who answers from here on; what was said stays. */
  choose(answerers: Answerer[], usual: Sampling = this.usual): void {
    this.answerers = answerers;
    this.usual = usual;
    const first = answerers[0];
    if (first) this.sampling = { ...(rememberedSampling(family(first)) ?? usual) };
  }

  /** Takes a side away; the other one keeps its answers. */
  remove(side: Side): void {
    this.stop();
    if (side === 0) for (const exchange of this.exchanges) exchange.cells = [exchange.cells[1], exchange.cells[0]];
  }

  setSampling(sampling: Sampling): void {
    this.sampling = sampling;
    const first = this.answerers[0];
    if (first) rememberSampling(family(first), sameSampling(sampling, this.usual) ? null : sampling);
  }

  async send(prompt: string): Promise<void> {
    if (this.busy || prompt.trim() === '' || this.answerers.length === 0) return;
    const exchange = new Exchange(this.#next++, prompt);
    this.exchanges = [...this.exchanges, exchange];
    await this.#run(exchange, this.sides);
  }

  /** Asks once more: all sides, or one. Only the last question, since later ones build on the answers. */
  async regenerate(sides: Side[] = this.sides): Promise<void> {
    const last = this.exchanges.at(-1);
    if (last && !this.busy) await this.#run(last, sides);
  }

  /** Asks the side that was not there when the question was put. */
  async ask(exchange: Exchange, side: Side): Promise<void> {
    if (!this.busy) await this.#run(exchange, [side]);
  }

  /** Puts another question in the place of an earlier one, and returns the way back. */
  edit(exchange: Exchange, prompt: string): () => void {
    const before = this.exchanges;
    const at = before.indexOf(exchange);
    const other = new Exchange(this.#next++, prompt);
    this.stop();
    this.exchanges = [...before.slice(0, at), other];
    void this.#run(other, this.sides);
    return () => this.restore(before);
  }

  /** Empties it, and returns the way back. */
  clear(): () => void {
    const before = this.exchanges;
    this.stop();
    this.exchanges = [];
    return () => this.restore(before);
  }

  restore(exchanges: Exchange[]): void {
    this.stop();
    this.exchanges = exchanges;
  }

  stop(): void {
    this.#controller?.abort();
  }

  /** What a side is asked: its own earlier answers, and the questions that have one. */
  turnsFor(exchange: Exchange, side: Side): Turn[] {
    const turns: Turn[] = this.system.trim() === '' ? [] : [{ role: 'system', content: this.system }];
    for (const earlier of this.exchanges.slice(0, this.exchanges.indexOf(exchange))) {
      const { answer } = earlier.cells[side];
      if (answer?.usable) turns.push({ role: 'user', content: earlier.prompt }, { role: 'assistant', content: answer.text });
    }
    return [...turns, { role: 'user', content: exchange.prompt }];
  }

  /** The whole of it as text. */
  transcript(): string {
    const parts = this.system.trim() === '' ? [] : [`System: ${this.system}`];
    for (const { prompt, cells } of this.exchanges) {
      parts.push(`You: ${prompt}`);
      for (const side of this.sides) {
        const { answer } = cells[side];
        if (answer?.text) parts.push(`${answer.by}: ${answer.text}`);
      }
    }
    return parts.join('\n\n');
  }

  /** One side after the other: the studio holds the device for one answer at a time. */
  async #run(exchange: Exchange, sides: Side[]): Promise<void> {
    // A run that is being replaced must have let go first.
    this.#controller?.abort();
    const controller = (this.#controller = new AbortController());
    const sampling = toOptions(this.sampling, () => Math.floor(Math.random() * 2 ** 31));
    const asked = sides.map((side) => {
      const answerer = this.answerers[side];
      const answer = new Answer(answerer, this.#nameOf(answerer));
      exchange.cells[side].put(answer);
      return { side, answerer, answer };
    });
    for (const { side, answerer, answer } of asked) {
      if (controller.signal.aborted) {
        answer.cancel();
        continue;
      }
      this.at = side;
      await answer.ask(this.#backend, { ...weightsOf(answerer), turns: this.turnsFor(exchange, side), sampling }, controller.signal);
      if (answer.usable) this.announcement = `${answer.by} answered: ${answer.text.slice(0, 400)}`;
      else if (answer.error) this.announcement = `${answer.by} could not answer: ${answer.error.message}`;
    }
    if (this.#controller !== controller) return;
    this.#controller = null;
    this.at = null;
  }
}
