import { expect, test } from 'vitest';
import { format, parse, type Route } from './routes';

const routes: Route[] = [
  { name: 'home' },
  { name: 'dataset', id: 'orders' },
  { name: 'model', id: 'Qwen/Qwen3-0.6B' },
  { name: 'experiment', id: 'a b#c?d', tab: 'samples' },
  { name: 'import', paths: ['/home/ada/Müller & Söhne?.csv', '/tmp/a b.jsonl'] },
  { name: 'compare', ids: ['one', 'two'] },
  { name: 'settings', section: 'privacy' },
];

// A deep link must lead back to where it was taken from, whatever a file or model is called.
test.each(routes)('$name survives the address', (route) => {
  expect(parse(`#${format(route)}`)).toEqual(route);
});

test('optional parts may be left out', () => {
  expect(parse('#/new?dataset=orders')).toEqual({ name: 'new', dataset: 'orders', model: undefined, from: undefined });
  expect(format({ name: 'new', dataset: 'orders' })).toBe('/new?dataset=orders');
  expect(parse('#/experiment/x/nonsense')).toEqual({ name: 'experiment', id: 'x', tab: 'charts' });
});

test('an address that is no place leads home', () => {
  for (const hash of ['', '#', '#/', '#/nowhere', '#/%E0%A4%A']) expect(parse(hash)).toEqual({ name: 'home' });
  expect(parse('#/dataset')).toEqual({ name: 'datasets' });
});
