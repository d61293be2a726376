import { CommandError } from '../backend';
import type { Handlers } from './context';
import { dataFile } from './data-files';
import { conversationsOf, shapeOf } from './data-shape';
import { datasetConversations, findDataset } from './datasets';
import { modelStore } from './models';
import { rendered } from './tokens';

export const preview: Handlers = {
  data_preview: async ({ dataset, path, columns, member, model, max_length, train_on_prompts, first = 0, count = 0 }, { sleep }) => {
    const used = modelStore().find(({ id, name }) => id === model || name === model);
    if (!used) throw new CommandError({ code: 'model-missing', message: `there is no model ${model}`, remedy: 'Choose one of the list.' });
    if (used.problem) throw new CommandError(used.problem as { code: string; message: string });
    await sleep(30);
    const source = () => {
      const file = dataFile(path ?? '', member);
      return conversationsOf(file, shapeOf(file, columns), first, count);
    };
    const conversations = dataset ? datasetConversations(findDataset(dataset), first, count) : source();
    const samples = conversations.map((conversation, at) => rendered(first + at, conversation, max_length ?? undefined, train_on_prompts));
    return { template: used.facts?.template ?? 'ChatML', first, samples };
  },
};
