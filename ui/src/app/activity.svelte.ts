import { untrack } from 'svelte';
import { CommandError, type Backend, type RequestOf } from '../backend/backend';
import type { Event, Experiment, Job, Preferences, SystemLoad } from '../backend/generated/types';
import type { Chrome } from './chrome.svelte';
import type { Navigation } from './navigation.svelte';
import type { PreferenceKeeper } from './preferences.svelte';
import { sentence, type Toasts } from './toasts.svelte';

/** How often what is going on is looked at: while something works, and while nothing does. */
const busy = 700;
const idle = 2_500;

/** What goes on, in this window and in any other program: the one place that looks, and the one that starts runs. */
export class Activity {
  /** All experiments, newest first; undefined until they were read once. */
  experiments = $state.raw<Experiment[] | undefined>(undefined);
  /** Jobs that work or wait. */
  jobs = $state.raw<Job[]>([]);
  load = $state.raw<SystemLoad | null>(null);
  error = $state.raw<CommandError | null>(null);
  #backend: Backend;
  #toasts: Toasts;
  #navigation: Navigation;
  #chrome: Chrome;
  #preferences: PreferenceKeeper;
  #device = { name: 'Processor', reason: '' };
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(backend: Backend, toasts: Toasts, navigation: Navigation, chrome: Chrome, preferences: PreferenceKeeper) {
    this.#backend = backend;
    this.#toasts = toasts;
    this.#navigation = navigation;
    this.#chrome = chrome;
    this.#preferences = preferences;
  }

  get preferences(): Preferences | null {
    return this.#preferences.value;
  }

  get working(): boolean {
    return this.jobs.length > 0;
  }

  /** The experiment that trains now, else the first that waits. */
  get running(): Experiment | null {
    const live = (this.experiments ?? []).filter((one) => one.state === 'running' || one.state === 'queued');
    return live.find((one) => one.state === 'running') ?? live.at(-1) ?? null;
  }

  /** Looks again and again until the returned function is called. */
  listen(): () => void {
    let listening = true;
    const look = async () => {
      await this.refresh();
      if (listening) this.#timer = setTimeout(look, this.working ? busy : idle);
    };
    untrack(() => void look());
    void this.#backend.call('doctor', {}).then(
      ({ platform, gpu_backend: { kind, reason, backends } }) =>
        (this.#device = { name: backends.find((backend) => backend.kind === kind)?.name ?? platform.chip, reason: sentence(reason) }),
      () => undefined,
    );
    void this.#preferences.read();
    return () => {
      listening = false;
      clearTimeout(this.#timer);
    };
  }

  /** Looks now. */
  async refresh(): Promise<void> {
    try {
      const [experiments, jobs, load] = await Promise.all([
        this.#backend.call('experiments_list', {}),
        this.#backend.call('jobs_list', {}),
        this.#backend.call('system_load', {}),
      ]);
      this.experiments = experiments;
      this.jobs = jobs;
      this.load = load;
      this.error = null;
    } catch (thrown) {
      this.error = CommandError.from(thrown);
    }
    this.#tellChrome();
  }

  /** Starts a run and returns its id as soon as it has one; the run goes on by itself. */
  start(request: RequestOf<'experiment_start'>): Promise<string> {
    return new Promise((resolve, reject) => {
      const onEvents = (events: Event[]) => {
        for (const event of events) {
          if (event.type !== 'created') continue;
          resolve(event.experiment);
          void this.refresh();
        }
      };
      this.#follow(this.#backend.call('experiment_start', request, { onEvents }), reject);
    });
  }

  /** Continues a run; refusals are thrown, what happens later is told. */
  async resume(id: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      // The command returns only when the run ends: once it has said anything, it is underway.
      this.#follow(this.#backend.call('experiments_resume', { experiment: id }, { onEvents: () => resolve() }), reject, resolve);
    });
    await this.refresh();
  }

  async pause(id: string): Promise<void> {
    await this.#backend.call('experiments_pause', { experiment: id });
    await this.refresh();
  }

  async stop(id: string): Promise<void> {
    await this.#backend.call('experiments_stop', { experiment: id });
    await this.refresh();
  }

  #follow(run: Promise<Experiment>, refuse: (thrown: unknown) => void, settle: () => void = () => undefined): void {
    run.then(
      (experiment) => {
        settle();
        this.#told(experiment);
      },
      (thrown) => {
        const error = CommandError.from(thrown);
        refuse(error);
        if (!error.cancelled) void this.refresh();
      },
    );
  }

  #told(experiment: Experiment): void {
    void this.refresh();
    if (experiment.state !== 'finished') return;
    const title = `${experiment.name} has finished`;
    const { route } = this.#navigation;
    const inView = route.name === 'experiment' && route.id === experiment.id;
    const open = () => this.#navigation.go({ name: 'experiment', id: experiment.id, tab: 'charts' });
    if (!inView && document.hasFocus()) this.#toasts.show(title, { tone: 'positive', action: { title: 'Open', run: open } });
    if (!document.hasFocus() && this.preferences?.notifications !== false) void this.#backend.notify(title, 'Chat with it, compare it with its base model, or take it away.');
  }

  #tellChrome(): void {
    const { running, load } = this;
    this.#chrome.job = running && {
      title: running.name,
      state: running.state === 'running' ? 'running' : 'queued',
      fraction: running.total_steps === null ? null : running.step / running.total_steps,
      secondsLeft: running.seconds_left,
      open: () => void this.#navigation.go({ name: 'experiment', id: running.id, tab: 'charts' }),
    };
    this.#chrome.device = load && {
      ...this.#device,
      used: load.memory_used,
      usable: load.memory_total,
      forRuns: load.memory_usable,
      load: load.load,
      parts:
        load.memory_process === null
          ? [{ name: 'In use', bytes: load.memory_used }]
          : [
              { name: 'Attune', bytes: load.memory_process },
              { name: 'Other programs', bytes: Math.max(load.memory_used - load.memory_process, 0) },
            ],
    };
  }
}
