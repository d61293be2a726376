import { getContext, setContext } from 'svelte';

/** What a control takes from the Field around it. */
export interface FieldContext {
  readonly id: string;
  readonly labelId: string;
  readonly describedBy: string | undefined;
  readonly invalid: boolean;
  readonly required: boolean;
}

const key = Symbol('field');

export const provideField = (field: FieldContext) => setContext(key, field);
export const useField = (): FieldContext | undefined => getContext(key);
