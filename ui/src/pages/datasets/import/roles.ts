import type { ColumnChoice, Shape } from '../../../backend/generated/types';

export type ColumnRole = 'prompt' | 'answer' | 'system' | 'messages' | 'text' | 'ignore';
export type Roles = Readonly<Record<string, ColumnRole>>;

/** Nothing chosen: everything is guessed. */
export const noChoice: ColumnChoice = { system: null, prompt: [], answer: null, messages: null, text: null };

/** What each column is in a shape. */
export function rolesOf(shape: Shape, columns: readonly string[]): Roles {
  const roles: Record<string, ColumnRole> = Object.fromEntries(columns.map((column) => [column, 'ignore']));
  const set = (column: string | null | undefined, role: ColumnRole) => {
    if (column) roles[column] = role;
  };
  switch (shape.kind) {
    case 'messages':
    case 'share_gpt':
      set(shape.column, 'messages');
      set(shape.answer, 'answer');
      break;
    case 'alpaca':
      set(shape.instruction, 'prompt');
      set(shape.input, 'prompt');
      set(shape.output, 'answer');
      break;
    case 'prompt_answer':
      for (const column of shape.prompt) set(column, 'prompt');
      set(shape.answer, 'answer');
      break;
    case 'text':
      set(shape.column, 'text');
  }
  if (shape.kind !== 'text') set(shape.system, 'system');
  return roles;
}

/** Which roles cannot stand beside a role, or beside a second of their own. */
const excluded: Record<ColumnRole, readonly ColumnRole[]> = {
  prompt: ['messages', 'text'],
  answer: ['answer', 'text'],
  system: ['system'],
  messages: ['messages', 'prompt', 'answer', 'text'],
  text: ['text', 'prompt', 'answer', 'system', 'messages'],
  ignore: [],
};

/** The roles after a column took another one; those that contradict it give way. */
export function withRole(roles: Roles, column: string, role: ColumnRole): Roles {
  const next = Object.entries(roles).map(([name, has]) => [name, name === column ? role : excluded[role].includes(has) ? 'ignore' : has] as const);
  return Object.fromEntries(next);
}

/** What is still needed before rows make conversations; null when nothing is. */
export function missing(roles: Roles): string | null {
  const has = (role: ColumnRole) => Object.values(roles).includes(role);
  if (has('text') || has('messages')) return null;
  if (has('prompt')) return has('answer') ? null : 'Choose the column with the answer.';
  return has('answer') ? 'Choose the column with the question.' : 'Choose the columns with question and answer, a column of messages, or one of plain text.';
}

/** The roles as the studio takes them. */
export function choiceOf(roles: Roles): ColumnChoice {
  const all = (role: ColumnRole) => Object.keys(roles).filter((column) => roles[column] === role);
  const one = (role: ColumnRole) => all(role).at(0) ?? null;
  // Without a name for it the system column would be guessed again; an empty name means none.
  return { system: one('text') ? null : (one('system') ?? ''), prompt: all('prompt'), answer: one('answer'), messages: one('messages'), text: one('text') };
}
