import type { Commands, Event } from './generated/types';

export type CommandName = keyof Commands;

/** Arguments left out have the defaults that Rust gives them. */
export type RequestOf<C extends CommandName> = Partial<Commands[C]['request']>;
export type ReplyOf<C extends CommandName> = Commands[C]['reply'];

export interface CallOptions {
  /** Reports of the running command, in order, in batches. */
  onEvents?: (events: Event[]) => void;
  /** Aborting cancels the command; training keeps what it has and can be resumed. */
  signal?: AbortSignal;
}

export interface FileFilter {
  name: string;
  extensions: string[];
}

export interface Drop {
  kind: 'enter' | 'over' | 'drop' | 'leave';
  /** Known on `enter` and `drop`. */
  paths: string[];
  x: number;
  y: number;
}

/** A menu of the native menu bar that comes and goes with the page. */
export interface PageMenu {
  title: string;
  /** Lines stand between them. */
  sections: PageMenuItem[][];
}

export interface PageMenuItem {
  /** Comes back through `onMenu`. */
  id: string;
  title: string;
  /** A key of its own, which the menu may take before the page hears of it. */
  shortcut: string | null;
  enabled: boolean;
}

/** Why the window is not drawn in the usual way. */
export interface Drawing {
  /** Pictures are copied through memory, or the processor draws all of it. */
  way: 'copied' | 'software';
  /** A process that draws was ended by a fault, the page never answered, or the window stayed empty. */
  trouble: 'crashed' | 'silent' | 'blank';
}

/** Everything the window can ask of the world. Handlers return the function that removes them. */
export interface Backend {
  call<C extends CommandName>(command: C, request: RequestOf<C>, options?: CallOptions): Promise<ReplyOf<C>>;
  chooseFiles(options: { title: string; filters?: FileFilter[]; multiple?: boolean }): Promise<string[]>;
  chooseFolder(options: { title: string }): Promise<string | null>;
  chooseSave(options: { title: string; name: string }): Promise<string | null>;
  onDrop(handler: (drop: Drop) => void): () => void;
  /** Files opened from the desktop, or by a second start of the program. */
  onOpenFiles(handler: (paths: string[]) => void): () => void;
  /** Ids of the native menu are ids of the window's actions. */
  onMenu(handler: (item: string) => void): () => void;
  /** Shows these menus beside the fixed ones, in place of those shown before. */
  showMenus(menus: PageMenu[]): Promise<void>;
  /** Null where the window is drawn in the usual way. */
  drawing(): Promise<Drawing | null>;
  /** Restarts the program, drawing the window in the usual way. */
  drawAgain(): Promise<void>;
  notify(title: string, body: string): Promise<void>;
  copy(text: string): Promise<void>;
  /** Shows a file in the file manager. */
  reveal(path: string): Promise<void>;
}

/** The one shape of a refusal. Branch on `code`, show the rest as it is. */
export class CommandError extends Error {
  readonly code: string;
  readonly remedy: string | null;
  readonly where: string | null;

  constructor(refusal: { code: string; message: string; remedy?: string | null; where?: string | null }) {
    super(refusal.message);
    this.name = 'CommandError';
    this.code = refusal.code;
    this.remedy = refusal.remedy ?? null;
    this.where = refusal.where ?? null;
  }

  /** Whatever was thrown, in the one shape. */
  static from(thrown: unknown): CommandError {
    if (thrown instanceof CommandError) return thrown;
    if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && 'message' in thrown) {
      return new CommandError(thrown as { code: string; message: string });
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CommandError({ code: 'unexpected', message, remedy: 'Try again. If it stays, report it with what you did before.' });
  }

  /** The person asked for it; nothing to show. */
  get cancelled(): boolean {
    return this.code === 'cancelled';
  }
}
