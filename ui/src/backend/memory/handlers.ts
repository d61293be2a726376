import type { CommandName, ReplyOf } from '../backend';
import type { Context, Handlers } from './context';
import { application } from './application';
import { chat } from './chat';
import { datasets } from './datasets';
import { estimate } from './estimate';
import { experiments } from './experiments';
import { exports } from './exports';
import { runHistory } from './history';
import { jobs } from './jobs';
import { machine } from './machine';
import { models } from './models';
import { preview } from './preview';
import { settings } from './settings';

const all: Handlers = { ...machine, ...application, ...jobs, ...settings, ...datasets, ...preview, ...models, ...estimate, ...experiments, ...runHistory, ...exports, ...chat };

// A command's request and reply belong together, which an index over all commands cannot express.
export const handlers = all as Record<CommandName, ((request: unknown, context: Context) => ReplyOf<CommandName>) | undefined> as {
  [C in CommandName]: ((request: unknown, context: Context) => Promise<ReplyOf<C>>) | undefined;
};
