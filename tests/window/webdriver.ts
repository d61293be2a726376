/** The few parts of W3C WebDriver that the tests need. */

const elementKey = 'element-6066-11e4-a52e-4f735466cecf';

export interface Element {
  [elementKey]: string;
}

export class WebDriverError extends Error {
  constructor(
    readonly code: string,
    /** What the driver was asked to do. */
    readonly command: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${code} in ${command}${message === '' ? '' : `: ${message}`}`, options);
  }
}

export class WebDriver {
  private constructor(
    private readonly server: string,
    private readonly session: string,
  ) {}

  /** Starts `application` under the driver that listens at `server`. */
  static async open(server: string, application: string, args: string[]): Promise<WebDriver> {
    const capabilities = { alwaysMatch: { 'tauri:options': { application, args } } };
    const { sessionId } = await request<{ sessionId: string }>(server, 'POST', '/session', { capabilities });
    return new WebDriver(server, sessionId);
  }

  #ask<T>(method: string, path: string, body?: unknown, command = `${method} ${path}`): Promise<T> {
    return request<T>(this.server, method, `/session/${this.session}${path}`, body, command);
  }

  /** Runs the body of a function in the page; a promise is waited for. */
  async execute<T>(script: string, ...args: unknown[]): Promise<T> {
    const wrapped = `
      const done = arguments[arguments.length - 1];
      const given = Array.prototype.slice.call(arguments, 0, -1);
      Promise.resolve().then(() => (function () { ${script} }).apply(null, given)).then(
        (value) => done({ value: value === undefined ? null : value }),
        (thrown) => done({ thrown: thrown && thrown.message ? thrown.name + ': ' + thrown.message : JSON.stringify(thrown) }),
      );`;
    // What is particular to a script stands at its end, behind the helpers.
    const command = `POST /execute/async (${script.replace(/\s+/g, ' ').trim().slice(-200)})`;
    const outcome = await this.#ask<{ value?: T; thrown?: string }>('POST', '/execute/async', { script: wrapped, args }, command);
    if (outcome.thrown !== undefined) throw new WebDriverError('script', command, outcome.thrown);
    return outcome.value as T;
  }

  click(element: Element): Promise<null> {
    return this.#ask('POST', `/element/${element[elementKey]}/click`, {});
  }

  clear(element: Element): Promise<null> {
    return this.#ask('POST', `/element/${element[elementKey]}/clear`, {});
  }

  type(element: Element, text: string): Promise<null> {
    return this.#ask('POST', `/element/${element[elementKey]}/value`, { text });
  }

  async screenshot(): Promise<Buffer> {
    return Buffer.from(await this.#ask<string>('GET', '/screenshot'), 'base64');
  }

  close(): Promise<null> {
    return this.#ask('DELETE', '');
  }
}

async function request<T>(server: string, method: string, path: string, body?: unknown, command = `${method} ${path}`): Promise<T> {
  let response: Response;
  let answer: { value: T & { error?: string; message?: string } };
  try {
    response = await fetch(server + path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    answer = (await response.json()) as typeof answer;
  } catch (thrown) {
    throw new WebDriverError('no answer', command, thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
  }
  const { value } = answer;
  if (!response.ok) throw new WebDriverError(value?.error ?? String(response.status), command, value?.message ?? '');
  return value;
}
