/** The program in its window, on a home folder of its own. */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { test as base, expect } from '@playwright/test';
import { helpers } from './page';
import { WebDriver, WebDriverError, type Element } from './webdriver';

const execute = promisify(execFile);
const target = resolve(process.env.CARGO_TARGET_DIR ?? 'target', 'debug');
export const program = process.env.ATTUNE_DESKTOP ?? join(target, 'attune-desktop');
const terminal = process.env.ATTUNE_CLI ?? join(target, 'attune');
const desktop = resolve(import.meta.dirname, 'desktop.py');

export type Role = 'button' | 'link' | 'heading' | 'textbox' | 'tab' | 'radio' | 'checkbox' | 'switch' | 'option' | 'menuitem' | 'combobox' | 'dialog' | 'row' | 'status' | 'alert' | 'progressbar';

/** Asks until there is an answer other than null, undefined and false; more seldom the longer it takes, since asking takes time from what is waited for. */
export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>, patience = 20_000): Promise<T> {
  const start = Date.now();
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    const waited = Date.now() - start;
    if (waited > patience) throw new Error(`${what}: not within ${patience / 1000} s`);
    await new Promise((done) => setTimeout(done, Math.min(Math.max(waited / 10, 100), 1000)));
  }
}

async function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer().once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

/** What a person sees and presses outside the page. */
export async function screen(...words: string[]): Promise<string> {
  const { stdout } = await execute('/usr/bin/python3', [desktop, ...words], { maxBuffer: 16 << 20 });
  return stdout;
}

export interface Thing {
  role: string;
  name: string;
  showing: boolean;
  enabled: boolean;
  keys: string;
}

export async function things(): Promise<Thing[]> {
  return JSON.parse(await screen('tree')) as Thing[];
}

export async function xdotool(...words: string[]): Promise<string> {
  const { stdout } = await execute('xdotool', words);
  return stdout.trim();
}

/** What the stand-ins for a desktop's services were asked. */
export interface Services {
  calls(): Record<string, unknown>[];
}

/** Answers in place of a desktop until the test ends. */
export async function services(place: Place): Promise<Services> {
  const path = join(place.folder, 'services.jsonl');
  const child = spawn('/usr/bin/python3', [desktop, 'services', path], { stdio: 'inherit' });
  place.leaving.push(() => void child.kill());
  const calls = () => (existsSync(path) ? readFileSync(path, 'utf8') : '').split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>);
  await until('the stand-ins answer', async () => calls().some(({ call }) => call === 'ready'));
  return { calls };
}

