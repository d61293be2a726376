import type { Evaluation, EvaluationRow, Experiment, KeptEvaluation, LoggedEvent, LogLine, Weights } from '../generated/types';
import { CommandError, type RequestOf } from '../backend';
import { readScenario, type Context, type Handlers } from './context';
import { datasetConversations, findDataset } from './datasets';
import { experimentRecord, experimentStore, findExperiment } from './experiments';
import { answerTo, heldOut, learnt, type HeldOut } from './history-answers';
import { startJob } from './jobs';
import { findModel } from './models';
import { generator, withoutSuperseded } from './simulation';
import { rendered } from './tokens';

/** What a run says of an event in its log, as the studio words it. */
function said(event: LoggedEvent): string | null {
  switch (event.event) {
    case 'started':
      return `Started: ${event.total_steps} steps over ${event.train_samples} samples, ${event.validation_samples} held out; ${event.trainable_parameters} of ${event.total_parameters} weights are trained.`;
    case 'step':
      return null;
    case 'evaluation':
      return `Step ${event.step}: validation loss ${event.loss.toFixed(4)}${event.best ? ', the lowest so far' : ''}.`;
    case 'checkpoint':
      return `Step ${event.step}: checkpoint written.`;
    case 'paused':
      return `Paused at step ${event.step}.`;
    case 'resumed':
      return `Continued from step ${event.step}.`;
    case 'stopped':
      return `Stopped at step ${event.step}: ${event.reason}.`;
    case 'finished':
      return `Finished at step ${event.step}${event.early ? ': the validation loss no longer fell' : ''}.`;
  }
}

function log(experiment: Experiment): LogLine[] {
  const { events, plan } = experimentRecord(experiment.id);
  const lines: LogLine[] = [];
  for (const event of events) {
    if (event.event === 'started') {
      lines.push({ time: event.time - 2.4, level: 'info', message: `Loading ${experiment.model}.` });
      lines.push({ time: event.time - 0.6, level: 'warning', message: `3 of ${plan.dataset.conversations} conversations are longer than ${String(plan.values.max_length)} tokens; their ends are cut.` });
    }
    const message = said(event);
    if (message !== null) lines.push({ time: event.time, level: 'info', message });
  }
  if (experiment.error) lines.push({ time: experiment.ended_at ?? 0, level: 'warning', message: `Failed: ${experiment.error.message} (${experiment.error.where ?? ''}). ${experiment.error.remedy ?? ''}` });
  return lines;
}

const kept = new Map<string, KeptEvaluation[]>();

/** The evaluations of a run; a run that had ended when the library was opened has been measured before. */
function keptOf(experiment: Experiment): KeptEvaluation[] {
  let list = kept.get(experiment.id);
  if (!list) {
    list = [];
    kept.set(experiment.id, list);
    if (experiment.id === 'orders-starter' && readScenario() !== 'first-start') {
      const rows = heldOut(experimentRecord(experiment.id));
      const time = (experiment.ended_at ?? 0) + 40;
      const base = { ...nothing, model: experiment.model };
      list.push({ time: time + 20, weights: { ...nothing, experiment: experiment.id }, evaluation: measure(experiment, rows, 'tuned') });
      list.push({ time, weights: base, evaluation: measure(experiment, rows, 'base') });
    }
  }
  return list;
}

const nothing: Weights = { model: null, adapter: null, experiment: null, checkpoint: null };

function measure(experiment: Experiment, rows: HeldOut[], whose: 'base' | 'tuned', lossOnly = false): Evaluation {
  const record = experimentRecord(experiment.id);
  const share = whose === 'base' ? 0 : learnt(experiment, record, experiment.step);
  const mean = whose === 'base' ? record.course.from : (experiment.best_validation_loss ?? experiment.loss ?? record.course.to);
  const measured = rows.map((row): EvaluationRow => {
    const random = generator(`${experiment.id}/${whose}/${row.row}`);
    const prediction = lossOnly || row.answer === '' ? null : answerTo(row, experiment, share);
    const exact = prediction === null ? null : prediction.trim() === row.answer.trim();
    const tokens = Math.max(1, Math.round(row.answer.length / 3.4));
    return { row: row.row, prompt: row.prompt, answer: row.answer, prediction, exact_match: exact, loss: mean * (0.55 + 0.9 * random()) * (exact === false && whose === 'tuned' ? 2.6 : 1), trained_tokens: tokens };
  });
  const trained = measured.reduce((sum, row) => sum + row.trained_tokens, 0);
  const loss = measured.reduce((sum, row) => sum + (row.loss ?? 0) * row.trained_tokens, 0) / Math.max(1, trained);
  const answered = measured.filter(({ prediction }) => prediction !== null).length;
  const matches = measured.filter(({ exact_match: exact }) => exact === true).length;
  // The rows differ, their mean is the run's.
  for (const row of measured) if (row.loss !== null) row.loss *= mean / loss;
  return {
    model: whose === 'base' ? experiment.model : `${experiment.name} (step ${experiment.step})`, data: `${record.plan.dataset.name} (held out by ${experiment.name})`,
    conversations: measured.length, trained_tokens: trained, loss: mean, perplexity: Math.exp(mean), seconds: 4.2, rows: measured,
    exact_matches: lossOnly ? null : matches, answered: lossOnly ? null : answered, exact_match: lossOnly || answered === 0 ? null : matches / answered,
  };
}

