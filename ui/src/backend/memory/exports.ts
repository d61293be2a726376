import { CommandError } from '../backend';
import type { Handlers } from './context';
import { experimentRecord, findExperiment } from './experiments';
import { startJob } from './jobs';

/** Folders that hold something: written before, or anybody's. */
const occupied = new Set(['/home/ada/models/orders-to-json-adapter']);

export const exports: Handlers = {
  export: async ({ experiment: wanted, format = 'adapter', folder = '', overwrite = false, dtype }, { emit, sleep }) => {
    const experiment = findExperiment(wanted ?? '');
    const { course, plan } = experimentRecord(experiment.id);
    if (/documents$/i.test(folder)) throw new CommandError({ code: 'export-not-a-model', message: `${folder} holds something else than a model`, remedy: 'Choose another folder.', where: folder });
    if (occupied.has(folder) && !overwrite) throw new CommandError({ code: 'export-occupied', message: `${folder} is not empty`, remedy: 'Choose another folder, or allow it to be overwritten.', where: folder });
    if (format === 'adapter' && plan.values.lora === false) throw new CommandError({ code: 'export-no-adapter', message: `${experiment.name} has no adapter`, remedy: 'Export it merged.' });
    const width = (dtype ?? plan.model.facts?.dtype) === 'float32' ? 4 : 2;
    const weights = format === 'adapter' ? course.trained * 4 : course.parameters * width;
    const shards = format === 'adapter' ? 1 : Math.max(1, Math.ceil(weights / 2.5e9));
    const names = Array.from({ length: shards }, (_, at) => (shards === 1 ? 'model.safetensors' : `model-${String(at + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`));
    const job = startJob('export', folder);
    try {
      const parts = format === 'adapter' ? 5 : 24;
      for (let part = 0; part <= parts; part += 1) {
        const what = format === 'adapter' ? 'Writing the adapter' : part < 8 ? `Loading ${experiment.name}` : `Writing ${names[Math.min(shards - 1, Math.floor(((part - 8) / 17) * shards))]}`;
        const left = part < 3 ? null : (parts - part) * 0.09;
        emit({ type: 'progress', what, done: Math.round((weights * part) / parts), total: weights, seconds_left: left });
        job.progress(what, part, parts, left);
        if (job.cancelled) throw new CommandError({ code: 'cancelled', message: 'cancelled' });
        await sleep(90);
      }
      occupied.add(folder);
      job.end();
    } catch (thrown) {
      job.end(CommandError.from(thrown).cancelled ? 'cancelled' : 'failed');
      throw thrown;
    }
    const files = format === 'adapter' ? ['README.md', 'adapter_config.json', 'adapter_model.safetensors'] : ['README.md', 'config.json', 'generation_config.json', ...names, 'tokenizer.json', 'tokenizer_config.json'];
    return { folder, format, files, bytes: weights + 38_412 };
  },
};
