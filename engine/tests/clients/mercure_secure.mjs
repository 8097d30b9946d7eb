// The cookie of Mercure 1.0 in Chromium, over TLS as a proxy in front brings it: names with
// `__Secure-` and `__Host-`, which a browser keeps only over TLS, on two origins.
// Usage: node mercure_secure.mjs ENGINE PAGE_PORT HUB_PORT KEY COOKIE
//   (the hub is https://hub.mercure.test:HUB_PORT, allows https://app.mercure.test:PAGE_PORT to read
//   and to publish, and looks for COOKIE; with `__Host-` both are on hub.mercure.test, since such a
//   cookie is for one host)

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser, WATCH, act, opened } from './browser.mjs';
import { Cutter } from './play.mjs';
import { PATH, publishUpdate, sign } from './mercure_play.mjs';

const [engine, pagePort, hubPort, key, cookie] = process.argv.slice(2);
const topic = 'https://example.com/orders/7';
const isHostOnly = cookie.startsWith('__Host-');
const app = `https://${isHostOnly ? 'hub' : 'app'}.mercure.test:${pagePort}`;
const hub = `https://hub.mercure.test:${hubPort}${PATH}`;

/** A token of version 1 (RFC 9068) with these actions on a topic. */
function access(actions, match) {
  const detail = { type: 'https://mercure.rocks/authorization-detail', actions, topics: [{ match }] };
  const claims = { iss: 'app', aud: hub, exp: 4_102_444_800, authorization_details: [detail] };
  return sign(claims, key, { alg: 'HS256', typ: 'at+jwt' });
}

/** A certificate that nobody has signed but itself; the browser is told to take any. */
function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'downpour-tls-'));
  const [keyFile, certFile] = ['key', 'cert'].map(name => join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-subj', '/CN=mercure.test', '-keyout', keyFile, '-out', certFile],
  { stdio: 'ignore' });
  const secure = { key: readFileSync(keyFile), cert: readFileSync(certFile) };
  rmSync(folder, { recursive: true });
  return secure;
}

const secure = certificate();
/** The application: `/login` sets the cookie, any other path is a page. */
const pages = https.createServer(secure, (request, response) => {
  const headers = { 'Content-Type': 'text/html' };
  if (request.url === '/login') {
    const where = isHostOnly ? 'Path=/' : `Domain=mercure.test; Path=${PATH}`;
    const token = access(['subscribe', 'publish'], topic);
    headers['Set-Cookie'] = `${cookie}=${token}; ${where}; Secure; HttpOnly; SameSite=Strict`;
  }
  response.writeHead(200, headers).end('<!doctype html><title>An application</title>');
});
await new Promise(resolve => pages.listen(Number(pagePort), '127.0.0.1', resolve));
pages.unref();

// What ends TLS before the hub; it speaks HTTP/1.1, as the hub does.
const proxy = await Cutter.before(engine, { port: Number(hubPort), secure });
const everything = access(['publish'], '*');
const publish = fields => publishUpdate(`${engine}${PATH}`, everything, fields);
const stream = JSON.stringify(`${hub}?match=${encodeURIComponent(topic)}`);

async function subscribed(page) {
  await page.evaluate(WATCH);
  await page.evaluate(`watch(${stream}, { withCredentials: true })`);
  return () => page.evaluate('next()');
}

/** Publishes from a page, by its cookie alone. */
const post = (page, to, data, mode = 'cors') => page.evaluate(`fetch(${JSON.stringify(hub)}, {
  method: 'POST', credentials: 'include', mode: '${mode}',
  body: new URLSearchParams({ topic: ${JSON.stringify(to)}, data: '${data}', private: 'on' }),
}).then(async answer => [answer.status, await answer.text()])`);

async function privateUpdates(browser) {
  const page = await browser.open(`${app}/login`);
  const next = await subscribed(page);
  assert.deepEqual(await next(), { type: 'open' });
  assert.match(await proxy.requests.take(), new RegExp(`^cookie: ${cookie}=`, 'im'));
  const stranger = await browser.open(`${app}/`, await browser.newUser());
  const seen = await subscribed(stranger);
  assert.deepEqual(await seen(), { type: 'open' });
  assert.doesNotMatch(await proxy.requests.take(), /^cookie:/im);

  const secret = await publish({ topic, data: 'secret', private: 'on' });
  const shown = await publish({ topic, data: 'for everybody' });
  const { origin } = new URL(hub);
  assert.deepEqual(await next(), { type: 'message', data: 'secret', id: secret, origin });
  assert.deepEqual(await next(), { type: 'message', data: 'for everybody', id: shown, origin });
  assert.equal((await seen()).id, shown, 'a stranger sees only what is public');

  // Cut off, it comes back by itself, with the cookie and its last id, and misses nothing.
  proxy.cut();
  assert.deepEqual(await next(), { type: 'error', state: 0 });
  const missed = await publish({ topic, data: 'missed', private: 'on' });
  proxy.mend();
  await opened(next);
  assert.equal((await next()).id, missed);

  // The page publishes by its cookie to what its token grants, and to nothing else.
  const [status, id] = await post(page, topic, 'by cookie');
  assert.equal(status, 200, id);
  assert.deepEqual(await next(), { type: 'message', data: 'by cookie', id, origin });
  assert.equal((await post(page, 'https://example.com/users/1', 'x'))[0], 403);
}

/** A page of the same site but another origin has the cookie as well: CORS and the hub keep it out. */
async function foreignOrigin(browser) {
  const foreign = await browser.open(`https://evil.mercure.test:${pagePort}/`);
  const next = await subscribed(foreign);
  assert.deepEqual(await next(), { type: 'error', state: 2 }, 'it may not read');
  await post(foreign, topic, 'evil', 'no-cors');
  const check = await browser.open(`${app}/`);
  await check.evaluate(WATCH);
  await check.evaluate(`watch(${stream} + '&last_event_id=earliest', { withCredentials: true })`);
  const end = await publish({ topic, data: 'the end' });
  let event;
  do {
    event = await check.evaluate('next()');
    assert.notEqual(event.data, 'evil', 'a foreign page has published');
  } while (event.id !== end);
}

const browser = new Browser([
  '--host-resolver-rules=MAP *.mercure.test 127.0.0.1', '--ignore-certificate-errors',
]);
await act(browser, [privateUpdates, foreignOrigin]);
