import type { CheckpointChoice, Experiment, Model, Weights } from '../../backend/generated/types';
import type { Route } from '../../app/routes';
import { fileName } from '../../format';

/** Who answers: a model, what an experiment made, or a model with an adapter folder. */
export type Answerer =
  | { kind: 'model'; model: string }
  /** Without a checkpoint the experiment's own setting decides. */
  | { kind: 'experiment'; experiment: string; checkpoint: CheckpointChoice | null }
  | { kind: 'adapter'; model: string; folder: string };

export type ChatRoute = Extract<Route, { name: 'chat' }>;

/** As the studio takes it. */
export function weightsOf(answerer: Answerer): Partial<Weights> {
  switch (answerer.kind) {
    case 'model':
      return { model: answerer.model };
    case 'adapter':
      return { model: answerer.model, adapter: answerer.folder };
    case 'experiment':
      return { experiment: answerer.experiment, ...(answerer.checkpoint ? { checkpoint: answerer.checkpoint } : {}) };
  }
}

/** One text for one set of weights. */
export function identity(answerer: Answerer): string {
  switch (answerer.kind) {
    case 'model':
      return `model:${answerer.model}`;
    case 'adapter':
      return `adapter:${answerer.model}:${answerer.folder}`;
    case 'experiment':
      return `experiment:${answerer.experiment}${answerer.checkpoint ? `@${answerer.checkpoint}` : ''}`;
  }
}

/** What choices are remembered under: both checkpoints of an experiment share them. */
export function family(answerer: Answerer): string {
  return answerer.kind === 'experiment' ? `experiment:${answerer.experiment}` : identity(answerer);
}

/** For people. */
export function nameOf(answerer: Answerer, models: Model[], experiments: Experiment[]): string {
  const model = (id: string) => models.find((one) => one.id === id)?.name ?? id;
  switch (answerer.kind) {
    case 'model':
      return model(answerer.model);
    case 'adapter':
      return `${model(answerer.model)} + ${fileName(answerer.folder)}`;
    case 'experiment':
      return experiments.find(({ id }) => id === answerer.experiment)?.name ?? answerer.experiment;
  }
}

/** An experiment writes its first checkpoint in the course of its steps; before them there is none. */
export function canAnswer(experiment: Experiment): boolean {
  return experiment.step > 0;
}

/** The model under it: the other side of a comparison. */
export function baseOf(answerer: Answerer, experiments: Experiment[]): Answerer | null {
  if (answerer.kind === 'adapter') return { kind: 'model', model: answerer.model };
  if (answerer.kind === 'model') return null;
  const found = experiments.find(({ id }) => id === answerer.experiment);
  return found ? { kind: 'model', model: found.model } : null;
}

/** Who an address asks for; empty where it names nobody. `compare` is an experiment's id or a model's. */
export function fromRoute(route: ChatRoute, experiments: Experiment[]): Answerer[] {
  const checkpoint = route.checkpoint === 'best' || route.checkpoint === 'last' ? route.checkpoint : null;
  const first: Answerer | null = route.experiment ? { kind: 'experiment', experiment: route.experiment, checkpoint } : route.model ? { kind: 'model', model: route.model } : null;
  if (!first) return [];
  if (!route.compare) return [first];
  const isExperiment = experiments.some(({ id }) => id === route.compare);
  return [first, isExperiment ? { kind: 'experiment', experiment: route.compare, checkpoint: null } : { kind: 'model', model: route.compare }];
}

/** The address of a choice, as far as an address can say it. */
export function toRoute(answerers: Answerer[]): ChatRoute {
  const [first, second] = answerers;
  const route: ChatRoute = { name: 'chat' };
  if (first?.kind === 'experiment') Object.assign(route, { experiment: first.experiment, checkpoint: first.checkpoint ?? undefined });
  else if (first) route.model = first.model;
  if (second?.kind === 'experiment') route.compare = second.experiment;
  else if (second) route.compare = second.model;
  return route;
}
