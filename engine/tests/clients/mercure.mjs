// npm's `eventsource` and `event-source-polyfill` as subscribers of a Mercure hub, with a token in the
// header, as Mercure's documentation has them.
// Usage: node mercure.mjs HUB_ORIGIN KEY

import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import polyfill from 'event-source-polyfill';
import { PATH, publishUpdate, sign } from './mercure_play.mjs';
import { Cutter, Inbox } from './play.mjs';

const [engine, key] = process.argv.slice(2);
const token = sign({ mercure: { publish: ['*'] } }, key);
const publish = fields => publishUpdate(`${engine}${PATH}`, token, fields);
const bearer = claims => ({ Authorization: `Bearer ${sign({ mercure: claims }, key)}` });
const pattern = 'https://example.com/books/{id}';
const book = number => `https://example.com/books/${number}`;

/** An EventSource of npm's `eventsource`: headers are its fetch's. */
const byFetch = (url, headers) => new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
});

/** One of the polyfill, which comes back with its last id in the query. */
const byPolyfill = (url, headers) => new polyfill.EventSourcePolyfill(url, {
  headers, lastEventIdQueryParameterName: 'lastEventID', heartbeatTimeout: 90_000,
});

async function open(make, url, headers) {
  const inbox = new Inbox();
  const source = make(url, headers);
  for (const name of ['message', 'tick']) {
    source.addEventListener(name, event => {
      inbox.put({ type: event.type, data: event.data, id: event.lastEventId });
    });
  }
  await new Promise((resolve, reject) => {
    source.onopen = resolve;
    source.onerror = event => reject(new Error(`not open: ${event.status ?? event.code}`));
  });
  source.onerror = null;
  return { source, next: () => inbox.take() };
}

/** The id with which a client comes back: in the header or in the query. */
function idOf(head) {
  const inHeader = /^last-event-id: (.*)\r$/im.exec(head)?.[1];
  return inHeader ?? new URL(head.split(' ')[1], engine).searchParams.get('lastEventID');
}

async function play(make) {
  const cutter = await Cutter.before(engine);
  const url = new URL(`${cutter.url}${PATH}`);
  for (const topic of [pattern, 'news']) url.searchParams.append('topic', topic);
  const reader = await open(make, url.href, bearer({ subscribe: [book(1), book(2)] }));
  const stranger = await open(make, `${engine}${PATH}?topic=${encodeURIComponent(pattern)}`, {});
  assert.equal(idOf(await cutter.requests.take()), null);

  for (const [fields, type] of [
    [{ topic: book(1), data: '{"title":"grüße 🌧"}' }, 'message'],
    [{ topic: 'news', data: 'two\nlines', type: 'tick' }, 'tick'],
    [{ topic: book(2), data: 'private', private: 'on', id: 'urn:own:1' }, 'message'],
    [{ topic: book(3), data: 'end' }, 'message'],
  ]) {
    const id = await publish(fields);
    assert.deepEqual(await reader.next(), { type, data: fields.data, id });
  }
  await publish({ topic: book(3), data: 'not for it', private: 'on' });
  assert.equal((await stranger.next()).data, '{"title":"grüße 🌧"}');
  assert.equal((await stranger.next()).data, 'end', 'without a token nothing private comes');
  stranger.source.close();

  // Cut off, it comes back with its last id and its token, and gets what it missed.
  const last = await publish({ topic: book(1), data: 'last', private: 'on' });
  assert.equal((await reader.next()).id, last);
  cutter.cut();
  const missed = [
    await publish({ topic: book(2), data: 'missed 1', private: 'on' }),
    await publish({ topic: 'news', data: 'missed 2' }),
  ];
  cutter.mend();
  assert.equal(idOf(await cutter.requests.take()), last);
  for (const id of missed) assert.equal((await reader.next()).id, id);
  const live = await publish({ topic: book(1), data: 'live again' });
  assert.equal((await reader.next()).id, live);
  reader.source.close();

  // Who has no right to publish hears it as the reference says it.
  const refused = await fetch(`${engine}${PATH}`, {
    method: 'POST', body: new URLSearchParams({ topic: 'news', data: 'x' }),
    headers: bearer({ publish: ['other'] }),
  });
  assert.deepEqual([refused.status, await refused.text()], [401, 'Unauthorized\n']);
}

for (const make of [byFetch, byPolyfill]) {
  await play(make).catch(error => {
    console.error(`${make.name}: ${error.stack}`);
    process.exit(1);
  });
}
process.exit(0);
