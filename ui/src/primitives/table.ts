import type { Snippet } from 'svelte';

/** A column of a VirtualTable. */
export interface TableColumn<Row> {
  key: string;
  title: string;
  /** A grid track: `120px`, `minmax(160px, 2fr)`; an equal share without one. */
  width?: string;
  align?: 'start' | 'end';
  sortable?: boolean;
  /** Set in the mono face with tabular figures. */
  number?: boolean;
  text?: (row: Row) => string;
  cell?: Snippet<[Row]>;
}

export interface TableSort {
  key: string;
  direction: 'ascending' | 'descending';
}