/** The run whose rows are asked, and the rows. */
function asked({ data, held_out_of: of, experiment, limit, keep }: RequestOf<'evaluate'>): { run: Experiment; rows: HeldOut[] } {
  const named = of ?? experiment;
  if (keep && !named) throw new CommandError({ code: 'keep-experiment', message: 'an evaluation is kept with an experiment, and none is named', remedy: 'Evaluate an experiment, or the rows it held out.' });
  if ((data && of) || (!data && !named)) throw new CommandError({ code: 'evaluate-no-data', message: 'it is not clear which rows to evaluate', remedy: 'Name a dataset, or an experiment whose held-out rows are meant, and not both.' });
  const run = findExperiment(named ?? experimentStore()[0]?.id);
  const all = data ? datasetRows(data) : heldOut(experimentRecord(run.id));
  if (all.length === 0) throw new CommandError({ code: 'evaluate-no-rows', message: `${run.name} has no rows to evaluate`, remedy: 'Choose another dataset, or raise validation_size.' });
  return { run, rows: all.slice(0, limit ?? undefined) };
}

function datasetRows(data: string): HeldOut[] {
  const dataset = findDataset(data);
  return datasetConversations(dataset, 0, dataset.conversations).map((conversation, row) => ({
    row, conversation, prompt: conversation.turns.filter(({ role }) => role === 'user').at(-1)?.content ?? '', answer: conversation.turns.at(-1)?.content ?? '',
  }));
}

async function evaluate(request: RequestOf<'evaluate'>, { emit, sleep }: Context): Promise<Evaluation> {
  const { run, rows } = asked(request);
  const whose = request.experiment ? 'tuned' : 'base';
  if (whose === 'base') findModel(request.model ?? '');
  const job = startJob('evaluate', run.id);
  try {
    const holder = experimentStore().find(({ state }) => state === 'running');
    if (holder) {
      emit({ type: 'waiting', subject: run.id, behind: holder.id });
      // The device would be busy for minutes; here a moment shows what waiting looks like.
      await sleep(700);
    }
    const steps = [[`Loading ${whose === 'base' ? run.model : run.name}`, 8, 70], ['Measuring the loss', rows.length, 12], ...(request.loss_only ? [] : [['Answering', rows.length, 24]])] as [string, number, number][];
    for (const [what, total, each] of steps) {
      const stride = Math.max(1, Math.ceil(total / 40));
      for (let done = 0; done < total; done += stride) {
        const left = done === 0 ? null : ((total - done) * each) / 1000;
        emit({ type: 'progress', what, done, total, seconds_left: left });
        job.progress(what, done, total, left);
        if (job.cancelled) throw new CommandError({ code: 'cancelled', message: 'cancelled' });
        await sleep(Math.min(each * stride, 120));
      }
      emit({ type: 'progress', what, done: total, total, seconds_left: 0 });
    }
    const evaluation = measure(run, rows, whose, request.loss_only);
    const weights: Weights = { model: request.model ?? null, adapter: request.adapter ?? null, experiment: request.experiment ?? null, checkpoint: request.checkpoint ?? null };
    if (request.keep) keptOf(run).unshift({ time: Date.now() / 1000, weights, evaluation });
    job.end();
    return request.rows ? evaluation : { ...evaluation, rows: [] };
  } catch (thrown) {
    job.end(CommandError.from(thrown).cancelled ? 'cancelled' : 'failed');
    throw thrown;
  }
}

export const runHistory: Handlers = {
  experiments_events: ({ experiment: wanted, after = 0 }) => {
    const experiment = findExperiment(wanted);
    const { events } = experimentRecord(experiment.id);
    return { experiment, events: events.slice(after), next: events.length };
  },
  experiments_log: ({ experiment: wanted }) => log(findExperiment(wanted)),
  experiments_samples: ({ experiment: wanted }) => {
    const experiment = findExperiment(wanted);
    const record = experimentRecord(experiment.id);
    const questions = record.events.length === 0 ? [] : heldOut(record, Number(record.plan.values.sample_prompts ?? 3)).filter(({ answer }) => answer !== '');
    if (questions.length === 0) return { prompts: [], rounds: [] };
    const steps = withoutSuperseded(record.events).flatMap((event) => (event.event === 'evaluation' && event.step > 0 ? [event.step] : []));
    const rounds = [0, ...steps].map((step) => ({ step, answers: questions.map((question) => answerTo(question, experiment, learnt(experiment, record, step))) }));
    return { prompts: questions.map(({ row, prompt, answer }) => ({ row, prompt, answer })), rounds };
  },
  experiments_first_batch: async ({ experiment: wanted }, { emit, sleep }) => {
    const { plan } = experimentRecord(findExperiment(wanted).id);
    const total = plan.dataset.conversations;
    for (let part = 0; part <= 6; part += 1) {
      emit({ type: 'progress', what: 'Preparing the samples', done: Math.round((total * part) / 6), total, seconds_left: part < 2 ? null : (6 - part) * 0.09 });
      await sleep(90);
    }
    const { batch_size: size, grad_accumulation: accumulation, max_length: length, mask_prompt_labels: masked } = plan.values;
    const random = generator(plan.dataset.id);
    const batches = Array.from({ length: Number(accumulation ?? 1) }, () =>
      Array.from({ length: Number(size ?? 2) }, () => Math.floor(random() * total)).flatMap((row) => datasetConversations(plan.dataset, row, 1).map((conversation) => rendered(row, conversation, Number(length ?? 512), masked === false))),
    );
    const tokens = batches.flat().flatMap((sample) => sample.tokens);
    return { micro_batches: batches, tokens: tokens.length, trained_tokens: tokens.filter(({ trained }) => trained).length };
  },
  experiments_evaluations: ({ experiment: wanted }) => keptOf(findExperiment(wanted)),
  evaluate,
};
