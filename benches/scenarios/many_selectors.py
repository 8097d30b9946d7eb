#!/usr/bin/env python3
"""What do 100,000 selectors cost an event, at 10,000 events a second to one worker?

A thousand streams of the hub with a hundred topics each, every one of them different: `names` asks
for them by name, `templates` by a URI template that matches the same topics and more. Events go to
these topics in turn that is drawn by lot, so each is for exactly one stream, and all must come.

The engine's CPU per event, all that it does for one: reading the line, numbering, matching and a
send. A round measures each kind twice, in an order that is turned; what differs between the two
`names` of a round is the spread. The first event of a topic is matched; later ones know their
subscribers from the topic's. So in the measured part every topic is new, and for `known` it is not.
"""

import contextlib
import json
import os
import random
import selectors
import socket
import time
from urllib.parse import quote

import lone
import rig
import summary
import tokens
from summary import Figure

NAMES, TEMPLATES, KNOWN = "names", "templates", "templates, known topics"
TOPIC = "https://example.com/users/{}/books/{}"
DATA, EVENT_END = "x" * 64, b"x\n\n"
BATCH_S = 0.01
PATIENCE_S = 30
SEED = 1
FIGURES = [
    Figure("cpu_us_per_event", "The engine's CPU per event, µs", digits=2),
    Figure("engine_busy", "How busy the engine was"),
    Figure("missing", "Events that did not come", digits=0),
]


def main():
    parser = lone.arguments(__doc__, "many-selectors")
    parser.add_argument("--rounds", type=int, default=3, help="each kind twice")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=100, help="selectors of a stream")
    parser.add_argument("--rate", type=int, default=10_000, help="events a second")
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {options.client_cpu})
    rounds = tokens.measured("selectors", [NAMES, TEMPLATES, KNOWN], measure, options)
    text = summary.markdown("many selectors", __doc__, summary.Rounds(NAMES, rounds), FIGURES)
    rig.write_json(options.out / "environment.json", rig.environment())
    (options.out / "summary.md").write_text(text)
    print(text)


def measure(kind, options):
    events = options.rate * options.seconds
    users = options.streams * options.each
    lot = random.Random(SEED)
    # Of `names` there is one book each; of templates every event may have a book of its own.
    books = [0 if kind != TEMPLATES else n for n in range(events)]
    topics = [TOPIC.format(lot.randrange(users), book) for book in books]
    with tokens.hub(options, None, "--events", "on", "--topics-max", str(2 * max(events, users))) as one:
        with Readers(one.port, kind, options) as readers, Publisher(one.port) as publisher:
            if kind == KNOWN:
                publisher.send([TOPIC.format(user, 0) for user in range(users)])
                readers.read_until(users)
            before, began, start = readers.count, time.monotonic(), tokens.cpu_ns(one)
            step = int(options.rate * BATCH_S)
            for number, at in enumerate(range(0, events, step)):
                readers.read_for(began + number * BATCH_S - time.monotonic())
                publisher.send(topics[at:at + step])
            spent_ns, elapsed_s = tokens.cpu_ns(one) - start, time.monotonic() - began
            readers.read_until(before + events)
            missing = before + events - readers.count
    report = {"events": events, "selectors": users, "cpu_ns": spent_ns, "elapsed_s": elapsed_s}
    return {"cpu_us_per_event": spent_ns / events / 1e3,
            "engine_busy": spent_ns / 1e9 / elapsed_s, "missing": missing}, report


class Readers:
    """The streams, and how many events they have brought."""

    def __init__(self, port, kind, options):
        self.count, self.selector = 0, selectors.DefaultSelector()
        for stream in range(options.streams):
            users = range(stream * options.each, (stream + 1) * options.each)
            book = "0" if kind == NAMES else "{id}"
            asked = "&".join(f"topic={quote(TOPIC.format(user, book), safe='')}" for user in users)
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(f"GET {tokens.PATH}?{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536) or self.refused(head)
            connection.setblocking(False)
            # The last bytes of what came before: an event's end may be cut in two.
            self.selector.register(connection, selectors.EVENT_READ, bytearray())
        self.count = 0

    @staticmethod
    def refused(head):
        raise SystemExit(f"a stream was refused: {head.decode()}")

    def read_for(self, seconds):
        end = time.monotonic() + seconds
        while True:
            for key, _ in self.selector.select(max(0, end - time.monotonic())):
                came = bytes(key.data) + (key.fileobj.recv(65536) or self.refused(b"cut off"))
                self.count += came.count(EVENT_END)
                key.data[:] = came[1 - len(EVENT_END):]
            if time.monotonic() >= end:
                return

    def read_until(self, count):
        deadline = time.monotonic() + PATIENCE_S
        while self.count < count and time.monotonic() < deadline:
            self.read_for(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


class Publisher:
    """One request that never ends, an event on each line."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.sendall(b"POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                                b"Content-Type: application/x-ndjson\r\n\r\n")

    def send(self, topics):
        lines = "".join(json.dumps({"topic": topic, "data": DATA}) + "\n" for topic in topics)
        self.connection.sendall(f"{len(lines):x}\r\n{lines}\r\n".encode())
        with contextlib.suppress(BlockingIOError):
            said = self.connection.recv(4096, socket.MSG_DONTWAIT)
            raise SystemExit(f"publishing has ended: {said.decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


if __name__ == "__main__":
    main()
