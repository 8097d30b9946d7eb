"""The client of a scenario: puts a load on a running server and says what came of it.

Every client's report is kept as it is and read into the same few figures, so that scenarios do
not know which client measured them.
"""

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass

import rig

# To connect, to drain, and for a publisher that a stuck server has to be given up for.
CONNECT_TIMEOUT_S = 120
SAMPLE_INTERVAL_S = 0.5


@dataclass
class Load:
    """What a client puts on a server."""

    subscribers: int
    events_per_s: int
    payload_bytes: int = 100
    stalled: int = 0
    counted_only: bool = False  # no latency: a client that only counts disturbs less
    lines: bool = False  # JSON lines where the server takes them, else one POST per event


def measure(load, running, options):
    """Runs the client once. Returns its figures and its whole report."""
    trouble = rig.packet_trouble()
    report, packet_bytes = run(receive_command(load, running, options), options)
    figures = receive_figures(report)
    figures |= {name: now - trouble[name] for name, now in rig.packet_trouble().items()}
    figures |= {"packet_bytes_max": packet_bytes, "peak_rss_bytes": running.peak_rss_bytes(),
                "published_share": published_share(report, load, options)}
    return {"figures": figures, "report": report}


def run(command, options):
    """The client's report, and the most bytes that sockets held while it ran."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_S + options.warm_up + options.seconds
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
    if child.returncode != 0:
        raise SystemExit(f"the client failed ({child.returncode}):\n{complaints[-2000:]}")
    return json.loads(said), packet_bytes


def receive_command(load, running, options, **instead):
    times = {"warm_up": options.warm_up, "seconds": options.seconds} | instead
    lines = load.lines and running.server.lines
    command = ["taskset", "-c", str(options.client_cpu), f"{options.bin}/floor-receive",
               "--connect", f"127.0.0.1:{running.port}",
               "--subscribers", str(load.subscribers), "--stalled", str(load.stalled),
               "--rate", str(load.events_per_s), "--bytes", str(load.payload_bytes),
               "--publish", "lines" if lines else "post",
               "--read", "count" if load.counted_only else "stamps",
               "--warm-up", str(times["warm_up"]), "--seconds", str(times["seconds"])]
    for pid in running.pids():
        command += ["--server-pid", str(pid)]
    return command


def published_share(report, load, options):
    """Of the events that were due, those that the server let the client publish."""
    due_count = load.events_per_s * (options.warm_up + options.seconds)
    return report["whole_run"]["published_count"] / due_count if due_count else None


def receive_figures(report):
    latency = report["latency"] or {}

    def milliseconds(whom, percentile):
        found = latency.get(whom)
        return found[f"{percentile}_ns"] / 1e6 if found else None

    cpu_ns = report["server_cpu_ns_per_delivery"]
    return {
        "deliveries": report["delivery_count"],
        "missing": report["whole_run"]["missing_count"],
        "events_per_read": report["delivery_count"] / max(report["read_count"], 1),
        "closed": report["whole_run"]["closed_count"],
        "cpu_us_per_delivery": cpu_ns / 1e3 if cpu_ns else None,
        "million_deliveries_per_cpu_s": 1e3 / cpu_ns if cpu_ns else None,
        "million_deliveries_per_s": report["delivery_count"] * 1e3 / report["window_ns"],
        "p50_ms": milliseconds("to_each", "p50"),
        "p99_ms": milliseconds("to_each", "p99"),
        "max_ms": milliseconds("to_each", "max"),
        "last_p50_ms": milliseconds("to_last", "p50"),
        "last_p99_ms": milliseconds("to_last", "p99"),
        "server_busy": cpu_ns * report["delivery_count"] / report["window_ns"] if cpu_ns else None,
        "client_busy": report["client_cpu_ns"] / report["window_ns"],
    }
