#!/usr/bin/env python3
"""What do a token and a selector cost a handshake, and what do they cost a delivery?

The same hub, with two kinds of streams: `without` is one topic by its name; `with` is a token
(HS256) whose claim grants a URI template, and the same template as the selector. Each subscriber
has a token of its own, signed for its `sub`, so nothing can be won by remembering tokens. A third
kind, which is not judged, has a template of its own as well, as where each user has a topic.

A round measures each kind twice, in an order that is turned within it (without, with, with,
without) and from round to round, each time on an engine of its own. What differs between the two
`without` of a round is the spread: nothing smaller has been shown.

Of handshakes the engine's CPU time until all streams are open is counted, by the scheduler's
nanoseconds, behind a thousand that are not counted. They come in bursts, because one client on one
CPU cannot keep the engine's busy otherwise. A rate of 0.8 means that a handshake with a token costs
a quarter more. Deliveries are counted by `downpour-load` at 20 events/s.
"""

import base64
import hashlib
import hmac
import json
import os
import resource
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import lone
import rig
import summary
from summary import Figure

SECRET = "a secret of the bench, of no use to anybody else"
TOPIC = "https://example.com/books/1"
TEMPLATE = "https://example.com/books/{id}"
OWN_TEMPLATE = "https://example.com/users/%d{/x*}"
WITHOUT, WITH = "without", "with token and selector"
WITH_OWN = "with token and selector of its own"
PATH = "/.well-known/mercure"
EVENTS_PER_S = 20
WARM_UP_STREAMS = 1_000
BURST_STREAMS = 500  # connected first, then heard of all at once: so the engine is not woken for each
PATIENCE_S = 60
SPARE_FILES = 100  # of this process, beside its streams
HANDSHAKES = [
    Figure("cpu_us_per_handshake", "The engine's CPU per handshake, µs", digits=1),
    Figure("handshakes_per_cpu_s", "Handshakes per second of the engine's CPU", digits=0,
           at_least=0.8, judges_all=True),
    Figure("engine_busy", "How busy the engine was"),
]
DELIVERIES = [
    Figure("cpu_us_per_delivery", "The engine's CPU per delivery, µs", digits=3, at_most=1.02,
           judges_all=True),
]


def main():
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    raise_files(options.handshakes + WARM_UP_STREAMS)
    os.sched_setaffinity(0, {options.client_cpu})
    pages = []
    if "handshakes" in options.what:
        rounds = measured("handshakes", [WITHOUT, WITH, WITH_OWN], open_streams, options)
        judged = [[run for run in one if run[0] != WITH_OWN] for one in rounds]
        pages.append(summary.markdown("tokens: handshakes", __doc__,
                                      summary.Rounds(WITHOUT, judged), HANDSHAKES))
        own = [[run for run in one if run[0] != WITH] for one in rounds]
        figures = [Figure(one.key, one.title, digits=one.digits) for one in HANDSHAKES[:2]]
        pages.append(summary.markdown("tokens: handshakes with a selector of each one's own", "",
                                      summary.Rounds(WITHOUT, own), figures))
    if "deliveries" in options.what:
        rounds = measured("deliveries", [WITHOUT, WITH], deliver, options)
        pages.append(summary.markdown("tokens: deliveries", __doc__,
                                      summary.Rounds(WITHOUT, rounds), DELIVERIES))
    rig.write_json(options.out / "environment.json", rig.environment())
    text = "\n".join(pages)
    (options.out / f"summary-{'-'.join(options.what)}.md").write_text(text)
    print(text)


def read_options():
    parser = lone.arguments(__doc__, "tokens")
    parser.add_argument("--what", nargs="+", choices=["handshakes", "deliveries"],
                        default=["handshakes", "deliveries"])
    parser.add_argument("--rounds", type=int, default=8, help="each kind twice")
    parser.add_argument("--handshakes", type=int, default=15_000)
    parser.add_argument("--subscribers", type=int, default=3_000, help="who are delivered to")
    parser.add_argument("--seconds", type=int, default=6, help="measured window of deliveries")
    return parser.parse_args()


