import { untrack, type Component } from 'svelte';
import { matches, types, type Shortcut } from './shortcuts';

/** Something a person can do. One definition serves the palette, the keyboard and the native menu. */
export interface Action {
  /** Also the id of the native menu's item: `experiment.new`. */
  id: string;
  title: string;
  /** Heading in the palette: `Go to`, `Experiment`. */
  group?: string;
  shortcut?: Shortcut;
  icon?: Component;
  /** Other words a person may look for. */
  keywords?: string;
  /** Kept out of the palette; still has its shortcut and menu item. */
  hidden?: boolean;
  /** Works while a dialog is open; the others wait behind it. */
  modal?: boolean;
  /** Whether it can be done now. */
  when?: () => boolean;
  run: () => unknown;
}

/** Somebody who can do something: the frame, a page, a part of a page. */
interface Source {
  list: () => Action[];
  /** Whether it stays when the page goes. */
  frame: boolean;
  /** Grows in the order in which components are made: a page comes before its parts. */
  number: number;
}

interface Listed {
  action: Action;
  source: Source;
  /** Whether it can be done now. */
  possible: boolean;
}

export class Actions {
  #sources = $state.raw<Source[]>([]);
  #made = 0;
  #failed: (thrown: unknown) => void;

  constructor(failed: (thrown: unknown) => void) {
    this.#failed = failed;
  }

  /** Each id once, what was registered last first. */
  get #listed(): Listed[] {
    const seen = new Set<string>();
    return this.#sources
      .flatMap((source) => source.list().map((action) => ({ action, source })))
      .filter(({ action }) => !seen.has(action.id) && seen.add(action.id))
      .map(({ action, source }) => ({ action, source, possible: action.when?.() ?? true }));
  }

  /** Those that can be done now; what was registered last comes first and wins a shortcut. */
  get available(): Action[] {
    return this.#listed.filter(({ possible }) => possible).map(({ action }) => action);
  }

  /** Those of the page that is open, in the order of its parts, and whether they can be done now. */
  get ofPage(): { action: Action; possible: boolean }[] {
    return this.#listed.filter(({ source }) => !source.frame).sort((one, other) => one.source.number - other.source.number);
  }

  /** A list of actions to add. It is read anew each time. */
  source(list: () => Action[], frame = false): Source {
    this.#made += 1;
    return { list, frame, number: this.#made };
  }

  /** Adds actions until the returned function is called. */
  add(source: Source): () => void {
    // An effect that registers must not depend on what is registered.
    untrack(() => (this.#sources = [source, ...this.#sources]));
    return () => {
      untrack(() => (this.#sources = this.#sources.filter((other) => other !== source)));
    };
  }

  find(id: string): Action | undefined {
    return this.available.find((action) => action.id === id);
  }

  /** Does it, if it can be done now. */
  run(id: string): boolean {
    const action = this.find(id);
    if (!action) return false;
    void this.#do(action);
    return true;
  }

  /** Does what a native menu's item stands for. */
  choose(id: string): void {
    const action = this.find(id);
    if (!action || (behindDialog() && !action.modal)) return;
    void this.#do(action);
  }

  /** Does what a key press stands for. */
  press(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing) return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    const typing = target?.matches('input:not([type=checkbox], [type=radio], [type=range]), textarea, [contenteditable=true]') ?? false;
    const action = this.available.find(({ shortcut }) => shortcut !== undefined && matches(shortcut, event) && !(typing && types(shortcut)));
    if (!action || (behindDialog() && !action.modal)) return;
    event.preventDefault();
    void this.#do(action);
  }

  async #do(action: Action): Promise<void> {
    try {
      await action.run();
    } catch (thrown) {
      this.#failed(thrown);
    }
  }
}

/** A dialog owns the window; only its own controls may act, and what says that it may. */
function behindDialog(): boolean {
  return document.querySelector('[role=dialog][data-modal], [role=alertdialog]') !== null;
}
