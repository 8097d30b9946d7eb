// Peer: fan-out in plain Node, as one writes it with `node:http` and nothing else.
//
// One process, one set of responses per topic, one shared Buffer per event. Tuned where that costs
// nothing: no Nagle (Node's default), and a body delimited by close, which spares two writes of
// chunk framing per event. A subscriber whose socket is full loses events instead of filling the
// heap; without that check, Node would keep every event for every slow reader.
// Routes: GET /events/{topic}, POST /events/{topic}, and JSON lines on POST /events.

import { createServer } from 'node:http';

const BACKLOG_COUNT = 65_535;
// Bytes that may wait in user space for one subscriber; the socket's own buffer comes on top.
const WAITING_BYTES_MAX = 1 << 20;

const topics = new Map();

function subscribers(topic) {
  let found = topics.get(topic);
  if (!found) topics.set(topic, (found = new Set()));
  return found;
}

function subscribe(topic, response) {
  response.removeHeader('Transfer-Encoding');
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache, no-transform',
    Connection: 'close',
  });
  response.write(':\n\n');
  const all = subscribers(topic);
  all.add(response);
  response.on('close', () => all.delete(response));
}

function publish(topic, data) {
  const lines = data.split(/\r\n|\r|\n/).join('\ndata: ');
  const frame = Buffer.from(`data: ${lines}\n\n`);
  for (const response of subscribers(topic)) {
    if (response.writableLength < WAITING_BYTES_MAX) response.write(frame);
  }
}

function publishLine(line) {
  if (line === '') return;
  const { topic, data } = JSON.parse(line);
  publish(topic, data);
}

async function publishLines(request) {
  let unfinished = '';
  for await (const chunk of request.setEncoding('utf8')) {
    const lines = (unfinished + chunk).split('\n');
    unfinished = lines.pop();
    lines.forEach(publishLine);
  }
  publishLine(unfinished);
}

async function publishBody(topic, request) {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  publish(topic, body);
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://peer');
  const [, root, topic] = pathname.split('/');
  if (root !== 'events') return response.writeHead(404).end();
  if (request.method === 'GET' && topic) return subscribe(topic, response);
  if (request.method !== 'POST') return response.writeHead(405).end();
  await (topic ? publishBody(topic, request) : publishLines(request));
  response.writeHead(200, { 'Content-Length': 2 }).end('{}');
}

const server = createServer((request, response) => {
  answer(request, response).catch(() => response.writeHead(400, { 'Content-Length': 0 }).end());
});
server.keepAliveTimeout = 0;
server.requestTimeout = 0; // a stream of JSON lines is one endless request
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: BACKLOG_COUNT });
