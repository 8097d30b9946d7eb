#!/usr/bin/env python3
"""What do slow attackers and floods of connections cost the subscribers beside them?

5,000 subscribers, 20 events/s of 100 bytes, alone and beside each of: 6,000 connections that send a
byte of a request head every few seconds (more than the 4,096 requests that a worker takes); 1,000
publishers that announce a long body and send 10 bytes a second of it; 2,000 subscribers that never
read; and connections that are opened and reset at once, 2,000 a second. Those of the first three
kinds that are closed come back, 500 a second. They have the client's CPU, at the lowest priority,
and are few enough to leave it to the client, whose p99 is judged; the engine has a CPU of its own.
"""

import contextlib
import json
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import client
import rig
import scenario
from summary import Figure

NONE = "no attack"
SUBSCRIBERS = 5_000
EVENTS_PER_S = 20
TICK_S = 0.02
OPENED_PER_S = 2_000
REOPENED_PER_S = 500
CONNECT_TIMEOUT_S = 0.2
# Attackers have an address of their own, so that they take no ports from the subscribers.
SOURCE = "127.9.0.1"
RESET = struct.pack("ii", 1, 0)
FIGURES = [
    Figure("p99_ms", "p99 of the subscribers, ms"),
    Figure("p50_ms", "p50 of the subscribers, ms"),
    Figure("server_busy", "The engine's CPU, of one"),
    Figure("opened_per_s", "Connections that the attackers opened a second", digits=0,
           is_difference=True),
    Figure("attackers_busy", "The attackers' CPU, of one", is_difference=True),
    Figure("peak_rss_mib", "Peak of the engine's memory, MiB", is_difference=True),
]


class Attack:
    """`held` connections, each sent `first` when it opens and then `drip` every `every_s`."""

    def __init__(self, held, first, drip=b"", every_s=1.0, receive_bytes=None):
        self.held, self.first, self.drip = held, first, drip
        self.every_s, self.receive_bytes = every_s, receive_bytes

    def run(self, port, said):
        """Until the process is ended; `said` counts what was opened."""
        selector, due = selectors.DefaultSelector(), {}
        while True:
            now = time.monotonic()
            per_s = OPENED_PER_S if said["opened"] < self.held else REOPENED_PER_S
            for _ in range(int(min(per_s * TICK_S, self.held - len(due)))):
                one = connect(port, self.receive_bytes)
                if one is None:
                    break
                # Who reads nothing is not told either that it was closed.
                if self.drip:
                    selector.register(one, selectors.EVENT_READ)
                due[one] = now + random.random() * self.every_s
                said["opened"] += 1
                self.send(one, self.first)
            for key, _ in selector.select(0):
                if not self.is_open(key.fileobj):
                    self.close(key.fileobj, selector, due)
            for one in [one for one, when in due.items() if self.drip and when <= now]:
                due[one] = now + self.every_s
                if not self.send(one, self.drip):
                    self.close(one, selector, due)
            time.sleep(max(0, TICK_S - (time.monotonic() - now)))

    @staticmethod
    def send(one, data):
        try:
            return one.send(data) >= 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    @staticmethod
    def is_open(one):
        try:
            return bool(one.recv(4096))
        except BlockingIOError:
            return True
        except OSError:
            return False

    @staticmethod
    def close(one, selector, due):
        selector.unregister(one)
        due.pop(one, None)
        one.close()


class Flood:
    """Connections that are opened and reset at once."""

    def __init__(self, per_s):
        self.per_s = per_s

    def run(self, port, said):
        started = time.monotonic()
        while True:
            while said["opened"] < (time.monotonic() - started) * self.per_s:
                one = connect(port)
                if one is None:
                    break
                said["opened"] += 1
                one.close()
            time.sleep(TICK_S)


def connect(port, receive_bytes=None):
    """A connection that is reset when it is closed; none where it cannot be opened at once."""
    one = socket.socket()
    one.settimeout(CONNECT_TIMEOUT_S)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if receive_bytes:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    try:
        one.bind((SOURCE, 0))
        one.connect(("127.0.0.1", port))
    except OSError:
        one.close()
        return None
    one.setblocking(False)
    return one


HOST = "Host: 127.0.0.1\r\n"
ATTACKS = {
    "slow heads": Attack(6_000, f"GET /events/t HTTP/1.1\r\n{HOST}X: ".encode(), b"y", 5.0),
    "slow bodies": Attack(1_000, f"POST /events/of-attackers HTTP/1.1\r\n{HOST}"
                                 "Content-Length: 100000\r\n\r\n".encode(), b"x" * 10),
    "slow readers": Attack(2_000, f"GET /events/t HTTP/1.1\r\n{HOST}\r\n".encode(),
                           receive_bytes=2_048),
    "floods": Flood(2_000),
}


def attack(name, port):
    """The attackers' process: says what it has opened when it is ended."""
    said = {"opened": 0}
    os.nice(19)

    def end(*_):
        said["cpu_s"] = sum(os.times()[:2])
        print(json.dumps(said), flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.alarm(300)  # whatever becomes of who has started it
    ATTACKS[name].run(port, said)


@contextlib.contextmanager
def attacked(name, port, options, said):
    """Puts an attack on a port for the length of a `with`; `said` has what it did."""
    if name == NONE:
        yield
        return
    words = ["taskset", "-c", str(options.client_cpu), sys.executable, __file__,
             "--attack", name, str(port)]
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        process.terminate()
        text, _ = process.communicate(timeout=rig.STOP_TIMEOUT_S)
        said |= json.loads(text or "{}") | {"seconds": time.monotonic() - started}


def measure(name, options, path):
    """One run beside one attack, on an engine that nobody has used yet."""
    engine = rig.known_servers()["engine"]
    said = {}
    log = Path(f"{path}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with rig.serving(engine, options.server_cpu, options.bin, log) as running:
        load = client.Load(options.subscribers, events_per_s=EVENTS_PER_S)
        with attacked(name, running.port, options, said):
            result = client.measure(load, running, options)
    log.unlink()
    figures = result["figures"]
    figures["attackers_busy"] = said.get("cpu_s", 0) / said.get("seconds", 1)
    figures["opened_per_s"] = said.get("opened", 0) / said.get("seconds", 1)
    figures["peak_rss_mib"] = figures["peak_rss_bytes"] / (1 << 20)
    rig.write_json(Path(f"{path}.json"), {"attack": name, "attackers": said} | result)
    return figures


def main():
    options = scenario.options(__doc__, [])
    options.subscribers = options.subscribers or SUBSCRIBERS
    options.warm_up = 5 if options.warm_up is None else options.warm_up
    subjects = {name: partial(measure, name, options) for name in [NONE, *ATTACKS]}
    rounds = scenario.run_rounds("attack", subjects, options)
    scenario.report("attack", __doc__, rounds, FIGURES, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--attack"]:
        attack(sys.argv[2], int(sys.argv[3]))
    main()