def raise_files(streams):
    """Lets this process open as many files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if streams + SPARE_FILES > most:
        raise SystemExit(f"{streams} streams need more files than a process may open ({most}); "
                         "take fewer --handshakes, or raise the limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measured(what, kinds, measure, options):
    """All rounds of a measurement."""
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"tokens: {what}, round {number} of {options.rounds}", flush=True)
        order = kinds + kinds[::-1] if number % 2 else kinds[::-1] + kinds
        one = []
        for place, kind in enumerate(order):
            figures, report = measure(kind, options)
            one.append((kind, figures))
            rig.write_json(options.out / f"{what}-{number:02}-{place}.json",
                           {"kind": kind, "figures": figures, "report": report})
        rounds.append(one)
    return rounds


def open_streams(kind, options):
    """Opens streams one after the other, and counts the engine's CPU until it holds them all."""
    requests = [request(kind, n) for n in range(WARM_UP_STREAMS + options.handshakes)]
    admin, streams = rig.free_port(), []
    with hub(options, admin) as one:
        def hold(wanted):
            while len(streams) < wanted:
                texts = requests[len(streams):min(wanted, len(streams) + BURST_STREAMS)]
                burst = [socket.create_connection(("127.0.0.1", one.port)) for _ in texts]
                for stream, text in zip(burst, texts):
                    stream.sendall(text)
                streams.extend(burst)
            deadline = time.monotonic() + PATIENCE_S
            while (held := lone.subscribers(admin)) < wanted:
                if time.monotonic() > deadline:
                    raise SystemExit(f"only {held} streams of {wanted} opened")
                time.sleep(0.02)
        hold(WARM_UP_STREAMS)
        before, start = cpu_ns(one), time.monotonic()
        hold(len(requests))
        spent_ns, elapsed_s = cpu_ns(one) - before, time.monotonic() - start
        for stream in streams:
            stream.close()
    report = {"handshakes": options.handshakes, "cpu_ns": spent_ns, "elapsed_s": elapsed_s}
    return {
        "cpu_us_per_handshake": spent_ns / options.handshakes / 1e3,
        "handshakes_per_cpu_s": options.handshakes / spent_ns * 1e9,
        "engine_busy": spent_ns / 1e9 / elapsed_s,
    }, report


def cpu_ns(running):
    """What the scheduler has given a server's threads so far. Exact where they sleep; the clock of
    /proc/PID/stat has steps of 10 ms."""
    tasks = [task for pid in running.pids() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def request(kind, number):
    """The request of one subscriber."""
    selector = TOPIC if kind == WITHOUT else granted(kind, number)
    lines = [f"GET {PATH}?topic={quote(selector, safe='')} HTTP/1.1", "Host: 127.0.0.1",
             "Accept: text/event-stream"]
    if kind != WITHOUT:
        lines.append(f"Authorization: Bearer {token('subscribe', granted(kind, number), number)}")
    return "\r\n".join(lines + ["", ""]).encode()


def granted(kind, number):
    return OWN_TEMPLATE % number if kind == WITH_OWN else TEMPLATE


def deliver(kind, options):
    """The load generator's report of a slow broadcast."""
    with hub(options, None) as one:
        words = lone.load(options, one, "run", options.subscribers, "--profile", "mercure",
                          "--publish", f"POST http://127.0.0.1:{one.port}{PATH}",
                          "--publish-body", f"topic={quote(TOPIC, safe='')}&data={{data}}",
                          "--publish-header", "Content-Type: application/x-www-form-urlencoded",
                          "--publish-header",
                          f"Authorization: Bearer {token('publish', TEMPLATE, 0)}",
                          "--rate", str(EVENTS_PER_S), "--warmup", "2s",
                          "--duration", f"{options.seconds}s", "--json", "-")
        done = subprocess.run(subscribe_at(words, one, kind), capture_output=True, text=True,
                              timeout=120)
    # 3 and 4: deliveries that took too long, or a measurement that it doubts; both are in it.
    if done.returncode not in (0, 3, 4):
        raise SystemExit(f"downpour-load ended with {done.returncode}: {done.stderr[-2000:]}")
    report = json.loads(done.stdout)
    return {"cpu_us_per_delivery": report["server"]["cpu_per_delivery_ns"] / 1e3,
            "missing": report["counts"]["lost"]}, report


def subscribe_at(words, one, kind):
    """The words of a load generator with the URL and the header of one kind of streams."""
    selector = quote(TOPIC if kind == WITHOUT else TEMPLATE, safe="")
    plain = f"http://127.0.0.1:{one.port}"
    words = [f"{plain}{PATH}?topic={selector}" if word == plain else word for word in words]
    header = f"Authorization: Bearer {token('subscribe', TEMPLATE, 0)}"
    return words if kind == WITHOUT else words + ["-H", header]


def token(right, selector, number):
    """A token of version 0 that grants a selector to the user of this number."""
    now = int(time.time())
    claims = {"mercure": {right: [selector]}, "sub": f"user-{number}", "iat": now,
              "exp": now + 3600}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    message = ".".join(parts)
    signature = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{encoded(signature)}"


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def hub(options, admin, *flags):
    """The engine as a hub that takes anonymous subscribers, and tokens signed with the secret."""
    settings = options.out / "hub.mercure"
    settings.write_text(f'anonymous\npublisher_jwt "{SECRET}"\nsubscriber_jwt "{SECRET}"\n')
    return lone.serving(options, "--mercure", "8", "--mercure-file", str(settings), *flags,
                        admin=admin)


if __name__ == "__main__":
    main()
