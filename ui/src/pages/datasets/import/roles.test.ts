import { describe, expect, it } from 'vitest';
import type { Shape } from '../../../backend/generated/types';
import { choiceOf, missing, rolesOf, withRole } from './roles';

const columns = ['id', 'system', 'question', 'context', 'answer', 'messages'];
const shape: Shape = { kind: 'prompt_answer', system: 'system', prompt: ['question', 'context'], separator: '\n\n', answer: 'answer' };

describe('roles of columns', () => {
  it('are those of the shape, and go back to the studio as they came', () => {
    const roles = rolesOf(shape, columns);
    expect(roles).toEqual({ id: 'ignore', system: 'system', question: 'prompt', context: 'prompt', answer: 'answer', messages: 'ignore' });
    expect(choiceOf(roles)).toEqual({ system: 'system', prompt: ['question', 'context'], answer: 'answer', messages: null, text: null });
  });

  it('of instructions are a question in two columns', () => {
    expect(rolesOf({ kind: 'alpaca', instruction: 'a', input: 'b', output: 'c', system: null }, ['a', 'b', 'c'])).toEqual({ a: 'prompt', b: 'prompt', c: 'answer' });
  });

  it('give way when they contradict a new one', () => {
    const roles = rolesOf(shape, columns);
    expect(withRole(roles, 'messages', 'messages')).toEqual({ id: 'ignore', system: 'system', question: 'ignore', context: 'ignore', answer: 'ignore', messages: 'messages' });
    expect(withRole(roles, 'context', 'answer')).toMatchObject({ context: 'answer', answer: 'ignore', question: 'prompt' });
    expect(withRole(roles, 'id', 'text')).toEqual({ id: 'text', system: 'ignore', question: 'ignore', context: 'ignore', answer: 'ignore', messages: 'ignore' });
    expect(withRole(roles, 'id', 'prompt')).toMatchObject({ id: 'prompt', question: 'prompt', context: 'prompt' });
  });

  it('may stand beside messages as the last answer', () => {
    const roles = withRole(rolesOf({ kind: 'messages', column: 'messages', system: null, answer: null }, columns), 'answer', 'answer');
    expect(roles).toMatchObject({ messages: 'messages', answer: 'answer' });
    expect(missing(roles)).toBeNull();
  });

  it('say what is missing', () => {
    const roles = rolesOf(shape, columns);
    expect(missing(roles)).toBeNull();
    expect(missing(withRole(roles, 'answer', 'ignore'))).toMatch(/the answer/);
    expect(missing(withRole(withRole(roles, 'question', 'ignore'), 'context', 'ignore'))).toMatch(/the question/);
  });

  it('name an empty system column when none is wanted, so that none is guessed', () => {
    expect(choiceOf(withRole(rolesOf(shape, columns), 'system', 'ignore')).system).toBe('');
  });
});
