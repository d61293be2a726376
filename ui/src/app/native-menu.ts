import type { Backend, PageMenu, PageMenuItem } from '../backend/backend';
import type { Action, Actions } from './actions.svelte';
import { keysOf, types, type Shortcut } from './shortcuts';

/** What the native menu holds of the page: its actions, in menus named like their groups. */
export function pageMenus(actions: Pick<Actions, 'available' | 'ofPage'>): PageMenu[] {
  const winners = new Map<Shortcut, string>();
  for (const { id, shortcut } of actions.available) {
    if (shortcut !== undefined && !winners.has(shortcut)) winners.set(shortcut, id);
  }
  const menus: PageMenu[] = [];
  const families = new Map<PageMenu, string>();
  for (const { action, possible } of actions.ofPage) {
    const title = action.group ?? 'Page';
    let menu = menus.find((menu) => menu.title === title);
    if (!menu) menus.push((menu = { title, sections: [] }));
    const family = familyOf(action.id);
    if (families.get(menu) !== family) menu.sections.push([]);
    families.set(menu, family);
    // Two items with the same keys would leave it to chance which one is done.
    const wins = action.shortcut !== undefined && (winners.get(action.shortcut) ?? action.id) === action.id;
    menu.sections.at(-1)?.push({ ...named(action, wins), id: action.id, enabled: possible });
  }
  return menus;
}

/** `run.charts` of `run.charts.log`: a line stands where the menu goes over to another family. */
function familyOf(id: string): string {
  return id.slice(0, id.lastIndexOf('.'));
}

/** A menu takes its keys before the page has them, so one that types is only named: the page hears it by itself. */
function named({ title, shortcut }: Action, wins: boolean): Pick<PageMenuItem, 'title' | 'shortcut'> {
  if (shortcut === undefined || !wins) return { title, shortcut: null };
  return types(shortcut) ? { title: `${title} (${keysOf(shortcut).join(' ')})`, shortcut: null } : { title, shortcut };
}

/** Parts of a page come and go one by one, and leave moments that nobody should see in a menu. */
const rest = 80;

/** Keeps the native menu true to the page, in few steps: each one wakes the host. */
export class NativeMenu {
  #backend: Pick<Backend, 'showMenus'>;
  #wanted: PageMenu[] = [];
  #shown: string | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(backend: Pick<Backend, 'showMenus'>) {
    this.#backend = backend;
  }

  show(menus: PageMenu[]): void {
    this.#wanted = menus;
    this.#timer ??= setTimeout(() => void this.#send(), rest);
  }

  async #send(): Promise<void> {
    const wanted = JSON.stringify(this.#wanted);
    if (wanted !== this.#shown) {
      this.#shown = wanted;
      try {
        await this.#backend.showMenus(this.#wanted);
      } catch (thrown) {
        // The page works without; the next change is another try.
        console.error('the menu cannot follow the page', thrown);
      }
    }
    // Only now another may be sent: an earlier menu must not arrive after a later one.
    this.#timer = null;
    if (JSON.stringify(this.#wanted) !== this.#shown) this.show(this.#wanted);
  }
}
