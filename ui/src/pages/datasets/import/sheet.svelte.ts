import { CommandError, type Backend } from '../../../backend/backend';
import type { DatasetReport, Event, Inspection, ProblemKind } from '../../../backend/generated/types';
import { fileName } from '../../../format';
import { countsOf, optional } from './counts';
import { choiceOf, missing, noChoice, rolesOf, withRole, type ColumnRole, type Roles } from './roles';

export type ImportProgress = Extract<Event, { type: 'progress' }>;

/** How long a change waits for the next one before the file is read again. */
const settle = 350;

/** One file on its way into the library: what is in it, and what was chosen. */
export class ImportSheet {
  readonly path: string;
  name = $state('');
  member = $state<string | null>(null);
  columns = $state.raw(noChoice);
  maxLength = $state<number | null>(null);
  holdOut = $state(0);
  chosen = $state.raw<readonly ProblemKind[]>([]);
  found = $state.raw<Inspection | undefined>(undefined);
  error = $state.raw<CommandError | null>(null);
  checking = $state(false);
  importing = $state(false);
  progress = $state.raw<ImportProgress | null>(null);
  done = $state.raw<DatasetReport | null>(null);
  #draft = $state.raw<Roles | null>(null);
  #model: string | null = null;
  #controller: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #backend: Backend;

  constructor(backend: Backend, path: string) {
    this.#backend = backend;
    this.path = path;
    this.name = fileName(path).replace(/(\.(csv|tsv|txt|jsonl?|ndjson|parquet|zip|gz))+$/i, '');
  }

  get file(): string {
    return fileName(this.path);
  }

  get roles(): Roles {
    return this.#draft ?? (this.found ? rolesOf(this.found.shape, this.found.columns.map(({ name }) => name)) : {});
  }

  /** What the columns still lack. */
  get missing(): string | null {
    return this.#draft ? missing(this.#draft) : null;
  }

  /** The limit in force: the chosen one, else the one that was measured with. */
  get limit(): number | null {
    return this.maxLength ?? this.found?.lengths?.max_length ?? null;
  }

  /** The kinds left out by choice that there are. */
  get leaveOut(): ProblemKind[] {
    return (this.found?.problems ?? []).map(({ kind }) => kind).filter((kind) => optional.includes(kind) && this.chosen.includes(kind));
  }

  get counts() {
    return this.found ? countsOf(this.found, this.leaveOut, this.holdOut) : null;
  }

  /** Whether what is shown is not yet what was chosen. */
  get stale(): boolean {
    return this.found !== undefined && (this.checking || this.missing !== null);
  }

  get ready(): boolean {
    return this.counts !== null && this.counts.kept > 0 && !this.checking && !this.importing && this.missing === null && this.error === null;
  }

  /** Looks at the file under a model; once for each. */
  under(model: string | null): void {
    if (this.found && this.#model === model) return;
    if (this.#model === model && (this.checking || this.error)) return;
    this.#model = model;
    void this.check();
  }

  setRole(column: string, role: ColumnRole): void {
    this.#draft = withRole(this.roles, column, role);
    if (missing(this.#draft) !== null) return this.#hold();
    this.columns = choiceOf(this.#draft);
    this.#soon();
  }

  setMember(member: string): void {
    this.member = member;
    // Another file has other columns.
    this.columns = noChoice;
    this.#draft = null;
    void this.check();
  }

  setLimit(limit: number): void {
    this.maxLength = limit;
    this.#soon();
  }

  setLeftOut(kind: ProblemKind, out: boolean): void {
    this.chosen = out ? [...this.chosen, kind] : this.chosen.filter((other) => other !== kind);
  }

  /** Reads by names that were typed, where nothing could be guessed. */
  nameColumns(names: { prompt: string; answer: string; text: string }): void {
    const prompt = names.prompt.split(',').map((name) => name.trim()).filter(Boolean);
    this.columns = { ...noChoice, prompt, answer: names.answer.trim() || null, text: names.text.trim() || null };
    void this.check();
  }

  async check(): Promise<void> {
    this.#hold();
    const controller = (this.#controller = new AbortController());
    this.checking = true;
    this.progress = null;
    const { path, member, columns, maxLength } = this;
    const request = { path, member, columns, model: this.#model, max_length: maxLength };
    try {
      const found = await this.#backend.call('data_check', request, { signal: controller.signal, onEvents: this.#follow });
      if (controller !== this.#controller) return;
      this.found = found;
      this.error = null;
      this.#draft = null;
    } catch (thrown) {
      if (controller !== this.#controller) return;
      this.error = CommandError.from(thrown);
    }
    this.checking = false;
    this.progress = null;
  }

  /** Brings it into the library; undefined when it was cancelled or refused, which `error` says. */
  async bringIn(): Promise<DatasetReport | undefined> {
    const controller = (this.#controller = new AbortController());
    this.importing = true;
    this.progress = null;
    const { path, member, columns, maxLength, leaveOut: leave_out, holdOut: hold_out } = this;
    const request = { path, member, columns, model: this.#model, max_length: maxLength, leave_out, hold_out, name: this.name.trim() || null };
    try {
      this.done = await this.#backend.call('data_import', request, { signal: controller.signal, onEvents: this.#follow });
      return this.done;
    } finally {
      this.importing = false;
      this.progress = null;
    }
  }

  /** Ends what goes on. */
  cancel(): void {
    this.#controller?.abort();
  }

  #follow = (events: Event[]) => {
    for (const event of events) if (event.type === 'progress') this.progress = event;
  };

  #soon(): void {
    this.#hold();
    this.checking = true;
    this.#timer = setTimeout(() => void this.check(), settle);
  }

  #hold(): void {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
    this.checking = false;
  }
}
