"""The client of a scenario: puts a load on a running server and says what came of it.

There are two: the bare loop `floor-receive`, which disturbs least, and `downpour-load`, which
proves every delivery and judges its own measurement. Their reports are kept as they are and read
into the same few figures, so that scenarios do not know which client measured them.
"""

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass

import downpour_load
import floor_receive
import rig

CLIENTS = {"floor-receive": floor_receive, "downpour-load": downpour_load}
# To connect, to drain, and for a publisher that a stuck server has to be given up for.
SLACK_S = 120
SAMPLE_INTERVAL_S = 0.5


@dataclass
class Load:
    """What a client puts on a server."""

    subscribers: int
    events_per_s: int
    payload_bytes: int = 100
    topics: int = 1
    stalled: int = 0
    counted_only: bool = False  # no latency, where a client can do without: it disturbs less
    lines: bool = False  # JSON lines where the server takes them, else one POST per event


def measure(load, running, options):
    """Runs the client once. Returns its figures and its whole report."""
    client = CLIENTS[options.client]
    trouble = rig.packet_trouble()
    report, packet_bytes = run(client, client.command(load, running, options), options)
    figures = client.figures(report, load, options)
    figures |= {name: now - trouble[name] for name, now in rig.packet_trouble().items()}
    figures |= {"packet_bytes_max": packet_bytes, "peak_rss_bytes": running.peak_rss_bytes()}
    return {"figures": figures, "report": report}


def run(client, command, options):
    """The client's report, and the most bytes that sockets held while it ran."""
    deadline = time.monotonic() + SLACK_S + options.warm_up + options.seconds
    child = subprocess.Popen(command, cwd=rig.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
    packet_bytes = 0
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                said, complaints = child.communicate(timeout=SAMPLE_INTERVAL_S)
                break
            packet_bytes = max(packet_bytes, rig.tcp_sockets()[1])
            if time.monotonic() > deadline:
                raise SystemExit(f"the client did not end: {' '.join(command)}")
    finally:
        child.kill()
    if child.returncode not in client.EXIT_CODES:
        raise SystemExit(f"the client failed ({child.returncode}):\n{complaints[-2000:]}")
    return json.loads(said.replace(f"{options.bin}/", "")), packet_bytes
