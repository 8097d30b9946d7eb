// Opens a report in headless Chromium and says what is wrong with how it is drawn.
// Usage: node look.mjs PAGE.html [FOLDER]   (FOLDER: where screenshots go)
//        node look.mjs PAGE.html --table    (the table of a comparison as JSON, and nothing else)
//
// A page is looked at in four ways, desktop and phone, light and dark, and in each of its views.
// Faults: an exception, an error on the console, any request beyond the page itself, content wider
// than the window, texts of a chart that touch each other or leave their chart. One line each on
// standard output; the exit code is 1 if there is any.
//
// The browser is driven by its DevTools protocol over two pipes, so that neither a driver's version
// nor a port has to fit.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [file, folder] = process.argv.slice(2);
const SIZES = [['desktop', 1280, 900], ['phone', 390, 844]];
// Full pages are long; beyond this a picture shows nothing that could be looked at.
const PICTURE_HEIGHT_MAX = 16_000;

/** Chromium without a window, and one page in it. */
class Browser {
  #calls = new Map();
  #count = 0;
  #session;
  heard = [];

  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), 'downpour-page-'));
    this.process = spawn('chromium', [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--disable-dev-shm-usage', '--no-proxy-server', '--hide-scrollbars', '--remote-debugging-pipe',
      `--user-data-dir=${this.profile}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
    this.process.on('error', error => { throw error; });
    let text = '';
    this.process.stdio[4].setEncoding('utf8').on('data', piece => {
      const messages = (text + piece).split('\0');
      text = messages.pop();
      messages.forEach(message => this.#hear(JSON.parse(message)));
    });
  }

  #hear({ id, result, error, method, params }) {
    if (method) this.heard.push([method, params]);
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call?.reject(new Error(error.message));
    else call?.resolve(result);
  }

  call(method, params = {}) {
    const id = ++this.#count;
    const message = { id, method, params, sessionId: this.#session };
    this.process.stdio[3].write(`${JSON.stringify(message)}\0`);
    return new Promise((keep, reject) => this.#calls.set(id, { resolve: keep, reject }));
  }

  async open(url) {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    this.#session = sessionId;
    for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await this.call(`${domain}.enable`);
    const { errorText } = await this.call('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    const drawn = `document.readyState === 'complete'
      && document.getElementById('main')?.hasAttribute('aria-busy') === false`;
    while (!await this.evaluate(drawn));
  }

  async evaluate(expression) {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', params);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  stop() {
    // The whole group: Chromium is many processes.
    try { process.kill(-this.process.pid, 'SIGKILL'); } catch { /* It has ended. */ }
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

/** Runs in the page: what is drawn where it should not be. */
function misplaced() {
  const faults = [];
  const said = node => `${node.closest('section')?.id ?? 'page'}: ${JSON.stringify(node.textContent.slice(0, 40))}`;
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) {
    const guilty = [...document.querySelectorAll('body *')]
      .filter(node => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.wide, nav, pre'));
    faults.push(`the page is ${wide} px wider than the window: ${guilty.slice(0, 3).map(said)}`);
  }
  for (const chart of document.querySelectorAll('figure > svg')) {
    const edge = chart.getBoundingClientRect();
    const boxes = [...chart.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0);
    for (const [text, box] of boxes) {
      if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 1
        || box.bottom > edge.bottom + 1) faults.push(`leaves its chart: ${said(text)}`);
    }
    boxes.forEach(([text, a], i) => {
      for (const [other, b] of boxes.slice(i + 1)) {
        const apart = a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
        if (!apart) faults.push(`overlaps ${JSON.stringify(other.textContent)}: ${said(text)}`);
      }
    });
  }
  return faults;
}

/** Faults that the browser itself has told. */
function told({ heard }, url) {
  return heard.flatMap(([method, params]) => {
    if (method === 'Runtime.exceptionThrown') return [`exception: ${params.exceptionDetails.exception?.description}`];
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error')
      return [`console: ${params.args.map(({ value, description }) => value ?? description).join(' ')}`];
    if (method === 'Log.entryAdded' && params.entry.level === 'error') return [`console: ${params.entry.text}`];
    if (method !== 'Network.requestWillBeSent') return [];
    const asked = params.request.url.split('#')[0];
    return asked === url || /^(data|blob):/.test(asked) ? [] : [`asks the network for ${asked}`];
  });
}

async function picture(browser, name, width) {
  const height = Math.min(PICTURE_HEIGHT_MAX, await browser.evaluate('document.documentElement.scrollHeight'));
  const clip = { x: 0, y: 0, width, height, scale: 1 };
  const { data } = await browser.call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
  writeFileSync(join(folder, `${name}.png`), Buffer.from(data, 'base64'));
}

/** Runs in the page: the table that it has computed, a row a list, the cells as in Markdown. */
function table() {
  const cell = td => {
    const ratio = td.querySelector('.ratio');
    const value = [...td.childNodes].find(node => !['SMALL', 'LABEL'].includes(node.nodeName));
    return (td.querySelector('label') ?? value).textContent.trim() + (ratio ? ` (${ratio.textContent})` : '');
  };
  return [...document.querySelectorAll('#compare tr')].map(row => [...row.cells].map(td => td.hasChildNodes() ? cell(td) : ''));
}

async function look(browser, url) {
  const faults = new Set();
  // The views that a page has beside its first: links to a single run of a comparison.
  const views = await browser.evaluate(`[...document.querySelectorAll('a[data-view]')].map(a => a.hash)`);
  // One single run stands for all: they are drawn by the same code.
  for (const view of ['', ...new Set(views)].slice(0, 2)) {
    await browser.evaluate(`location.hash = ${JSON.stringify(view)}`);
    for (const [size, width, height] of SIZES) {
      await browser.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
      for (const theme of ['light', 'dark']) {
        await browser.call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: theme }] });
        await browser.evaluate('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))');
        const which = `${view && 'run-'}${size}-${theme}`;
        for (const fault of await browser.evaluate(`(${misplaced})()`)) faults.add(`${view && 'run, '}${size}: ${fault}`);
        if (folder) await picture(browser, `${basename(file, '.html')}-${which}`, width);
      }
    }
  }
  return [...told(browser, url), ...faults];
}

const browser = new Browser();
process.on('exit', () => browser.stop());
const url = pathToFileURL(resolve(file)).href;
try {
  await browser.open(url);
  if (folder === '--table') {
    console.log(JSON.stringify(await browser.evaluate(`(${table})()`)));
    process.exit(0);
  }
  const faults = await look(browser, url);
  faults.forEach(fault => console.log(fault));
  process.exit(faults.length ? 1 : 0);
} catch (error) {
  console.log(`the page could not be looked at: ${error.stack}`);
  process.exit(1);
}
