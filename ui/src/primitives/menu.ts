import type { Component } from 'svelte';
import type { Shortcut } from '../app/shortcuts';

/** A line of a menu; `separator` draws a hairline. */
export type MenuItem =
  | 'separator'
  | {
      title: string;
      icon?: Component;
      shortcut?: Shortcut;
      tone?: 'danger';
      disabled?: boolean;
      /** Shows a check mark. */
      checked?: boolean;
      run: () => unknown;
    };
