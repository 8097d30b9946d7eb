#!/usr/bin/env python3
"""What do a token and a selector cost a handshake, and what do they cost a delivery?

The same hub, in rounds of streams without, with, and without again: without is one topic by its
name; with is a token (HS256), checked for each stream, whose claim grants a URI template, and the
same template as the selector. Of handshakes the engine's CPU time until all streams are open is
counted, because one client on one CPU cannot keep the engine's busy; so a rate of 0.8 means that
a handshake with a token costs a quarter more. Deliveries are counted at 20 events/s.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from urllib.parse import quote

import lone
import rig
import summary
from summary import Figure

SECRET = "a secret of the bench, of no use to anybody else"
TOPIC = "https://example.com/books/1"
TEMPLATE = "https://example.com/books/{id}"
WITHOUT, WITH = "without", "with token and selector"
SUBJECTS = (WITHOUT, WITH, WITHOUT)
PATH = "/.well-known/mercure"
EVENTS_PER_S = 20
FIGURES = [
    Figure("handshakes_per_cpu_s", "Handshakes per second of the engine's CPU", digits=0,
           at_least=0.8, judges_all=True),
    Figure("handshakes_per_s", "Handshakes per second, as this client manages them", digits=0),
    Figure("cpu_us_per_delivery", "The engine's CPU per delivery, µs", at_most=1.02,
           judges_all=True),
]


def main():
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"tokens: round {number} of {options.rounds}", flush=True)
        rounds.append([(subject, measure(subject, f"{number:02}-{place}", options))
                       for place, subject in enumerate(SUBJECTS)])
    text = summary.markdown("tokens", __doc__, summary.Rounds(WITHOUT, rounds), FIGURES)
    rig.write_json(options.out / "environment.json", rig.environment())
    (options.out / "summary.md").write_text(text)
    print(text)


def read_options():
    parser = lone.arguments(__doc__, "tokens")
    parser.add_argument("--rounds", type=int, default=5, help="of without, with, without")
    parser.add_argument("--handshakes", type=int, default=10_000)
    parser.add_argument("--subscribers", type=int, default=3_000, help="who are delivered to")
    parser.add_argument("--seconds", type=int, default=8, help="measured window of deliveries")
    return parser.parse_args()


def measure(subject, name, options):
    """Both measurements of one kind of streams, each on an engine of its own."""
    with_token = subject == WITH
    handshakes = open_streams(with_token, options)
    deliveries = deliver(with_token, options)
    rig.write_json(options.out / f"{name}.json",
                   {"subject": subject, "handshakes": handshakes, "deliveries": deliveries})
    return {
        "handshakes_per_cpu_s": handshakes["streams"] / handshakes["cpu_s"],
        "handshakes_per_s": handshakes["report"]["connect"]["achieved_rate"],
        "cpu_us_per_delivery": deliveries["server"]["cpu_per_delivery_ns"] / 1e3,
        "missing": deliveries["counts"]["lost"],
    }


def open_streams(with_token, options):
    """Opens streams as fast as the client can; the engine's CPU until it held them all."""
    admin = rig.free_port()
    with hub(options, admin) as one:
        before = lone.cpu_s(one)
        words = lone.load(options, one, "connect", options.handshakes, "--no-publish",
                          "--duration", "5s", "--warmup", "0s", "--settle", "0s", "--json", "-")
        words = subscribe_at(words, one, with_token)
        client = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 60
            while (held := lone.subscribers(admin)) < options.handshakes:
                if time.monotonic() > deadline or client.poll() is not None:
                    raise SystemExit(f"only {held} streams opened: {client.communicate()[1]}")
                time.sleep(0.02)
            cpu_s = lone.cpu_s(one) - before
            said, _ = client.communicate(timeout=60)
        finally:
            client.kill()
            client.wait()
    return {"streams": held, "cpu_s": cpu_s, "report": json.loads(said)}


def deliver(with_token, options):
    """The load generator's report of a slow broadcast."""
    with hub(options, None) as one:
        words = lone.load(options, one, "run", options.subscribers, "--profile", "mercure",
                          "--publish", f"POST http://127.0.0.1:{one.port}{PATH}",
                          "--publish-body", f"topic={quote(TOPIC, safe='')}&data={{data}}",
                          "--publish-header", "Content-Type: application/x-www-form-urlencoded",
                          "--publish-header", f"Authorization: Bearer {token('publish')}",
                          "--rate", str(EVENTS_PER_S), "--warmup", "2s",
                          "--duration", f"{options.seconds}s", "--json", "-")
        done = subprocess.run(subscribe_at(words, one, with_token), capture_output=True, text=True,
                              timeout=120)
    # 3 and 4: deliveries that took too long, or a measurement that it doubts; both are in it.
    if done.returncode not in (0, 3, 4):
        raise SystemExit(f"downpour-load ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def subscribe_at(words, one, with_token):
    """The words of a load generator with the URL and the header of one kind of streams."""
    selector = quote(TEMPLATE if with_token else TOPIC, safe="")
    plain = f"http://127.0.0.1:{one.port}"
    words = [f"{plain}{PATH}?topic={selector}" if word == plain else word for word in words]
    return words + (["-H", f"Authorization: Bearer {token('subscribe')}"] if with_token else [])


def token(right):
    """A token of version 0 that grants the template."""
    claims = {"mercure": {right: [TEMPLATE]}, "exp": int(time.time()) + 3600}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    message = ".".join(parts)
    signature = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{encoded(signature)}"


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def hub(options, admin):
    """The engine as a hub that takes anonymous subscribers, and tokens signed with the secret."""
    settings = options.out / "hub.mercure"
    settings.write_text(f'anonymous\npublisher_jwt "{SECRET}"\nsubscriber_jwt "{SECRET}"\n')
    return lone.serving(options, "--mercure", "8", "--mercure-file", str(settings), admin=admin)


if __name__ == "__main__":
    main()
