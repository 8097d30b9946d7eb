"""The client of a scenario: puts a load on a running server and says what came of it.

Every client's report is kept as it is and read into the same few figures, so that scenarios do
not know which client measured them.
"""

import json
import subprocess
from dataclasses import dataclass

import rig

CONNECT_TIMEOUT_S = 120


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
    report = run(receive_command(load, running, options), options)
    now = rig.packet_trouble()
    figures = receive_figures(report)
    figures["packets"] = {name: now[name] - trouble[name] for name in now}
    figures["server_pss_bytes"] = running.pss_bytes()
    return {"figures": figures, "report": report}


def run(command, options):
    limit_s = CONNECT_TIMEOUT_S + options.warm_up + options.seconds + 90
    done = subprocess.run(command, cwd=rig.ROOT, capture_output=True, text=True, timeout=limit_s)
    if done.returncode != 0:
        raise SystemExit(f"the client failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def receive_command(load, running, options):
    lines = load.lines and running.server.lines
    command = ["taskset", "-c", str(options.client_cpu), f"{options.bin}/floor-receive",
               "--connect", f"127.0.0.1:{running.port}",
               "--subscribers", str(load.subscribers), "--stalled", str(load.stalled),
               "--rate", str(load.events_per_s), "--bytes", str(load.payload_bytes),
               "--publish", "lines" if lines else "post",
               "--read", "count" if load.counted_only else "stamps",
               "--warm-up", str(options.warm_up), "--seconds", str(options.seconds)]
    for pid in running.pids():
        command += ["--server-pid", str(pid)]
    return command


def receive_figures(report):
    latency = report["latency"] or {}

    def milliseconds(whom, percentile):
        found = latency.get(whom)
        return found[f"{percentile}_ns"] / 1e6 if found else None

    cpu_ns = report["server_cpu_ns_per_delivery"]
    return {
        "deliveries": report["delivery_count"],
        "missing": report["whole_run"]["missing_count"],
        "closed": report["whole_run"]["closed_count"],
        "cpu_us_per_delivery": cpu_ns / 1e3 if cpu_ns else None,
        "million_deliveries_per_cpu_s": 1e3 / cpu_ns if cpu_ns else None,
        "million_deliveries_per_s": report["delivery_count"] * 1e3 / report["window_ns"],
        "p50_ms": milliseconds("to_each", "p50"),
        "p99_ms": milliseconds("to_each", "p99"),
        "max_ms": milliseconds("to_each", "max"),
        "last_p50_ms": milliseconds("to_last", "p50"),
        "last_p99_ms": milliseconds("to_last", "p99"),
        "client_busy": report["client_cpu_ns"] / report["window_ns"],
    }
