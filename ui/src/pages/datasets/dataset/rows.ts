import type { Conversation, Role } from '../../../backend/generated/types';

/** A conversation as a line of the table. */
export interface ConversationRow {
  index: number;
  conversation: Conversation;
  system: string;
  user: string;
  assistant: string;
  turns: number;
  characters: number;
}

/** More than a line ever shows; a text of a megabyte would make scrolling slow. */
const most = 300;

export function rowOf(conversation: Conversation, index: number): ConversationRow {
  const first = (...roles: Role[]) => conversation.turns.find((turn) => roles.includes(turn.role))?.content.slice(0, most) ?? '';
  return {
    index, conversation,
    system: first('system'),
    user: first('user', 'text'),
    assistant: first('assistant'),
    turns: conversation.turns.length,
    characters: conversation.turns.reduce((sum, turn) => sum + turn.content.length, 0),
  };
}
