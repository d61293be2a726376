import type { Component } from 'svelte';

/** One of a list to pick from. */
export interface Choice<Value extends string = string> {
  value: Value;
  title: string;
  /** A second line, or what stands at the right. */
  detail?: string;
  icon?: Component;
  disabled?: boolean;
  group?: string;
}
