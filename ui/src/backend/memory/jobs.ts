import { CommandError } from '../backend';
import type { Job, JobKind } from '../generated/types';
import { now, readScenario, type Handlers } from './context';
import { experimentStore } from './experiments';

/** Work that is simulated by the clock: `seconds` long, or until `end` is called. */
interface Work {
  job: Job;
  what: (share: number) => string;
  begun: number;
  seconds: number | null;
}

let next = 40;
let works: Work[] | undefined;
const ended: Job[] = [];

function newJob(kind: JobKind, subject: string, more: Partial<Job> = {}): Job {
  const at = Math.floor(Date.now() / 1000);
  return {
    id: (next += 1), kind, subject, state: 'running', what: null, done: 0, total: null, seconds_left: null,
    pid: 4_711, created_at: at, started_at: at, ended_at: null, error: null, ...more,
  };
}

function stored(): Work[] {
  if (works) return works;
  works = [];
  if (readScenario() === 'working' || readScenario() === 'slow') {
    const shards = ['model-00001-of-00003', 'model-00002-of-00003', 'model-00003-of-00003'];
    works.push(
      { job: newJob('import', '/Users/ada/data/support-2025.jsonl', { total: 1_248_020 }), what: () => 'Reading support-2025.jsonl', begun: Date.now() - 64_000, seconds: 240 },
      { job: newJob('export', '/Users/ada/exports/radiology-llama-merged', { total: 6_425_499_648 }), what: (share) => `Writing ${shards[Math.min(2, Math.floor(share * 3))]}.safetensors`, begun: Date.now() - 31_000, seconds: 75 },
      { job: newJob('evaluate', 'orders-starter', { state: 'queued', started_at: null }), what: () => '', begun: Date.now(), seconds: null },
    );
  }
  return works;
}

/** Other areas report their work here: `const job = startJob('export', folder)`, then `job.progress(…)`, `job.end()`. */
export function startJob(kind: JobKind, subject: string) {
  const work: Work = { job: newJob(kind, subject), what: () => work.job.what ?? '', begun: Date.now(), seconds: null };
  stored().push(work);
  return {
    id: work.job.id,
    /** Whether someone has cancelled it. */
    get cancelled() {
      return work.job.state === 'cancelled';
    },
    progress(what: string, done: number, total: number | null, secondsLeft: number | null = null) {
      Object.assign(work.job, { what, done, total, seconds_left: secondsLeft });
    },
    end(state: Job['state'] = 'finished') {
      finish(work, work.job.state === 'cancelled' ? 'cancelled' : state);
    },
  };
}

function finish(work: Work, state: Job['state']): Job {
  work.job.state = state;
  work.job.ended_at = Math.floor(Date.now() / 1000);
  const at = stored().indexOf(work);
  if (at >= 0) {
    stored().splice(at, 1);
    ended.unshift(work.job);
  }
  return work.job;
}

function advance(): void {
  for (const work of [...stored()]) {
    const { job, seconds, begun } = work;
    if (seconds === null || job.state !== 'running') continue;
    const passed = (Date.now() - begun) / 1000;
    const share = Math.min(1, passed / seconds);
    Object.assign(job, { what: work.what(share), done: Math.floor(share * (job.total ?? 0)), seconds_left: seconds - passed });
    if (share >= 1) finish(work, 'finished');
  }
}

/** Training, as the experiments tell it: theirs is the truth. */
function trainings(): Job[] {
  return experimentStore()
    .filter(({ state }) => state === 'running' || state === 'queued')
    .map((experiment, at) => ({
      id: at + 1, kind: 'train' as const, subject: experiment.id, state: experiment.state === 'running' ? ('running' as const) : ('queued' as const),
      what: experiment.state === 'running' ? 'Training' : null, done: experiment.step, total: experiment.total_steps, seconds_left: experiment.seconds_left,
      pid: experiment.pid ?? 4_711, created_at: experiment.created_at, started_at: experiment.started_at, ended_at: null, error: null,
    }))
    .reverse();
}

/** What the device is busy with. */
export function deviceUse(): { running: boolean } {
  return { running: trainings().some(({ state }) => state === 'running') };
}

export const jobs: Handlers = {
  jobs_list: ({ ended: wanted = 0 }) => {
    advance();
    return [...trainings(), ...stored().map(({ job }) => job), ...ended.slice(0, wanted)];
  },
  jobs_cancel: async ({ job: wanted }, { sleep }) => {
    const training = trainings().find(({ id }) => id === wanted);
    if (training) {
      const experiment = experimentStore().find(({ id }) => id === training.subject);
      if (experiment) Object.assign(experiment, { state: 'paused', seconds_left: null, ended_at: now });
      return { ...training, state: 'cancelled' as const };
    }
    const work = stored().find(({ job }) => job.id === wanted);
    if (!work) throw new CommandError({ code: 'job-not-found', message: `there is no job ${wanted}`, remedy: 'It may have ended in the meantime.' });
    await sleep(250);
    return finish(work, 'cancelled');
  },
};
