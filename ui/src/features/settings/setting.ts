import type { JsonValue, SettingDefinition, SettingKind } from '../../backend/generated/types';
import { count } from '../../format';
import { numberText } from '../../primitives/number-text';

export type Values = Record<string, JsonValue>;

export const levels = ['basic', 'advanced', 'expert'] as const;
export type SettingLevel = (typeof levels)[number];

/** What a number counts, where its title does not say it. */
const units: Record<string, string> = {
  max_length: 'tokens',
  max_length_inference: 'tokens',
  max_steps: 'steps',
  checkpoint_steps: 'steps',
  evaluation_epochs: 'epochs',
  warmup_epochs: 'epochs',
};

export const unitOf = (definition: SettingDefinition): string | undefined => units[definition.key];

export function sameValue(one: JsonValue | undefined, other: JsonValue | undefined): boolean {
  if (Array.isArray(one) && Array.isArray(other)) return one.length === other.length && one.every((part, at) => sameValue(part, other[at]));
  return (one ?? null) === (other ?? null);
}

/** Choices whose field writes them otherwise than by a first capital. */
const written: Record<string, string> = { pissa: 'PiSSA', nf4: 'NF4' };

/** A choice as it reads in a sentence: `Last`, but `bfloat16`. */
export const choiceTitle = (choice: string): string => written[choice] ?? (/\d/.test(choice) ? choice : choice.charAt(0).toUpperCase() + choice.slice(1));

/** A value in words: `on`, `2e-4`, `every linear layer`. */
export function valueText(definition: SettingDefinition, value: JsonValue | undefined): string {
  if (value === null || value === undefined || value === '') return 'none';
  switch (definition.kind.type) {
    case 'switch':
      return value === true ? 'on' : 'off';
    case 'integer':
      return typeof value === 'number' ? count(value) : String(value);
    case 'number':
      return typeof value === 'number' ? numberText(value) : String(value);
    case 'choice':
      return choiceTitle(String(value));
    case 'list':
      return Array.isArray(value) && value.length > 0 ? value.join(', ') : 'none';
    default:
      return String(value);
  }
}

/** The range of a number, for people; nothing for other kinds. */
export function rangeText(kind: SettingKind): string | undefined {
  if (kind.type === 'integer') return `${count(kind.min)} to ${count(kind.max)}`;
  if (kind.type === 'number') return `${numberText(kind.min)} to ${numberText(kind.max)}`;
  return undefined;
}

/** The step of a number that stands at zero, where its own magnitude says nothing. */
export function stepFromZero(kind: SettingKind): number | undefined {
  return kind.type === 'number' ? 10 ** Math.floor(Math.log10((kind.max - kind.min) / 100) + 1e-9) : undefined;
}

export const isOptional = (definition: SettingDefinition): boolean => definition.default === null && !definition.required;

/** Whether a setting matters with the other values as they are. */
export function applies(definition: SettingDefinition, values: Values): boolean {
  const condition = definition.applies_when;
  return condition === null || sameValue(values[condition.key], condition.value);
}

/** Why a setting does not matter now, in a sentence. */
export function whyNot(definition: SettingDefinition, definitions: SettingDefinition[]): string {
  const condition = definition.applies_when;
  if (condition === null) return '';
  const other = definitions.find(({ key }) => key === condition.key);
  const title = other?.title ?? condition.key;
  if (condition.value === true) return `Only with ${title}.`;
  if (condition.value === false || condition.value === null) return `Only without ${title === 'LoRA' ? title : title.charAt(0).toLowerCase() + title.slice(1)}.`;
  return `Only when ${title} is ${other ? valueText(other, condition.value) : String(condition.value)}.`;
}

/** Whether each word stands in the setting's title, key, help, group or the name H2O LLM Studio gives it. */
export function found(definition: SettingDefinition, query: string): boolean {
  const text = [definition.title, definition.key, definition.key.replaceAll('_', ' '), definition.help, definition.group, definition.h2o_name ?? ''].join(' ').toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** Settings up to a level, under their headings, in the order of the list. */
export function grouped(definitions: SettingDefinition[]): { title: string; settings: SettingDefinition[] }[] {
  const groups = new Map<string, SettingDefinition[]>();
  for (const definition of definitions) groups.set(definition.group, [...(groups.get(definition.group) ?? []), definition]);
  return [...groups].map(([title, settings]) => ({ title, settings }));
}

export const upTo = (level: SettingLevel) => (definition: SettingDefinition): boolean => levels.indexOf(definition.level as SettingLevel) <= levels.indexOf(level);