/** A place for one test: a home folder, files beside it, and the window, as often as it is started. */
export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'attune-window-'));
  readonly home = join(this.folder, 'home');
  /** What the program and its driver said. */
  readonly said = join(this.folder, 'said.txt');
  readonly log = openSync(this.said, 'a');
  readonly leaving: (() => unknown)[] = [];
  /** Beside what every start has in its environment. */
  environment: NodeJS.ProcessEnv = {};
  #running: Window[] = [];

  /** Starts the program with these arguments. */
  async start(...args: string[]): Promise<Window> {
    const window = await Window.open(this, args);
    this.#running.push(window);
    return window;
  }

  get variables(): NodeJS.ProcessEnv {
    return { ...process.env, ATTUNE_HOME: this.home, RUST_LOG: process.env.RUST_LOG ?? 'warn', ...this.environment };
  }

  /** Starts the program as a desktop does: nothing drives its page, so it may begin anew. */
  launch(): ChildProcess {
    const child = spawn(program, [], { env: this.variables, stdio: ['ignore', this.log, this.log] });
    this.leaving.push(() => void child.kill('SIGKILL'));
    return child;
  }

  /** Writes a file beside the home folder. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Asks the terminal host about the same library. */
  async attune<T>(...words: string[]): Promise<T> {
    const { stdout } = await execute(terminal, ['--home', this.home, '--json', ...words], { maxBuffer: 64 << 20 });
    return JSON.parse(stdout) as T;
  }

  async clear(): Promise<void> {
    // Also what a test that ran out of time was about to start: the next one, or its second try,
    // has the screen for itself.
    for (const pid of processesOf(this.home)) end(pid);
    for (const window of this.#running) await window.kill();
    for (const leave of this.leaving) await leave();
    closeSync(this.log);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

export class Window {
  #ended = false;
  #moves = 0;

  private constructor(
    readonly place: Place,
    readonly page: WebDriver,
    readonly pid: number,
    private readonly driver: ChildProcess,
  ) {}

  static async open(place: Place, args: string[]): Promise<Window> {
    for (const [what, path] of Object.entries({ program, terminal })) {
      if (!existsSync(path)) throw new Error(`the ${what} is not built: ${path}`);
    }
    const [port, native] = [await freePort(), await freePort()];
    const driver = spawn('tauri-driver', ['--port', `${port}`, '--native-port', `${native}`, '--native-driver', '/usr/bin/WebKitWebDriver'], {
      env: place.variables,
      stdio: ['ignore', place.log, place.log],
    });
    const server = `http://127.0.0.1:${port}`;
    await until('the driver answers', async () => fetch(`${server}/status`).then((response) => response.ok, () => false));
    const page = await WebDriver.open(server, program, args);
    const window = new Window(place, page, processOf(place.home), driver);
    await window.find('heading', null);
    return window;
  }

  /** The window as the desktop knows it. */
  async id(): Promise<string> {
    return until('the window is on the screen', async () => {
      const ids = await xdotool('search', '--onlyvisible', '--name', '^Attune$').catch(() => '');
      return ids.split('\n').filter(Boolean).at(-1);
    });
  }

  async count(role: Role, name: string | null, exact = false): Promise<number> {
    return this.page.execute<number>(`${helpers} return all(...arguments).length;`, role, name, exact);
  }

  /** What has this role and name; waited for. */
  async find(role: Role, name: string | null, options: { exact?: boolean; patience?: number } = {}): Promise<Element> {
    const look = `${helpers} return all(...arguments)[0] ?? null;`;
    return until(`${role} “${name}”`, () => this.page.execute<Element | null>(look, role, name, options.exact ?? false), options.patience);
  }

  async click(role: Role, name: string, options: { exact?: boolean; patience?: number } = {}): Promise<void> {
    // What moves under the pointer while the page settles is pressed again.
    await until(`click ${role} “${name}”`, async () => {
      try {
        await this.page.click(await this.find(role, name, options));
        return true;
      } catch (thrown) {
        if (thrown instanceof WebDriverError && /stale|intercepted|not interactable/.test(thrown.code)) return false;
        throw thrown;
      }
    }, options.patience);
  }

  async fill(name: string, text: string): Promise<void> {
    const box = await this.find('textbox', name);
    await this.page.clear(box);
    await this.page.type(box, text);
  }

  /** Everything that can be read on the page. */
  text(): Promise<string> {
    return this.page.execute<string>('return document.body.innerText;');
  }

  async sees(text: string | RegExp, patience?: number): Promise<string> {
    try {
      return await until(`the page says ${text}`, async () => {
        const seen = await this.text();
        return (typeof text === 'string' ? seen.includes(text) : text.test(seen)) && seen;
      }, patience);
    } catch (thrown) {
      throw new Error(`${(thrown as Error).message}; it says:\n${await this.text().catch(() => '(nothing)')}`);
    }
  }

  /** Opens a place of the window. */
  async go(address: string): Promise<void> {
    this.#moves += 1;
    // WebKitWebDriver loses the answer of a script in whose middle the address changes.
    await this.page.execute('setTimeout(() => { location.hash = arguments[0]; window.moves = arguments[1]; }, 0);', address, this.#moves);
    // Not the address itself: a page may lead on at once.
    await until(`the address changes to ${address}`, async () => {
      try {
        return (await this.page.execute<number | null>('return window.moves ?? null;')) === this.#moves;
      } catch (thrown) {
        // It changed in the middle of this question, which can be asked again.
        if (thrown instanceof WebDriverError) return false;
        throw thrown;
      }
    });
  }

  address(): Promise<string> {
    return this.page.execute<string>('return location.hash;');
  }

  /** Asks the window's Rust side, as the page does. */
  invoke<T>(command: string, values: unknown): Promise<T> {
    return this.page.execute<T>('return window.__TAURI_INTERNALS__.invoke(arguments[0], arguments[1]);', command, values);
  }

  /** The window as the person sees it, frame and menu included. */
  async photograph(name: string): Promise<string> {
    const folder = resolve('test-results/window-screens');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${name}.png`);
    await execute('import', ['-window', 'root', path]);
    return path;
  }

  /** Closes it as a person does. */
  async close(): Promise<void> {
    await xdotool('windowactivate', '--sync', await this.id(), 'key', 'alt+F4');
  }

  get alive(): boolean {
    return existsSync(`/proc/${this.pid}/exe`);
  }

  /** Waits for the program to end by itself. */
  async ends(patience = 30_000): Promise<void> {
    await until('the program ends', async () => !this.alive, patience);
    await this.kill();
  }

  /** Ends everything at once: `kill -9`. */
  async kill(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.alive) end(this.pid);
    this.driver.kill('SIGTERM');
    await until('the driver ends', async () => this.driver.exitCode !== null || this.driver.signalCode !== null);
    await until('the program ends', async () => !this.alive);
  }
}

/** The driver, the program and its helpers: whatever was started for this home folder. */
function processesOf(home: string): number[] {
  return readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(`ATTUNE_HOME=${home}`);
    } catch {
      // It ended while we looked, or is not ours.
      return false;
    }
  }).map(Number);
}

/** The program that serves this home folder. */
function processOf(home: string): number {
  const pid = processesOf(home).find((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/exe`) === program;
    } catch {
      return false;
    }
  });
  if (pid === undefined) throw new Error(`no program serves ${home}`);
  return pid;
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself just now.
  }
}

export const test = base.extend<{ place: Place }>({
  // eslint-disable-next-line no-empty-pattern
  place: async ({}, use, info) => {
    const place = new Place();
    await use(place);
    if (info.status !== info.expectedStatus) {
      const path = info.outputPath('screen.png');
      await execute('import', ['-window', 'root', path]).catch(() => undefined);
      if (existsSync(path)) info.attachments.push({ name: 'screen', path, contentType: 'image/png' });
      const said = readFileSync(place.said, 'utf8').split('\n').filter((line) => line !== '' && !/^\s+(\d+:|at )/.test(line));
      if (said.length > 0) console.log(`the program said:\n${said.slice(-30).join('\n')}`);
    }
    await place.clear();
  },
});

export { expect };
