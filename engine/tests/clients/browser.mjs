// Chromium, driven by its DevTools protocol over two pipes, so that neither a driver's version nor a
// port has to fit.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Chromium without a window. */
export class Browser {
  #calls = new Map();
  #count = 0;

  /** `flags` are the browser's own, beside those that it needs here. */
  constructor(flags = []) {
    this.profile = mkdtempSync(join(tmpdir(), 'downpour-chromium-'));
    this.process = spawn('chromium', [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--disable-dev-shm-usage', '--no-proxy-server', '--remote-debugging-pipe',
      `--user-data-dir=${this.profile}`, ...flags, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
    let text = '';
    this.process.stdio[4].setEncoding('utf8').on('data', piece => {
      const messages = (text + piece).split('\0');
      text = messages.pop();
      for (const message of messages) this.#hear(JSON.parse(message));
    });
    this.process.on('error', error => { throw error; });
  }

  #hear({ id, result, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    if (error) call.reject(new Error(error.message));
    else call.resolve(result);
  }

  /** One call of the protocol. */
  call(method, params = {}, sessionId = undefined) {
    this.#count += 1;
    const id = this.#count;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  /** Cookies and all else of a user who has been nowhere yet. */
  async newUser() {
    return (await this.call('Target.createBrowserContext')).browserContextId;
  }

  /** A page at `url`, of the first user or another. */
  async open(url, browserContextId = undefined) {
    const { targetId } = await this.call('Target.createTarget', { url, browserContextId });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const page = { evaluate: expression => this.#evaluate(sessionId, expression) };
    while (!await page.evaluate(`location.href !== 'about:blank' && document.readyState === 'complete'`));
    return page;
  }

  /** The value of a script's expression in the page, waiting for it if it is a promise. */
  async #evaluate(sessionId, expression) {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', params, sessionId);
    if (exceptionDetails) {
      const what = exceptionDetails.exception?.description ?? exceptionDetails.text;
      throw new Error(`in the page: ${what}`);
    }
    return result.value;
  }

  stop() {
    // The whole group: Chromium is many processes.
    try { process.kill(-this.process.pid, 'SIGKILL'); } catch { /* It has ended. */ }
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

/** What runs in the page: an EventSource whose events are taken one by one. */
export const WATCH = `
  window.watch = (url, options) => {
    const events = [], waiting = [];
    const source = new EventSource(url, options);
    const put = event => { const taker = waiting.shift(); taker ? taker(event) : events.push(event); };
    for (const name of ['message', 'tick', 'gap']) {
      source.addEventListener(name, ({ type, data, lastEventId, origin }) =>
        put({ type, data, id: lastEventId, origin }));
    }
    source.onerror = () => put({ type: 'error', state: source.readyState });
    source.onopen = () => put({ type: 'open' });
    window.source = source;
    window.next = () => events.length ? events.shift() : new Promise(resolve => waiting.push(resolve));
  };
  true
`;

/** Passes over the failed attempts to come back. */
export async function opened(next) {
  let event;
  do event = await next(); while (event.type === 'error' && event.state === 0);
  assert.deepEqual(event, { type: 'open' });
}

/** Gives `plays` with the browser, one after the other, and ends the process: 0 if all went well. */
export async function act(browser, plays) {
  process.on('exit', () => browser.stop());
  for (const play of plays) {
    try {
      await play(browser);
    } catch (error) {
      console.error(`${play.name}: ${error.stack}`);
      process.exit(1);
    }
  }
  process.exit(0);
}
