// What the JavaScript clients have in common: publishing, and a way to cut connections.
//
// Nothing here waits for a time to pass: every wait is for something that has to happen, and the
// whole script has one deadline.

import assert from 'node:assert/strict';
import net from 'node:net';
import tls from 'node:tls';

setTimeout(() => {
  console.error('the deadline has passed');
  process.exit(1);
}, 100_000).unref();

/** Publishes one event; gives its id. `query` is as in `?event=tick`. */
export async function publish(engine, topic, data, query = '') {
  const url = `${engine}/events/${encodeURIComponent(topic)}${query}`;
  const answer = await fetch(url, { method: 'POST', body: data });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).id;
}

/** A list that one side adds to and the other takes from, waiting if need be. */
export class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const taker = this.#waiting.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  take() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}

/**
 * A TCP proxy before the engine that can cut all connections and refuse new ones. Keeps what
 * clients sent, to see with which id they come back.
 */
export class Cutter {
  #sockets = new Set();
  #isOpen = true;
  requests = new Inbox();

  /** With `secure`, a key and a certificate, clients come by TLS; with `port`, to that one. */
  static async before(engine, { port: own = 0, secure } = {}) {
    const { hostname, port } = new URL(engine);
    const cutter = new Cutter();
    const serve = client => {
      if (!cutter.#isOpen) return client.destroy();
      const upstream = net.connect(Number(port), hostname);
      for (const [from, to] of [[client, upstream], [upstream, client]]) {
        cutter.#sockets.add(from);
        from.on('error', () => {}).on('close', () => {
          cutter.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
      let head = '';
      client.on('data', piece => {
        head += piece.toString('latin1');
        if (head.includes('\r\n\r\n')) {
          cutter.requests.put(head);
          head = '';
        }
      });
    };
    const server = secure ? tls.createServer(secure, serve) : net.createServer(serve);
    await new Promise(resolve => server.listen(own, '127.0.0.1', resolve));
    server.unref();
    cutter.url = `${secure ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
    return cutter;
  }

  /** Ends every connection; nobody comes in before `mend`. */
  cut() {
    this.#isOpen = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#isOpen = true;
  }

  /** The `Last-Event-ID` of the next request, which is a GET; none if it has none. */
  async lastEventId() {
    const head = await this.requests.take();
    assert.match(head, /^GET /, 'it was asked for something else first');
    return /^last-event-id: (.*)\r$/im.exec(head)?.[1];
  }
}
