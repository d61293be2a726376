import { CommandError, type Backend } from '../../../backend/backend';
import type { Dataset, Experiment, JsonValue, Model, SettingDefinition, Suggestion } from '../../../backend/generated/types';
import { Resource } from '../../../app/resource.svelte';
import { sameValue, type Values } from '../../../features/settings/setting';

export type Method = 'lora' | 'lora_bfloat16' | 'lora_int8' | 'qlora' | 'full';

/** What each method holds the weights as. */
const weights: Record<Method, string> = { lora: 'float32', lora_bfloat16: 'bfloat16', lora_int8: 'int8', qlora: 'nf4', full: 'float32' };

/** What there is to choose from, read together: the form needs all of it or nothing. */
interface Library {
  definitions: SettingDefinition[];
  datasets: Dataset[];
  models: Model[];
  /** The person's own defaults. */
  preferred: Values;
}

/** Settings that have a place of their own above the list. */
export const placed = ['experiment_name', 'dataset', 'model', 'lora'];

/** The experiment that is being set up. It is kept for the session, so that leaving the page loses nothing. */
export class ExperimentForm {
  library: Resource<Library>;
  /** What differs from where a new experiment starts. */
  changes = $state.raw<Values>({});
  /** The run whose settings were taken over. */
  source = $state.raw<Experiment | null>(null);
  /** The last refusal to start. */
  refused = $state.raw<CommandError | null>(null);
  sourceError = $state.raw<CommandError | null>(null);
  starting = $state(false);
  #backend: Backend;
  #preselected = false;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.library = new Resource(async (signal) => {
      const [definitions, datasets, models, preferences] = await Promise.all([
        backend.call('settings', {}, { signal }),
        backend.call('data_list', {}, { signal }),
        backend.call('models_list', {}, { signal }),
        // Without them a run can be set up all the same, and the frame has told of it.
        backend.call('preferences', {}, { signal }).catch(() => null),
      ]);
      return { definitions, datasets, models, preferred: preferences?.defaults ?? {} };
    });
  }

  get definitions(): SettingDefinition[] {
    return this.library.value?.definitions ?? [];
  }

  get preferred(): Values {
    return this.library.value?.preferred ?? {};
  }

  /** Where a new experiment starts: the person's own default, else the built-in one. */
  base(key: string): JsonValue {
    return this.preferred[key] ?? this.definitions.find((definition) => definition.key === key)?.default ?? null;
  }

  /** Every setting as the run would have it. */
  values = $derived.by<Values>(() => {
    const built = Object.fromEntries(this.definitions.map(({ key, default: value }) => [key, value]));
    return { ...built, ...this.preferred, ...this.changes };
  });

  /** What is sent: only what differs from the built-in defaults, so that the studio keeps its own. */
  settings = $derived.by<Values | null>(() => {
    const settings = { ...this.preferred, ...this.changes };
    return this.dataset && this.model ? settings : null;
  });

  get dataset(): Dataset | undefined {
    return this.library.value?.datasets.find(({ id }) => id === this.values.dataset);
  }

  get model(): Model | undefined {
    // A run that is duplicated may name a folder.
    const { model } = this.values;
    return this.library.value?.models.find(({ id, folder, problem }) => (id === model || folder === model) && problem === null);
  }

  get name(): string {
    return typeof this.values.experiment_name === 'string' ? this.values.experiment_name : '';
  }

  /** The name the studio gives without one. */
  get givenName(): string {
    return this.dataset && this.model ? `${this.dataset.name} ${this.model.name}` : 'Named after dataset and model';
  }

  get method(): Method {
    if (this.values.lora === false) return 'full';
    const held = this.values.backbone_dtype;
    return held === 'float32' ? 'lora' : held === 'int8' ? 'lora_int8' : held === 'nf4' ? 'qlora' : 'lora_bfloat16';
  }

  set method(method: Method) {
    this.change({ lora: method !== 'full', backbone_dtype: weights[method] });
  }

  isChanged(key: string): boolean {
    return key in this.changes && !sameValue(this.changes[key], this.base(key));
  }

  get changedCount(): number {
    return Object.keys(this.changes).filter((key) => key !== 'dataset' && key !== 'model' && this.isChanged(key)).length;
  }

  change(values: Values): void {
    const next = { ...this.changes };
    for (const [key, value] of Object.entries(values)) {
      if (sameValue(value, this.base(key)) && key !== 'dataset' && key !== 'model') delete next[key];
      else next[key] = value;
    }
    this.changes = next;
    if (this.refused?.where && this.refused.where in values) this.refused = null;
  }

  apply(suggestion: Suggestion): void {
    this.change(suggestion.settings);
  }

  /** Everything but the dataset and the model goes back to where a new experiment starts. */
  reset(): void {
    const { dataset, model } = this.changes;
    this.changes = { ...(dataset && { dataset }), ...(model && { model }) };
    this.source = null;
    this.refused = null;
  }

  clear(): void {
    this.changes = {};
    this.source = null;
    this.refused = null;
    this.#preselected = false;
  }

  /** What stands in the address, and what there is only one of. */
  async arrive(route: { dataset?: string; model?: string; from?: string }): Promise<void> {
    if (route.from && route.from !== this.source?.id) await this.#duplicate(route.from);
    if (route.dataset) this.change({ dataset: route.dataset });
    if (route.model) this.change({ model: route.model });
    this.#preselect();
  }

  #preselect(): void {
    const library = this.library.value;
    if (!library || this.#preselected) return;
    this.#preselected = true;
    const usable = library.models.filter(({ problem }) => problem === null);
    if (!this.values.dataset && library.datasets.length === 1) this.change({ dataset: library.datasets[0].id });
    if (!this.values.model && usable.length === 1) this.change({ model: usable[0].id });
  }

  async #duplicate(id: string): Promise<void> {
    try {
      const [{ experiment, settings }, all] = await Promise.all([this.#backend.call('experiments_show', { experiment: id }), this.#backend.call('experiments_list', {})]);
      this.changes = {};
      this.change({ ...settings, experiment_name: nextName(experiment.name, all.map(({ name }) => name)) });
      this.source = experiment;
      this.sourceError = null;
    } catch (thrown) {
      this.sourceError = CommandError.from(thrown);
    }
  }
}

/** `Tone` → `Tone 2` → `Tone 3`, but `Rank 16` → `Rank 16 (2)`: a number counts copies only where the name without it is taken. */
export function nextName(name: string, taken: string[]): string {
  const [, before, , behind] = /^(.*?) (\((\d+)\)|\d+)$/s.exec(name) ?? [];
  const base = before !== undefined && (behind !== undefined || taken.includes(before)) ? before : name;
  const numbered = (number: number) => (/\d$/.test(base) ? `${base} (${number})` : `${base} ${number}`);
  let number = 2;
  while (taken.includes(numbered(number))) number += 1;
  return numbered(number);
}

let kept: { backend: Backend; form: ExperimentForm } | undefined;

/** The one form of the session. */
export function keptForm(backend: Backend): ExperimentForm {
  // What it derives would end with the page that made it, were it not at home in a root of its own.
  if (kept?.backend !== backend) $effect.root(() => void (kept = { backend, form: new ExperimentForm(backend) }));
  return (kept as { form: ExperimentForm }).form;
}
