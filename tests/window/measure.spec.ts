import { expect, test, until, type Place } from './application';
import { figure, memory, pauses, startOf, watchPauses } from './measure';

// What the window costs, printed with each run. Only what must hold on any machine is asserted.

const state = async (place: Place) => (await place.attune<{ state: string; step: number }[]>('experiments', 'list'))[0];

test('cold start to first paint', async ({ place }) => {
  const seen: number[] = [];
  for (let start = 0; start < 3; start += 1) {
    const window = await place.start();
    const painted = await until('the first paint', () =>
      window.page.execute<number>(`const [paint] = performance.getEntriesByName('first-contentful-paint'); return paint ? performance.timeOrigin + paint.startTime : null;`),
    );
    seen.push(painted - startOf(window.pid));
    await window.kill();
  }
  figure('start to first paint', Math.min(...seen), 'ms');
  expect(Math.min(...seen)).toBeLessThan(10_000);
});

test('memory and smoothness at rest and while a model is tuned', async ({ place }) => {
  test.setTimeout(300_000);
  const window = await place.start();
  await window.sees('Try it now');
  await new Promise((done) => setTimeout(done, 3000));
  const rest = memory(window);
  figure('memory at rest', rest.all, 'MB');
  figure('memory of the program itself at rest', rest.program, 'MB');
  await watchPauses(window);
  await new Promise((done) => setTimeout(done, 5000));
  figure('longest pause of the page at rest', (await pauses(window)).longest, 'ms');

  // From the press on, so that the page of the run and its charts appear meanwhile. Nothing else
  // runs: reading a process's memory map would stop its page faults.
  await watchPauses(window);
  await window.click('button', 'Start tuning');
  await new Promise((done) => setTimeout(done, 12_000));
  const { longest, over, turns } = await pauses(window);
  let most = 0;
  for (let second = 0; second < 5 && (await state(place)).state === 'running'; second += 1) {
    most = Math.max(most, memory(window).all);
    await new Promise((done) => setTimeout(done, 1000));
  }
  expect(most, 'it was tuned all the while').toBeGreaterThan(0);
  figure('memory while tuning', most, 'MB');
  figure('longest pause of the page while tuning', longest, 'ms');
  figure('turns later than 50 ms while tuning', over, `of ${turns}`);
});
