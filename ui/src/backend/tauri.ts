import { Channel, invoke } from '@tauri-apps/api/core';
import { getCurrentWebview } from '@tauri-apps/api/webview';
import { getCurrentWindow } from '@tauri-apps/api/window';
import { open, save } from '@tauri-apps/plugin-dialog';
import { CommandError, type Backend, type CallOptions, type CommandName, type Drawing, type Drop, type FileFilter, type PageMenu, type ReplyOf, type RequestOf } from './backend';
import type { Event } from './generated/types';

/** Unlistening is asynchronous in Tauri; a handler removed before it was in place must not stay. */
function subscription(listening: Promise<() => void>): () => void {
  let removed = false;
  void listening.then((remove) => removed && remove());
  return () => {
    removed = true;
    void listening.then((remove) => remove());
  };
}

/** The desktop host. The only file that knows Tauri. */
export class TauriBackend implements Backend {
  #calls = 0;

  async call<C extends CommandName>(command: C, request: RequestOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
    const { signal, onEvents } = options;
    if (signal?.aborted) throw new CommandError({ code: 'cancelled', message: 'cancelled' });
    const call = (this.#calls += 1);
    const events = new Channel<Event[]>();
    if (onEvents) events.onmessage = onEvents;
    const interrupt = () => void invoke('interrupt', { call, how: 'pause' }).catch(() => undefined);
    signal?.addEventListener('abort', interrupt, { once: true });
    try {
      return await invoke<ReplyOf<C>>(command, { arguments: request, call, events });
    } catch (thrown) {
      throw CommandError.from(thrown);
    } finally {
      signal?.removeEventListener('abort', interrupt);
    }
  }

  async chooseFiles(options: { title: string; filters?: FileFilter[]; multiple?: boolean }): Promise<string[]> {
    const chosen = await open({ title: options.title, filters: options.filters, multiple: options.multiple ?? false });
    if (chosen === null) return [];
    return Array.isArray(chosen) ? chosen : [chosen];
  }

  async chooseFolder(options: { title: string }): Promise<string | null> {
    return open({ title: options.title, directory: true });
  }

  async chooseSave(options: { title: string; name: string }): Promise<string | null> {
    return save({ title: options.title, defaultPath: options.name });
  }

  onDrop(handler: (drop: Drop) => void): () => void {
    return subscription(
      getCurrentWebview().onDragDropEvent(({ payload }) => {
        if (payload.type === 'leave') return handler({ kind: 'leave', paths: [], x: 0, y: 0 });
        // Tauri reports physical pixels; the page is laid out in logical ones.
        const { x, y } = payload.position.toLogical(window.devicePixelRatio);
        handler({ kind: payload.type, paths: payload.type === 'over' ? [] : payload.paths, x, y });
      }),
    );
  }

  onOpenFiles(handler: (paths: string[]) => void): () => void {
    const listening = getCurrentWindow().listen<string[]>('open-files', ({ payload }) => handler(payload));
    // Files named at the start have waited for this.
    void listening.then(() => invoke('ready')).catch(() => undefined);
    return subscription(listening);
  }

  onMenu(handler: (item: string) => void): () => void {
    return subscription(getCurrentWindow().listen<string>('menu', ({ payload }) => handler(payload)));
  }

  showMenus(menus: PageMenu[]): Promise<void> {
    return this.#run('show_menus', { menus });
  }

  drawing(): Promise<Drawing | null> {
    return this.#run('drawing', {});
  }

  drawAgain(): Promise<void> {
    return this.#run('draw_again', {});
  }

  notify(title: string, body: string): Promise<void> {
    return this.#run('notify', { title, body });
  }

  copy(text: string): Promise<void> {
    return this.#run('copy_text', { text });
  }

  reveal(path: string): Promise<void> {
    return this.#run('reveal', { path });
  }

  async #run<T = void>(command: string, values: Record<string, unknown>): Promise<T> {
    try {
      return await invoke<T>(command, values);
    } catch (thrown) {
      throw CommandError.from(thrown);
    }
  }
}
