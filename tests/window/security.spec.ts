import { createServer, type Server } from 'node:http';
import { expect, test, type Window } from './application';

// The page shows text from files and models that nobody has checked. Whatever becomes of it, it must
// neither run as a program, nor reach the network, nor ask the system for more than our commands.

let server: Server;
let address: string;
let asked: string[] = [];

test.beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Content-Type': 'text/javascript' }).end('window.reached = true;');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  address = `http://127.0.0.1:${port}`;
});
test.beforeEach(() => (asked = []));
test.afterAll(() => server.close());

/** Does something in the page and returns which directives of the policy refused it. */
function refused(window: Window, script: string, ...values: unknown[]): Promise<string[]> {
  return window.page.execute(
    `const seen = [];
     const listen = (event) => seen.push(event.effectiveDirective);
     document.addEventListener('securitypolicyviolation', listen);
     const given = arguments;
     const attempt = async () => { ${script.replaceAll('arguments', 'given')} };
     return attempt().catch(() => undefined).then(() => new Promise((done) => setTimeout(done, 400))).then(() => {
       document.removeEventListener('securitypolicyviolation', listen);
       return Array.from(new Set(seen)).sort();
     });`,
    ...values,
  );
}

test('neither injected markup nor text becomes a program', async ({ place }) => {
  const window = await place.start();
  const ran = () => window.page.execute<unknown>('return [window.ran ?? null, window.reached ?? null];');

  expect(await refused(window, `const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script);`)).toEqual(['script-src-elem']);
  expect(await refused(window, `const box = document.createElement('div'); box.innerHTML = '<img src="x:" onerror="window.ran = 1"><button onclick="window.ran = 1">x</button>'; document.body.append(box); box.querySelector('button').click();`)).toContain('script-src-attr');
  expect(await refused(window, `const link = document.createElement('a'); link.href = 'javascript:window.ran = 1'; document.body.append(link); link.click();`)).toEqual(['script-src-elem']);
  for (const attempt of [`eval('window.ran = 1')`, `new Function('window.ran = 1')()`, `(async () => {}).constructor('window.ran = 1')()`]) {
    const outcome = await window.page.execute(`try { ${attempt}; return 'ran'; } catch (thrown) { return thrown.name; }`);
    expect(outcome, attempt).toBe('EvalError');
  }
  await window.page.execute(`setTimeout('window.ran = 1', 0); return new Promise((done) => setTimeout(done, 200));`);
  expect(await refused(window, `const script = document.createElement('script'); script.src = 'data:text/javascript,window.ran = 1'; document.body.append(script);`)).toEqual(['script-src-elem']);
  expect(await refused(window, `new Worker('data:text/javascript,1'); new Worker(URL.createObjectURL(new Blob(['1'])));`)).not.toEqual([]);
  expect(await ran()).toEqual([null, null]);
});

test('the page has no network', async ({ place }) => {
  const window = await place.start();
  const ways: [string, string][] = [
    ['script-src-elem', `const script = document.createElement('script'); script.src = arguments[0] + '/script'; document.body.append(script);`],
    ['script-src-elem', `await import(arguments[0] + '/module');`],
    ['connect-src', `await fetch(arguments[0] + '/fetch', { mode: 'no-cors' });`],
    ['connect-src', `const request = new XMLHttpRequest(); request.open('GET', arguments[0] + '/xhr'); request.send();`],
    ['connect-src', `new WebSocket(arguments[0].replace('http', 'ws') + '/socket');`],
    ['connect-src', `new EventSource(arguments[0] + '/events');`],
    ['connect-src', `navigator.sendBeacon(arguments[0] + '/beacon', 'x');`],
    ['img-src', `new Image().src = arguments[0] + '/image';`],
    ['style-src-elem', `const link = document.createElement('link'); link.rel = 'stylesheet'; link.href = arguments[0] + '/style'; document.head.append(link);`],
    ['font-src', `await new FontFace('x', 'url(' + arguments[0] + '/font)').load();`],
    ['frame-src', `const frame = document.createElement('iframe'); frame.src = arguments[0] + '/frame'; document.body.append(frame);`],
    ['media-src', `const video = document.createElement('video'); video.src = arguments[0] + '/video'; document.body.append(video);`],
    ['form-action', `const form = document.createElement('form'); form.action = arguments[0] + '/form'; document.body.append(form); form.submit();`],
    ['object-src', `const object = document.createElement('object'); object.data = arguments[0] + '/object'; document.body.append(object);`],
  ];
  for (const [directive, script] of ways) expect(await refused(window, script, address), script).toContain(directive);
  expect(asked).toEqual([]);
});

