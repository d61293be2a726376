import { CommandError } from '../backend';
import type { Diagnostics, DiagnosticsRequest } from '../generated/types';
import type { Context } from './context';
import { experimentStore } from './experiments';

/** Lists what the studio would write. */
export async function writeDiagnostics({ path = '' }: Partial<DiagnosticsRequest>, { sleep }: Context): Promise<Diagnostics> {
  if (path === '') throw new CommandError({ code: 'diagnostics-unwritable', message: 'the bundle cannot be written: no file was named' });
  await sleep(400);
  const runs = experimentStore().flatMap(({ id }) => ['experiment.json', 'settings.json', 'log.json'].map((file) => `experiments/${id}/${file}`));
  const files = ['machine.json', 'preferences.json', 'jobs.json', 'models.json', ...runs];
  return { path, files, bytes: 2_900 * files.length };
}
