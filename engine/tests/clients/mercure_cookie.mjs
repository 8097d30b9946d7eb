// The Authorization cookie of Mercure in Chromium, over two origins: an application sets it for the
// domain that it shares with the hub, and its page reads private updates by EventSource.
// Usage: node mercure_cookie.mjs HUB_ORIGIN PAGE_PORT KEY
//   (the hub allows http://app.mercure.test:PAGE_PORT to read and to publish, and nobody else)

import assert from 'node:assert/strict';
import http from 'node:http';
import { Browser, WATCH, act, opened } from './browser.mjs';
import { Cutter } from './play.mjs';
import { PATH, publishUpdate, sign } from './mercure_play.mjs';

const [engine, pagePort, key] = process.argv.slice(2);
const topic = 'https://example.com/orders/7';
const pattern = 'https://example.com/orders/{id}';
const everything = sign({ mercure: { publish: ['*'] } }, key);

/** The application: `/login` sets the cookie as Symfony's Authorization does, `/` is a page. */
const pages = http.createServer((request, response) => {
  const headers = { 'Content-Type': 'text/html', Link: `<${hub}>; rel="mercure"` };
  if (request.url === '/login') {
    const token = sign({ mercure: { subscribe: [pattern], publish: [topic] } }, key);
    headers['Set-Cookie'] = `mercureAuthorization=${token}; Domain=mercure.test; Path=${PATH}; `
      + 'HttpOnly; SameSite=Strict';
  }
  response.writeHead(200, headers).end('<!doctype html><title>An application</title>');
});
await new Promise(resolve => pages.listen(Number(pagePort), '127.0.0.1', resolve));
pages.unref();

const cutter = await Cutter.before(engine);
const hub = `http://hub.mercure.test:${new URL(cutter.url).port}${PATH}`;
const app = `http://app.mercure.test:${pagePort}`;
const stream = JSON.stringify(`${hub}?topic=${encodeURIComponent(pattern)}`);
const publish = fields => publishUpdate(`${engine}${PATH}`, everything, fields);

async function subscribed(page) {
  await page.evaluate(WATCH);
  await page.evaluate(`watch(${stream}, { withCredentials: true })`);
  return () => page.evaluate('next()');
}

/** With the cookie the private update comes; without it, only what is public does. */
async function privateUpdates(browser) {
  const page = await browser.open(`${app}/login`);
  assert.equal(await page.evaluate('document.cookie'), '', 'no script sees the cookie');
  const next = await subscribed(page);
  assert.deepEqual(await next(), { type: 'open' });
  const stranger = await browser.open(`${app}/`, await browser.newUser());
  const seen = await subscribed(stranger);
  assert.deepEqual(await seen(), { type: 'open' });

  const secret = await publish({ topic, data: 'secret', private: 'on' });
  const other = await publish({ topic: 'https://example.com/users/1', data: 'x', private: 'on' });
  const shown = await publish({ topic, data: 'for everybody', type: 'tick' });
  const origin = new URL(hub).origin;
  assert.deepEqual(await next(), { type: 'message', data: 'secret', id: secret, origin });
  assert.deepEqual(await next(), { type: 'tick', data: 'for everybody', id: shown, origin });
  assert.equal((await seen()).id, shown, 'a stranger sees only what is public');
  assert.notEqual(other, shown);

  // Cut off, it comes back by itself, with the cookie and its last id, and misses nothing.
  await page.evaluate('1');
  cutter.cut();
  assert.deepEqual(await next(), { type: 'error', state: 0 });
  const missed = await publish({ topic, data: 'missed', private: 'on' });
  cutter.mend();
  await opened(next);
  assert.equal((await next()).id, missed);
  const live = await publish({ topic, data: 'live', private: 'on' });
  assert.equal((await next()).id, live);

  // The page may publish by its cookie: to what its token grants, and nothing else.
  const post = to => page.evaluate(`fetch(${JSON.stringify(hub)}, {
    method: 'POST', credentials: 'include',
    body: new URLSearchParams({ topic: ${JSON.stringify(to)}, data: 'by cookie', private: 'on' }),
  }).then(async answer => [answer.status, await answer.text()])`);
  const [status, id] = await post(topic);
  assert.equal(status, 200);
  assert.deepEqual(await next(), { type: 'message', data: 'by cookie', id, origin });
  assert.equal((await post('https://example.com/users/1'))[0], 401);
}

/** A page of the same site but another origin has the cookie as well: CORS and the hub keep it out. */
async function foreignOrigin(browser) {
  const page = await browser.open(`http://evil.mercure.test:${pagePort}/`);
  const next = await subscribed(page);
  assert.deepEqual(await next(), { type: 'error', state: 2 }, 'it may not read');
  await page.evaluate(`fetch(${JSON.stringify(hub)}, {
    method: 'POST', credentials: 'include', mode: 'no-cors',
    body: new URLSearchParams({ topic: ${JSON.stringify(topic)}, data: 'evil' }),
  })`);
  const check = await browser.open(`${app}/`);
  const seen = await subscribed(check);
  assert.deepEqual(await seen(), { type: 'open' });
  await check.evaluate(`watch(${stream} + '&lastEventID=earliest', { withCredentials: true })`);
  const end = await publish({ topic, data: 'the end' });
  let event;
  do {
    event = await seen();
    assert.notEqual(event.data, 'evil', 'a foreign page has published');
  } while (event.id !== end);
}

const browser = new Browser(['--host-resolver-rules=MAP *.mercure.test 127.0.0.1']);
await act(browser, [privateUpdates, foreignOrigin]);