test('the page cannot be led away, nor open another', async ({ place }) => {
  const window = await place.start();
  const before = await window.page.execute<string>('return location.href;');
  await window.page.execute('location.href = arguments[0]; return new Promise((done) => setTimeout(done, 500));', `${address}/away`);
  expect(await window.page.execute(`return window.open(arguments[0]) === null;`, `${address}/popup`)).toBe(true);
  expect(await window.page.execute<string>('return location.href;')).toBe(before);
  expect(asked).toEqual([]);
});

test('files are reached only through commands', async ({ place }) => {
  const window = await place.start();
  const secret = place.write('secret.txt', 'secret');
  for (const source of [`file://${secret}`, `asset://localhost/${encodeURIComponent(secret)}`, `http://asset.localhost/${encodeURIComponent(secret)}`, `tauri://localhost/../../../../../../../..${secret}`, `tauri://localhost/%2e%2e/%2e%2e/%2e%2e/%2e%2e${secret}`]) {
    const got = await window.page.execute<string>(`return fetch(arguments[0]).then((response) => response.text(), () => 'refused');`, source);
    expect(got, source).not.toContain('secret');
  }
});

test('what was not granted cannot be called', async ({ place }) => {
  const window = await place.start();
  const outcome = (command: string, values: unknown = {}) =>
    window.page.execute<string>(`return window.__TAURI_INTERNALS__.invoke(arguments[0], arguments[1]).then(() => 'done', (thrown) => String(thrown.message ?? thrown));`, command, values);

  const forbidden = [
    'plugin:dialog|message', 'plugin:dialog|ask', 'plugin:fs|read_text_file', 'plugin:fs|write_text_file', 'plugin:shell|execute', 'plugin:opener|open_url',
    'plugin:window|close', 'plugin:window|create', 'plugin:webview|create_webview', 'plugin:webview|internal_toggle_devtools', 'plugin:event|emit', 'plugin:event|emit_to',
    'plugin:app|version', 'plugin:path|resolve_directory', 'plugin:menu|new', 'plugin:resources|close', 'plugin:image|from_path',
  ];
  for (const command of forbidden) expect(await outcome(command), command).toMatch(/not allowed|not found|denied/);
  for (const command of ['delete_everything', 'plugin:attune|doctor', '../doctor', '']) expect(await outcome(command), command).not.toBe('done');

  // The same way does work for what was granted; otherwise the above would prove nothing.
  expect(await outcome('system_load', { arguments: {}, call: 90_001, events: '__CHANNEL__:90001' })).toBe('done');
});

test('a refusal has a code, a sentence and a remedy', async ({ place }) => {
  const window = await place.start();
  const refusal = await window.page.execute<Record<string, string>>(
    `return window.__TAURI_INTERNALS__.invoke('data_check', { arguments: { path: arguments[0] }, call: 90_002, events: '__CHANNEL__:90002' }).then(() => null, (thrown) => thrown);`,
    `${place.folder}/missing.csv`,
  );
  expect(refusal).toMatchObject({ code: 'data-missing', message: expect.stringContaining('missing.csv'), remedy: expect.any(String), where: expect.stringContaining('missing.csv') });
});
