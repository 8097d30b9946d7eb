#!/usr/bin/env python3
"""How many events a second does one engine take in, all of it on one core, when nobody listens?

A publisher on another CPU writes as fast as the engine reads: JSON lines on one connection, arrays
of 512 events, and one POST for each event, eight unanswered. The engine's share of its core says
who was the limit. With subscribers the same core has to send as well; what that costs is the
question of `saturation.py`.
"""

import contextlib
import itertools
import json
import socket
import statistics
import time
from dataclasses import dataclass

import lone
import rig
import scenario

ARRAY_EVENTS = 512
UNANSWERED = 8
BLOCK_BYTES = 256 << 10  # written at once, a chunk each
SECONDS = 2
LINES_MIN = 300_000  # events/s on one connection of lines with 100 B each
TIMEOUT_S = 60
# Without a publish key the engine takes events only under a loopback name.
HOST = "host: 127.0.0.1\r\n"
BUSY_MIN = 0.9  # below this share of its CPU it was not the engine that limited


@dataclass
class Case:
    """A way in, and what is published."""

    way: str
    data_bytes: int = 100
    topics: int = 1
    workers: int = 1

    def name(self):
        said = f"{self.way}, {self.data_bytes} B"
        said += f", {self.topics:,} topics" if self.topics > 1 else ""
        return said + (f", {self.workers} workers" if self.workers > 1 else "")


CASES = [Case("lines"), Case("lines", 16), Case("lines", 1_000), Case("lines", topics=1_000),
         Case("lines", topics=100_000), Case("lines", workers=2), Case("arrays"), Case("posts")]


def main():
    options = scenario.options(__doc__, ["engine"])
    options.seconds = min(options.seconds, SECONDS)
    folder = options.out / "publish"
    rig.write_json(folder / "environment.json", rig.environment())
    found = {case.name(): [] for case in CASES}
    for number, case in itertools.product(range(1, options.rounds + 1), CASES):
        print(f"publish: round {number} of {options.rounds}, {case.name()}", flush=True)
        found[case.name()].append(run_once(case, options, folder / f"{number:02}.log"))
    text = summary(found)
    rig.write_json(folder / "rounds.json", found)
    (folder / "summary.md").write_text(text)
    print(f"\n{text}")


def run_once(case, options, log_path):
    command = options.servers[0].command.replace("--workers 1", f"--workers {case.workers}")
    server = rig.Server("engine", command)
    with rig.serving(server, options.server_cpu, options.bin, log_path) as running:
        WAYS[case.way](running.port, case, options.seconds / 4)  # warm: histories fill up
        before, began = lone.cpu_s(running), time.monotonic()
        count = WAYS[case.way](running.port, case, options.seconds)
        passed, busy = time.monotonic() - began, lone.cpu_s(running) - before
    log_path.unlink()
    return {"events_per_s": count / passed, "busy": busy / passed, "cpu_us": busy / count * 1e6}


def objects(case, count):
    """So many events, dealt out to the topics in turn."""
    data = ("abcdefghijklmnopqrstuvwxyz012345" * (case.data_bytes // 32 + 1))[:case.data_bytes]
    return [json.dumps({"topic": f"t-{number % case.topics}", "data": data},
                       separators=(",", ":")) for number in range(count)]


def lines(port, case, seconds):
    """One request whose body does not end before the time is over."""
    some = objects(case, max(case.topics, 1_000))
    text = "".join(f"{line}\n" for line in some).encode()
    text *= max(1, BLOCK_BYTES // len(text))
    chunks = [text[at:at + BLOCK_BYTES] for at in range(0, len(text), BLOCK_BYTES)]
    framed = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    with connect(port) as server:
        head = (f"POST /events HTTP/1.1\r\n{HOST}content-type: application/x-ndjson\r\n"
                "transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        server.sendall(head.encode())
        deadline = time.monotonic() + seconds
        # One that refuses says so and closes; its answer tells more than the broken pipe.
        with contextlib.suppress(BrokenPipeError):
            while time.monotonic() < deadline:
                for chunk in framed:  # whole rounds, so that the last line is whole
                    server.sendall(chunk)
            server.sendall(b"0\r\n\r\n")
        head, _, body = read_all(server).partition(b"\r\n\r\n")
    if b" 200 " not in head:
        raise SystemExit(f"the engine refused: {body[:500]!r}")
    return json.loads(body)["accepted"]


def arrays(port, case, seconds):
    body = f"[{','.join(objects(case, ARRAY_EVENTS))}]".encode()
    head = (f"POST /events HTTP/1.1\r\n{HOST}content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n").encode()
    return requests(port, head + body, 1, seconds) * ARRAY_EVENTS


def posts(port, case, seconds):
    data = "x" * case.data_bytes
    request = f"POST /events/t-0 HTTP/1.1\r\n{HOST}content-length: {len(data)}\r\n\r\n{data}"
    return requests(port, request.encode(), UNANSWERED // 2, seconds)


def requests(port, request, together, seconds):
    """Requests on one connection, `together` in a write; how many were answered with 200."""
    answered, sent, rest = 0, 0, b""
    with connect(port) as server:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or answered < sent:
            while time.monotonic() < deadline and sent - answered <= UNANSWERED - together:
                server.sendall(request * together)
                sent += together
            rest += server.recv(1 << 20)
            answered += rest.count(b"HTTP/1.1 200 ")
            if b"HTTP/1.1 5" in rest:
                raise SystemExit(f"the engine is overloaded: {rest[:500]!r}")
            # A status line may lie across two reads.
            rest = rest[-12:]
    return answered


def connect(port):
    server = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def read_all(server):
    return b"".join(iter(lambda: server.recv(1 << 16), b""))


WAYS = {"lines": lines, "arrays": arrays, "posts": posts}


def summary(found):
    rows = []
    for name, runs in found.items():
        rates = [run["events_per_s"] for run in runs]
        busy, cpu = (statistics.median(run[key] for run in runs) for key in ("busy", "cpu_us"))
        limit = "" if busy >= BUSY_MIN else "the publisher was the limit"
        rows.append(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to "
                    f"{max(rates):,.0f} | {cpu:.2f} | {busy:.0%} | {limit} |")
    rate = statistics.median(run["events_per_s"] for run in found[CASES[0].name()])
    verdict = "holds" if rate >= LINES_MIN else "misses"
    return "\n".join([
        "# publish", "", __doc__.strip(), "",
        f"Lines with 100 B each: {rate:,.0f} events/s; the engine holds at least {LINES_MIN:,}: "
        f"{verdict}.", "",
        "| way | events/s | lowest to highest | CPU per event, µs | core | |",
        "| --- | ---: | ---: | ---: | ---: | --- |", *rows, ""])


if __name__ == "__main__":
    main()
