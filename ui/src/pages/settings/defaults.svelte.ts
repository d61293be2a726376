import type { PreferenceKeeper } from '../../app/preferences.svelte';
import { Resource } from '../../app/resource.svelte';
import type { Toasts } from '../../app/toasts.svelte';
import type { Backend } from '../../backend/backend';
import type { JsonValue, SettingDefinition } from '../../backend/generated/types';
import { sameValue, type Values } from '../../features/settings/setting';

/** A typed number is saved when the typing rests. */
const rest = 300;

/** They differ from one experiment to the next. */
const never = ['experiment_name', 'model', 'dataset'];

/** What new experiments start from, where it is not what Attune would choose. */
export class Defaults {
  readonly definitions: Resource<SettingDefinition[]>;
  /** Chosen from the list, but still as built in. */
  #added = $state.raw<string[]>([]);
  /** Ahead of what is saved. */
  #draft = $state.raw<Values | null>(null);
  #keeper: PreferenceKeeper;
  #toasts: Toasts;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(backend: Backend, keeper: PreferenceKeeper, toasts: Toasts) {
    this.definitions = new Resource((signal) => backend.call('settings', {}, { signal }));
    this.#keeper = keeper;
    this.#toasts = toasts;
  }

  get values(): Values {
    return this.#draft ?? this.#keeper.value?.defaults ?? {};
  }

  /** Those on the page, in the order of the definitions. */
  get shown(): SettingDefinition[] {
    return (this.definitions.value ?? []).filter(({ key }) => key in this.values || this.#added.includes(key));
  }

  /** Those that may be added. */
  get offered(): SettingDefinition[] {
    return (this.definitions.value ?? []).filter((definition) => !definition.required && !never.includes(definition.key) && !this.shown.includes(definition));
  }

  /** Kept by another version: this one does not know what they are. */
  get unknown(): string[] {
    const { value } = this.definitions;
    return value === undefined ? [] : Object.keys(this.values).filter((key) => !value.some((definition) => definition.key === key));
  }

  add(key: string): void {
    if (!this.#added.includes(key)) this.#added = [...this.#added, key];
  }

  set(key: string, value: JsonValue): void {
    // It stays on the page while one tries values, also at its built-in one.
    this.add(key);
    const definition = this.definitions.value?.find((definition) => definition.key === key);
    const { [key]: _, ...others } = this.values;
    this.#draft = definition && sameValue(value, definition.default) ? others : { ...others, [key]: value };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.save(), rest);
  }

  /** Takes one off the page, which gives it its built-in default again. */
  remove(key: string): void {
    this.#added = this.#added.filter((other) => other !== key);
    const { [key]: _, ...others } = this.values;
    this.#draft = others;
    void this.save();
  }

  removeAll(): void {
    const before = this.values;
    this.#added = [];
    this.#draft = {};
    void this.save();
    this.#toasts.undo('New experiments start from the built-in defaults', () => this.#keeper.change({ defaults: before }));
  }

  /** Saves what was changed; also when the page is left. */
  async save(): Promise<void> {
    clearTimeout(this.#timer);
    const draft = this.#draft;
    if (draft === null) return;
    await this.#keeper.change({ defaults: draft });
    // Refused or kept, what is saved now is what there is, unless it has been changed meanwhile.
    if (this.#draft === draft) this.#draft = null;
  }
}
