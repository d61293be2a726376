import type { Conversation, Experiment } from '../generated/types';
import type { ExperimentRecord } from './experiments';
import { findDataset, datasetConversations } from './datasets';
import { generator, validationLoss } from './simulation';

export interface HeldOut {
  row: number;
  prompt: string;
  answer: string;
  conversation: Conversation;
}

/** The rows a run does not train on: spread over its dataset, as a shuffle would. */
export function heldOut({ plan, course }: ExperimentRecord, atMost = Infinity): HeldOut[] {
  const { dataset, values } = plan;
  const of = values.validation_dataset ? findDataset(String(values.validation_dataset)) : dataset;
  const wanted = Math.min(course.held, atMost);
  const apart = values.validation_dataset ? 1 : Math.max(1, Math.floor(of.conversations / Math.max(1, course.held)));
  return Array.from({ length: wanted }, (_, at) => at * apart + (apart > 1 ? (at * 7) % apart : 0)).flatMap((row) => {
    const [conversation] = datasetConversations(of, row, 1);
    const last = conversation?.turns.at(-1);
    if (!conversation || !last) return [];
    const prompt = conversation.turns.filter(({ role }) => role === 'user').at(-1)?.content ?? '';
    return [{ row, prompt, answer: last.role === 'assistant' ? last.content : '', conversation }];
  });
}

/** How much of what there is to learn a run has learnt after a step, 0 to 1. */
export function learnt(experiment: Experiment, { course }: ExperimentRecord, step: number): number {
  if (step === 0) return 0;
  const span = course.from - course.to;
  return Math.max(0, Math.min(1, (course.from - validationLoss(experiment.id, course, step)) / span));
}

/** What a model says to a held-out question: courtesy before tuning, the answer after it, and mistakes on the way. */
export function answerTo(question: HeldOut, experiment: Experiment, share: number): string {
  if (share < 0.12) return untuned(question);
  const random = generator(`${experiment.dataset}#${question.row}`);
  const difficulty = 0.3 + 0.75 * random() ** 1.6;
  if (share > difficulty) return question.answer;
  return mistaken(question.answer, random(), Math.ceil((difficulty - share) * 6));
}

/** What a model says that has only read the world: helpful, and not in the shape that was wanted. */
function untuned({ prompt, answer }: HeldOut): string {
  if (answer.startsWith('{')) return `Gladly: ${prompt.charAt(0).toLowerCase()}${prompt.slice(1).replace(/, please,.*$/, '')}. We will have it ready for you.`;
  const total = /#### (\d+)/.exec(answer)?.[1];
  if (total) return `Let's work this out step by step.\n\nFirst we find out how much is taken in a day, then we multiply it by the number of days.\n\n**${total} dollars**`;
  return `Thank you for your message. I am an assistant and I am here to help you with that. Could you tell me more about what you need?`;
}

/** The answer with something wrong in it. */
function mistaken(answer: string, chance: number, faults: number): string {
  if (answer.startsWith('{')) {
    if (faults > 2) return answer.slice(0, Math.round(answer.length * (0.45 + 0.4 * chance)));
    if (faults > 1) return answer.replace(/"note": "[^"]*"/, '"note": ""').replace(/"table": \d+/, `"table": ${1 + Math.floor(chance * 12)}`);
    return answer.replace(/"quantity": \d+/, (text) => (text.endsWith('1') ? '"quantity": 2' : '"quantity": 1'));
  }
  if (/####/.test(answer)) {
    const wrong = answer.replace(/= (\d+)>>\d+/, '= $1>>$1').replace(/(\d+)$/, (total) => String(Number(total) + 2 * Math.ceil(chance * 9)));
    return faults > 2 ? wrong.split('\n').slice(0, 1).join('\n') : wrong;
  }
  const sentences = answer.match(/[^.!?。]+[.!?。]?/gu) ?? [answer];
  return faults > 1 ? `${sentences[0].trim()} Please let us know whether this helps.` : sentences.slice(0, -1).join('').trim() || `${answer} Thank you.`;
}
