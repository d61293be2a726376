import ClipboardCopy from '@lucide/svelte/icons/clipboard-copy';
import Eraser from '@lucide/svelte/icons/eraser';
import MessageSquare from '@lucide/svelte/icons/message-square';
import type { Application } from '../../app/context.svelte';
import type { MenuItem } from '../../primitives';
import { toRoute, type Answerer } from './answerer';
import type { Exchange, Side } from './conversation.svelte';
import type { ChatSession } from './session.svelte';

/** What can be done on the chat page, for its buttons, its menu and the palette. */
export class ChatCommands {
  /** Whether the sampling panel is open. */
  sampling = $state(false);
  #session: ChatSession;
  #application: Application;

  constructor(session: ChatSession, application: Application) {
    this.#session = session;
    this.#application = application;
  }

  get comparing(): boolean {
    return this.#session.current.answerers.length > 1;
  }

  get menu(): MenuItem[] {
    const { current, earlier } = this.#session;
    const nothing = current.exchanges.length === 0;
    const items: MenuItem[] = [
      { title: 'Copy the conversation', icon: ClipboardCopy, disabled: nothing, run: () => this.copy() },
      { title: 'Clear the conversation', icon: Eraser, disabled: nothing, run: () => this.clear() },
    ];
    if (earlier.length === 0) return items;
    const title = (text: string) => (text.length > 48 ? `${text.slice(0, 48)}…` : text);
    return [...items, 'separator', ...earlier.slice(0, 8).map((one) => ({ title: title(one.title), icon: MessageSquare, run: () => this.#show(one) }))];
  }

  /** The address says who answers, so that a reload and the way back find them. */
  async choose(side: Side, answerer: Answerer): Promise<void> {
    const { current } = this.#session;
    await this.#set(side === 0 ? [answerer, ...current.answerers.slice(1)] : [current.answerers[0], answerer]);
  }

  async compare(): Promise<void> {
    const { current } = this.#session;
    if (current.busy) current.stop();
    const other = this.comparing ? null : this.#session.counterpart();
    await this.#set(other ? [current.answerers[0], other] : current.answerers.slice(0, 1));
  }

  /** Takes one side away; the other stays. */
  async remove(side: Side): Promise<void> {
    const { current } = this.#session;
    current.remove(side);
    await this.#set(current.answerers.filter((_, at) => at !== side));
  }

  start(): void {
    this.#session.start();
  }

  edit(exchange: Exchange, prompt: string): void {
    const { current } = this.#session;
    const replaced = current.exchanges.length - current.exchanges.indexOf(exchange) - 1;
    const undo = current.edit(exchange, prompt);
    this.#application.toasts.undo(replaced === 0 ? 'Replaced the question' : 'Replaced the question and what followed', undo);
  }

  clear(): void {
    this.#application.toasts.undo('Cleared the conversation', this.#session.current.clear());
  }

  async copy(): Promise<void> {
    const { backend, toasts } = this.#application;
    try {
      await backend.copy(this.#session.current.transcript());
      toasts.show('Copied the conversation');
    } catch (thrown) {
      toasts.error(thrown);
    }
  }

  #show(conversation: ChatSession['current']): void {
    this.#session.show(conversation);
    this.#application.navigation.replace(toRoute(conversation.answerers));
  }

  async #set(answerers: Answerer[]): Promise<void> {
    const chosen = this.#session.choose(answerers);
    this.#application.navigation.replace(toRoute(answerers));
    await chosen;
  }
}
