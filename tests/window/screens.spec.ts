import { expect, screen, test, until, type Place, type Window } from './application';

// Every screen in both themes, kept for people to look at: test-results/window-screens. What is
// checked is only that each opens without an error and fits the window.

const run = async (place: Place) => (await place.attune<{ id: string; state: string }[]>('experiments', 'list'))[0];

/** Opens a place, waits for it to come to rest, and photographs it in light and dark. */
async function photograph(window: Window, name: string, address: string): Promise<void> {
  await window.go(address);
  await until(`${name} is there`, async () => (await window.count('heading', null)) > 0);
  await new Promise((done) => setTimeout(done, 800));
  const text = await window.text();
  expect(text, name).not.toMatch(/could not be opened|stopped working/);
  expect(await window.page.execute<boolean>('return document.documentElement.scrollWidth <= window.innerWidth;'), `${name} fits`).toBe(true);
  for (const theme of ['light', 'dark']) {
    await window.photograph(`${name}-${theme}`);
    await screen('press', 'Light or dark');
    await new Promise((done) => setTimeout(done, 400));
  }
}

test('every screen in light and dark', async ({ place }) => {
  test.setTimeout(900_000);
  const window = await place.start();
  await window.sees('Try it now');
  await photograph(window, '01-first-start', '#/home');
  const rows = Array.from({ length: 60 }, (_, at) => (at % 20 === 7 ? `"What is ${at} + 1?",` : `"What is ${at} + 1?","It is ${at + 1}."`));
  const file = place.write('sums.csv', ['question,answer', ...rows].join('\n'));
  await photograph(window, '02-import', `#/import?path=${encodeURIComponent(file)}`);
  await window.go('#/home');
  await window.click('button', 'Start tuning');
  await until('it tunes', async () => ((await run(place))?.state ?? '') === 'running', 60_000);
  await new Promise((done) => setTimeout(done, 15_000));
  const { id } = await run(place);
  await photograph(window, '03-home-running', '#/home');
  await photograph(window, '04-experiment-running', `#/experiment/${id}/charts`);
  await until('it is done', async () => (await run(place)).state === 'finished', 600_000);

  const datasets = await place.attune<{ id: string }[]>('data', 'list');
  const models = await place.attune<{ id: string }[]>('models', 'list');
  const places: [string, string][] = [
    ['05-home', '#/home'],
    ['06-datasets', '#/datasets'],
    ['07-dataset', `#/dataset/${encodeURIComponent(datasets[0].id)}`],
    ['08-models', '#/models'],
    ['09-model', `#/model/${encodeURIComponent(models[0].id)}`],
    ['10-experiments', '#/experiments'],
    ['11-new', '#/new'],
    ...['charts', 'samples', 'data', 'predictions', 'chat', 'logs', 'settings', 'export'].map((tab, at): [string, string] => [`12-experiment-${at + 1}-${tab}`, `#/experiment/${id}/${tab}`]),
    ['13-compare', `#/compare?id=${id}`],
    ['14-chat', `#/chat?experiment=${id}`],
    ['15-settings', '#/settings/general'],
  ];
  for (const [name, address] of places) await photograph(window, name, address);
});
