import { CommandError, type Backend } from '../../backend/backend';
import type { ColumnChoice, Conversation, RenderedSample } from '../../backend/generated/types';

/** Where conversations come from, and how they are to be seen. */
export interface ReaderInput {
  source: { dataset: string } | { path: string; columns: ColumnChoice; member: string | null };
  /** Without one there are no tokens. */
  model: string | null;
  maxLength: number | null;
  total: number;
  /** Of a file, what is known without a model. */
  known?: Conversation[];
}

export type ReaderView = 'conversation' | 'tokens' | 'raw';

/** Conversations fetched at once. */
const portion = 8;

/** Reads conversations one at a time, those beside it in advance. */
export class SampleReader {
  index = $state(0);
  view = $state<ReaderView>('conversation');
  input = $state.raw<ReaderInput | null>(null);
  error = $state.raw<CommandError | null>(null);
  loading = $state(false);
  /** Where the template comes from. */
  template = $state.raw<string | null>(null);
  #samples = $state.raw<ReadonlyMap<number, RenderedSample>>(new Map());
  /** What was shown last, until what is wanted has come. */
  #last = $state.raw<RenderedSample | undefined>(undefined);
  #key = '';
  #asked = new Set<number>();
  #controller = new AbortController();
  #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get total(): number {
    return this.input?.total ?? 0;
  }

  get sample(): RenderedSample | undefined {
    return this.#samples.get(this.index) ?? this.#last;
  }

  /** Whether what is shown is not yet what is wanted. */
  get stale(): boolean {
    return this.#samples.get(this.index) === undefined;
  }

  /** Tokens need a model. */
  get views(): ReaderView[] {
    return this.input?.model ? ['conversation', 'tokens', 'raw'] : ['conversation'];
  }

  get shownView(): ReaderView {
    return this.views.includes(this.view) ? this.view : 'conversation';
  }

  /** Takes another source or way of seeing; the place is kept. */
  show(input: ReaderInput | null): void {
    const key = JSON.stringify([input?.source, input?.model, input?.maxLength]);
    this.input = input;
    this.index = Math.max(0, Math.min(this.index, this.total - 1));
    if (key !== this.#key) {
      this.#last = this.sample;
      this.#key = key;
      this.#samples = new Map();
      this.#forget();
    }
    void this.#fetch();
  }

  go(index: number): void {
    // Before anything is shown, a place is all there is.
    if (this.input === null) this.index = index;
    const next = Math.max(0, Math.min(this.total - 1, index));
    if (next === this.index || this.total === 0) return;
    this.#last = this.sample;
    this.index = next;
    void this.#fetch();
  }

  step(by: number): void {
    this.go(this.index + by);
  }

  retry(): void {
    this.#forget();
    void this.#fetch();
  }

  cancel(): void {
    this.#forget();
  }

  #forget(): void {
    this.#controller.abort();
    this.#controller = new AbortController();
    this.#asked.clear();
    this.error = null;
    this.loading = false;
  }

  async #fetch(): Promise<void> {
    if (!this.input || this.total === 0) return;
    const wanted = Math.floor(this.index / portion);
    await this.#portion(wanted);
    if (this.error) return;
    // Whoever steps on should not have to wait.
    for (const beside of [Math.floor((this.index + 3) / portion), Math.floor(Math.max(0, this.index - 3) / portion)]) {
      if (beside * portion < this.total) void this.#portion(beside);
    }
  }

  async #portion(number: number): Promise<void> {
    if (!this.input || this.#asked.has(number)) return;
    this.#asked.add(number);
    const { signal } = this.#controller;
    const first = number * portion;
    this.loading = true;
    try {
      const samples = await this.#read(this.input, first, signal);
      if (signal.aborted) return;
      const all = new Map(this.#samples);
      for (const sample of samples) all.set(sample.row, sample);
      this.#samples = all;
    } catch (thrown) {
      const error = CommandError.from(thrown);
      if (signal.aborted || error.cancelled) return;
      this.#asked.delete(number);
      if (Math.floor(this.index / portion) === number) this.error = error;
    }
    this.loading = false;
  }

  async #read(input: ReaderInput, first: number, signal: AbortSignal): Promise<RenderedSample[]> {
    const { source, model, maxLength: max_length } = input;
    if (model) {
      const reply = await this.#backend.call('data_preview', { ...source, model, max_length, first, count: portion }, { signal });
      if (!signal.aborted) this.template = reply.template;
      return reply.samples;
    }
    const said = 'dataset' in source ? (await this.#backend.call('data_show', { ...source, first, count: portion }, { signal })).conversations : (input.known ?? []).slice(first, first + portion);
    return said.map((conversation, at) => ({ row: first + at, conversation, tokens: [], cut: 0, problem: null }));
  }
}
