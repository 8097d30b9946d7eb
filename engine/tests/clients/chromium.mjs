// Chromium's own EventSource as a subscriber, in a page of another origin than the engine's.
// Usage: node chromium.mjs ENGINE PAGE_PORT   (the engine allows http://localhost:PAGE_PORT)

import assert from 'node:assert/strict';
import http from 'node:http';
import { Browser, WATCH, act, opened } from './browser.mjs';
import { Cutter, publish } from './play.mjs';

const [engine, pagePort] = process.argv.slice(2);

async function otherOrigin(browser) {
  const page = await browser.open(`http://localhost:${pagePort}/`);
  const cutter = await Cutter.before(engine);
  const next = () => page.evaluate('next()');
  await page.evaluate(WATCH);
  const url = JSON.stringify(`${cutter.url}/events?topic=t&topic=u`);
  await page.evaluate(`watch(${url}, { withCredentials: true })`);
  assert.deepEqual(await next(), { type: 'open' });
  assert.equal(await cutter.lastEventId(), undefined);

  for (const [topic, data, query, type] of [
    ['t', 'plain', '', 'message'],
    ['u', 'line\nline\n\nline', '', 'message'],
    ['t', 'grüße 🌧 \u2028 x', '?event=tick', 'tick'],
    ['t', '', '', 'message'],
    ['t', 'own id', '?id=order-7', 'message'],
  ]) {
    const id = await publish(engine, topic, data, query);
    assert.deepEqual(await next(), { type, data, id, origin: cutter.url });
  }

  // Cut off, it comes back with the last id and gets what it missed, once.
  const last = await publish(engine, 't', 'before the cut');
  assert.equal((await next()).id, last);
  cutter.cut();
  assert.deepEqual(await next(), { type: 'error', state: 0 }, 'it is connecting again');
  const missed = [await publish(engine, 'u', 'missed 1'), await publish(engine, 't', 'missed 2')];
  cutter.mend();
  assert.equal(await cutter.lastEventId(), last);
  await opened(next);
  for (const id of missed) assert.equal((await next()).id, id);
  const live = await publish(engine, 't', 'live again');
  assert.equal((await next()).id, live);

  // Away for longer than the history (5 events), the page's script is told so.
  cutter.cut();
  for (let number = 0; number < 10; number += 1) await publish(engine, 't', String(number));
  cutter.mend();
  assert.equal(await cutter.lastEventId(), live);
  await opened(next);
  const gap = await next();
  assert.equal(gap.type, 'gap');
  assert.equal(JSON.parse(gap.data).reason, 'evicted');
  assert.equal(JSON.parse(gap.data).resumes_after, gap.id);
  for (const data of ['5', '6', '7', '8', '9']) assert.equal((await next()).data, data);

  // The page may publish as well, with what only a preflight allows; coming back needed none.
  const answer = await page.evaluate(`fetch(${JSON.stringify(`${cutter.url}/events`)}, {
    method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ topic: 't', data: 'from the page' }),
  }).then(answer => answer.json())`);
  assert.deepEqual((await next()).id, answer.id);
  for (const method of ['OPTIONS', 'POST']) {
    assert.equal((await cutter.requests.take()).split(' ')[0], method);
  }

  // A refusal can be read by the page, and ends an EventSource for good.
  const status = await page.evaluate(`fetch(${JSON.stringify(`${engine}/events`)}).then(a => a.status)`);
  assert.equal(status, 400);
  await page.evaluate(`source.close(), watch(${JSON.stringify(`${engine}/events`)})`);
  assert.deepEqual(await next(), { type: 'error', state: 2 });
}

async function foreignOrigin(browser) {
  // The same server under a name that the engine does not allow.
  const page = await browser.open(`http://127.0.0.1:${pagePort}/`);
  await page.evaluate(WATCH);
  await page.evaluate(`watch(${JSON.stringify(`${engine}/events/t`)}, { withCredentials: true })`);
  assert.deepEqual(await page.evaluate('next()'), { type: 'error', state: 2 });
  const blocked = await page.evaluate(`fetch(${JSON.stringify(`${engine}/events/t`)}, {
    method: 'POST', body: 'evil', mode: 'no-cors' }).then(() => 'sent', () => 'blocked')`);
  assert.ok(['sent', 'blocked'].includes(blocked));
  const check = await browser.open(`http://localhost:${pagePort}/`);
  await check.evaluate(WATCH);
  await check.evaluate(`watch(${JSON.stringify(`${engine}/events/t?last_event_id=earliest`)})`);
  let event;
  const id = await publish(engine, 't', 'the end');
  do {
    event = await check.evaluate('next()');
    assert.notEqual(event.data, 'evil', 'a foreign page has published');
  } while (event.id !== id);
}

async function startPage(browser) {
  const page = await browser.open(`${engine}/`);
  const text = 'shown on the start page';
  await page.evaluate(`document.querySelector('#data').value = ${JSON.stringify(text)}`);
  while (await page.evaluate(`document.querySelector('#state').textContent`) !== 'open');
  await page.evaluate(`document.querySelector('#pub').requestSubmit()`);
  while (!(await page.evaluate(`document.querySelector('#list').textContent`)).includes(text));
}

const pages = http.createServer((_request, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end('<!doctype html><title>A page of another origin</title>');
});
// Both names of loopback lead here.
await new Promise(resolve => pages.listen(Number(pagePort), '127.0.0.1', resolve));
pages.unref();

const browser = new Browser();
await act(browser, [otherOrigin, foreignOrigin, startPage]);
