import { untrack } from 'svelte';
import type { Activity } from '../../app/activity.svelte';
import { Resource } from '../../app/resource.svelte';
import type { Backend } from '../../backend/backend';
import type { Experiment, Model } from '../../backend/generated/types';
import { format } from '../../app/routes';
import { baseOf, canAnswer, family, fromRoute, nameOf, toRoute, type Answerer, type ChatRoute } from './answerer';
import { Conversation } from './conversation.svelte';
import { rememberAnswerers, rememberedAnswerers } from './memory-of-choices';
import { fromSettings, greedy, type Sampling } from './sampling';

const sessions = new WeakMap<Backend, ChatSession>();

/** The chats of this session of the window; they outlive the page that shows them. */
export function chatSession(backend: Backend, activity: Activity): ChatSession {
  const known = sessions.get(backend) ?? new ChatSession(backend, activity);
  sessions.set(backend, known);
  return known;
}

export class ChatSession {
  conversations = $state.raw<Conversation[]>([]);
  current: Conversation = $state.raw() as Conversation;
  readonly models: Resource<Model[]>;
  #backend: Backend;
  #activity: Activity;
  #next = 1;

  constructor(backend: Backend, activity: Activity) {
    this.#backend = backend;
    this.#activity = activity;
    this.models = new Resource((signal) => backend.call('models_list', {}, { signal }));
    this.current = this.#make();
  }

  get experiments(): Experiment[] {
    return this.#activity.experiments ?? [];
  }

  /** Whether it is known who there is to ask. */
  get ready(): boolean {
    return this.models.value !== undefined && this.#activity.experiments !== undefined;
  }

  /** Those with something said, newest first. */
  get earlier(): Conversation[] {
    return this.conversations.filter((one) => one !== this.current && one.exchanges.length > 0);
  }

  name(answerer: Answerer): string {
    return nameOf(answerer, this.models.value ?? [], this.experiments);
  }

  /** Chooses who answers in the current conversation, and remembers it. */
  async choose(answerers: Answerer[]): Promise<void> {
    const { current } = this;
    const before = current.answerers[0];
    const first = answerers[0];
    const same = before && first && family(before) === family(first);
    current.choose(answerers);
    rememberAnswerers(answerers);
    if (same || !first) return;
    const usual = await this.#usual(first);
    // Another choice may have been made meanwhile.
    if (current.answerers[0] === first) current.choose(current.answerers, usual);
  }

  /** Opens what an address asks for: a conversation with them if there is one, else a new one. */
  open(route: ChatRoute): void {
    untrack(() => {
      const wanted = fromRoute(route, this.experiments);
      if (wanted.length === 0 && this.current.answerers.length > 0) return;
      // An adapter folder stands in no address, so addresses are compared, not weights.
      const address = format(route);
      const known = [this.current, ...this.conversations].find(({ answerers }) => answerers.length > 0 && format(toRoute(answerers)) === address);
      if (known) {
        this.current = known;
        return;
      }
      if (this.current.exchanges.length > 0) this.start();
      void this.choose(wanted.length > 0 ? wanted : this.#preferred());
    });
  }

  /** A fresh conversation with the same partners and system prompt. */
  start(): void {
    const { answerers, system, usual } = this.current;
    const fresh = this.#make();
    fresh.choose(answerers, usual);
    fresh.system = system;
    this.current = fresh;
  }

  show(conversation: Conversation): void {
    this.current = conversation;
  }

  /** The second side: the model under the first, else another that can answer. */
  counterpart(): Answerer | null {
    const first = this.current.answerers[0];
    if (!first) return null;
    const base = baseOf(first, this.experiments);
    if (base) return base;
    const tuned = this.experiments.find((one) => one.model === (first as { model?: string }).model && canAnswer(one));
    if (tuned) return { kind: 'experiment', experiment: tuned.id, checkpoint: null };
    const other = this.models.value?.find((model) => model.facts && model.id !== (first as { model?: string }).model);
    return other ? { kind: 'model', model: other.id } : { ...first };
  }

  #make(): Conversation {
    const conversation = new Conversation(this.#next++, this.#backend, (answerer) => this.name(answerer));
    // Empty ones are not worth keeping.
    this.conversations = [conversation, ...untrack(() => this.conversations).filter((one) => one.exchanges.length > 0)];
    return conversation;
  }

  /** Who answered last if they still exist, else the newest result with its base, else a model. */
  #preferred(): Answerer[] {
    const remembered = rememberedAnswerers();
    if (remembered.length > 0 && remembered.every((one) => this.#exists(one))) return remembered;
    const finished = this.experiments.find((one) => one.state === 'finished' && canAnswer(one));
    if (finished) {
      const tuned: Answerer = { kind: 'experiment', experiment: finished.id, checkpoint: null };
      const base: Answerer = { kind: 'model', model: finished.model };
      return this.#exists(base) ? [tuned, base] : [tuned];
    }
    const model = this.models.value?.find(({ facts }) => facts !== null);
    return model ? [{ kind: 'model', model: model.id }] : [];
  }

  #exists(answerer: Answerer): boolean {
    if (answerer.kind === 'experiment') return this.experiments.some((one) => one.id === answerer.experiment && canAnswer(one));
    return this.models.value?.some((one) => one.id === answerer.model && one.facts !== null) ?? false;
  }

  /** What its settings say about answers; greedy where there are none. */
  async #usual(answerer: Answerer): Promise<Sampling> {
    if (answerer.kind !== 'experiment') return greedy;
    try {
      return fromSettings((await this.#backend.call('experiments_show', { experiment: answerer.experiment })).settings);
    } catch {
      // The answer itself will say what is wrong with the experiment.
      return greedy;
    }
  }
}
