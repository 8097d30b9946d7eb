// npm's `eventsource` as a subscriber. Usage: node eventsource.mjs ENGINE

import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import { Cutter, Inbox, publish } from './play.mjs';

const engine = process.argv[2];
const cutter = await Cutter.before(engine);
const inbox = new Inbox();
const source = new EventSource(`${cutter.url}/events?topic=t&topic=u`);
for (const name of ['message', 'tick', 'gap']) {
  source.addEventListener(name, event => {
    inbox.put({ type: event.type, data: event.data, id: event.lastEventId });
  });
}
await new Promise((resolve, reject) => {
  source.onopen = resolve;
  source.onerror = event => reject(new Error(`not open: ${event.message}`));
});
source.onerror = null;
assert.equal(await cutter.lastEventId(), undefined);

// Data of every kind, in order, over both topics.
for (const [topic, data, query, type] of [
  ['t', 'plain', '', 'message'],
  ['u', 'line\nline\n\nline', '', 'message'],
  ['t', 'grüße 🌧 \u2028 x', '?event=tick', 'tick'],
  ['t', '', '', 'message'],
]) {
  const id = await publish(engine, topic, data, query);
  assert.deepEqual(await inbox.take(), { type, data, id });
}

// Cut off, it comes back with the last id and gets what it missed, once.
const last = await publish(engine, 't', 'before the cut');
assert.equal((await inbox.take()).id, last);
cutter.cut();
const missed = [await publish(engine, 'u', 'missed 1'), await publish(engine, 't', 'missed 2')];
cutter.mend();
assert.equal(await cutter.lastEventId(), last);
for (const id of missed) assert.equal((await inbox.take()).id, id);
const live = await publish(engine, 't', 'live again');
assert.equal((await inbox.take()).id, live);

// Away for longer than the history (5 events), it is told so.
cutter.cut();
for (let number = 0; number < 10; number += 1) await publish(engine, 't', String(number));
cutter.mend();
assert.equal(await cutter.lastEventId(), live);
const gap = await inbox.take();
assert.equal(gap.type, 'gap');
assert.equal(JSON.parse(gap.data).reason, 'evicted');
assert.equal(JSON.parse(gap.data).resumes_after, gap.id);
for (const data of ['5', '6', '7', '8', '9']) assert.equal((await inbox.take()).data, data);

source.close();
