import { CommandError, type Backend, type CallOptions, type CommandName, type Drawing, type Drop, type FileFilter, type PageMenu, type ReplyOf, type RequestOf } from '../backend';
import { handlers } from './handlers';
import { readScenario, type Context, type Scenario } from './context';

interface Refusal {
  code: string;
  message: string;
  remedy?: string;
  where?: string;
}

const broken: Refusal = {
  code: 'store',
  message: 'the library database refused: database is locked',
  remedy: 'If another program holds attune.db, close it, then try again.',
  where: '/home/ada/.local/share/attune/attune.db',
};

/** Milliseconds of a command's answer, before its own work. */
const latency: Record<Scenario, number> = { 'first-start': 60, working: 60, empty: 60, failing: 60, slow: 4000 };

/** A studio made of memory, for browsers, tests and screenshots. Tests reach it as `window.attune`. */
export class MemoryBackend implements Backend {
  readonly scenario: Scenario = readScenario();
  /** What the window asked of the desktop, newest last. */
  readonly log: { kind: string; detail: string }[] = [];
  /** The menus that the window asked for, each time, newest last. */
  readonly menus: PageMenu[][] = [];
  /** Answers to the next file dialogs, first in first out; an empty queue means a plausible choice. */
  readonly choices: (string[] | null)[] = [];
  #failures = new Map<string, { refusal: Refusal; times: number }>();
  #drop = new Set<(drop: Drop) => void>();
  #open = new Set<(paths: string[]) => void>();
  #menu = new Set<(item: string) => void>();

  constructor() {
    Object.assign(window, { attune: this });
    for (const command of new URLSearchParams(location.search).getAll('fail')) this.fail(command, broken, Infinity);
  }

  /** Makes the next calls of a command fail. */
  fail(command: string, refusal: Refusal = broken, times = 1): void {
    this.#failures.set(command, { refusal, times });
  }

  drop(drop: Drop): void {
    for (const handler of this.#drop) handler(drop);
  }

  openFiles(paths: string[]): void {
    for (const handler of this.#open) handler(paths);
  }

  menu(item: string): void {
    for (const handler of this.#menu) handler(item);
  }

  async call<C extends CommandName>(command: C, request: RequestOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
    const signal = options.signal ?? new AbortController().signal;
    const context: Context = {
      scenario: this.scenario,
      signal,
      emit: (...events) => options.onEvents?.(structuredClone(events)),
      sleep: (milliseconds) => sleep(milliseconds, signal),
    };
    await context.sleep(latency[this.scenario]);
    const failure = this.#failures.get(command);
    if (failure && failure.times > 0) {
      failure.times -= 1;
      throw new CommandError(failure.refusal);
    }
    if (this.scenario === 'failing' && command !== 'settings') throw new CommandError(broken);
    const handler = handlers[command];
    if (!handler) throw new CommandError({ code: 'not-in-memory', message: `the memory backend does not know ${command} yet` });
    // A reply crosses a wire: nobody may share objects with the store.
    return structuredClone(await handler(request, context));
  }

  async chooseFiles(options: { title: string; filters?: FileFilter[]; multiple?: boolean }): Promise<string[]> {
    this.log.push({ kind: 'choose-files', detail: options.title });
    return this.choices.length > 0 ? (this.choices.shift() ?? []) : ['/home/ada/data/orders.jsonl'];
  }

  async chooseFolder(options: { title: string }): Promise<string | null> {
    this.log.push({ kind: 'choose-folder', detail: options.title });
    return this.choices.length > 0 ? (this.choices.shift()?.[0] ?? null) : '/home/ada/models/qwen3-0.6b';
  }

  async chooseSave(options: { title: string; name: string }): Promise<string | null> {
    this.log.push({ kind: 'choose-save', detail: options.title });
    return this.choices.length > 0 ? (this.choices.shift()?.[0] ?? null) : `/home/ada/${options.name}`;
  }

  onDrop(handler: (drop: Drop) => void): () => void {
    return subscribe(this.#drop, handler);
  }

  onOpenFiles(handler: (paths: string[]) => void): () => void {
    return subscribe(this.#open, handler);
  }

  onMenu(handler: (item: string) => void): () => void {
    return subscribe(this.#menu, handler);
  }

  async showMenus(menus: PageMenu[]): Promise<void> {
    this.menus.push(structuredClone(menus));
  }

  /** As the address says: `?drawing=software-blank`. */
  async drawing(): Promise<Drawing | null> {
    const [way, trouble] = new URLSearchParams(location.search).get('drawing')?.split('-') ?? [];
    return way && trouble ? ({ way, trouble } as Drawing) : null;
  }

  async drawAgain(): Promise<void> {
    this.log.push({ kind: 'draw-again', detail: '' });
  }

  async notify(title: string, body: string): Promise<void> {
    this.log.push({ kind: 'notify', detail: `${title}: ${body}` });
  }

  async copy(text: string): Promise<void> {
    this.log.push({ kind: 'copy', detail: text });
  }

  async reveal(path: string): Promise<void> {
    this.log.push({ kind: 'reveal', detail: path });
  }
}

function subscribe<T>(handlers: Set<T>, handler: T): () => void {
  handlers.add(handler);
  return () => handlers.delete(handler);
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  const cancelled = () => new CommandError({ code: 'cancelled', message: 'cancelled' });
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(cancelled());
    const abort = () => {
      clearTimeout(timer);
      reject(cancelled());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', abort, { once: true });
  });
}
