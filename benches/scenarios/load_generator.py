#!/usr/bin/env python3
"""What does the load generator itself cost, in CPU per received event and in memory?

First the CPU: a bare receive loop (`floor-receive --read count`) and `downpour-load` read the same
events from the same engine, in interleaved rounds; the load generator holds at most 1.1 times the
loop. Then the memory: so many subscribers are held that its fixed part does not hide what each
takes, and the largest resident size of the whole run, the making of its report included, is
divided by them.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import client
import rig
import summary
from summary import Figure

CPU_AT_MOST = 1.1
BYTES_AT_MOST = 300
HOLD_S = 10
SAMPLE_INTERVAL_S = 0.2
FIGURE = Figure("client_cpu_ns", "CPU of the client per received event, ns", digits=0,
                at_most=CPU_AT_MOST, judges_all=True)


def main():
    options = read_options()
    rounds = [one_round(number, options) for number in range(options.rounds)]
    table = summary.markdown("load-generator", __doc__.replace("\n\n", "\n"),
                             summary.Rounds("floor-receive", rounds), [FIGURE])
    held = hold(options)
    each = held["bytes_per_subscriber"]
    said = (f"## Memory\n\n{held['subscribers']:,} subscribers, {held['deliveries']:,} deliveries, "
            f"{held['lost']} lost, verdict {held['verdict']['status']}: {each:.0f} bytes per "
            f"subscriber at the highest; at most {BYTES_AT_MOST}: "
            f"{'holds' if each <= BYTES_AT_MOST else 'misses'}.\n\n"
            f"Opened at {held['connects_per_second']:,.0f}/s, {held['client_cpu_ns']:.0f} ns of "
            "CPU per received event.\n")
    (options.out / "summary.md").write_text(f"{table}\n{said}")
    rig.write_json(options.out / "held.json", held)
    rig.write_json(options.out / "environment.json", rig.environment())
    print(f"{table}\n{said}")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of loop, tool, loop")
    parser.add_argument("--seconds", type=int, default=6, help="measured window of a run")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--subscribers", type=int, default=10_000, help="of the rounds")
    parser.add_argument("--rate", type=int, default=10, help="events/s of the rounds")
    parser.add_argument("--held", type=int, default=200_000, help="of the memory run")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--bin", type=Path, default=rig.ROOT / "target/release")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def engine(options):
    return rig.serving(rig.known_servers()["engine"], options.server_cpu, options.bin,
                       options.out / "engine.log")


def one_round(number, options):
    told = []
    for place, name in enumerate(("floor-receive", "downpour-load", "floor-receive")):
        with engine(options) as running:
            load = client.Load(options.subscribers, options.rate, payload_bytes=128,
                               counted_only=True)
            options.client = name
            result = client.measure(load, running, options)
        cost = floor_cost if name == "floor-receive" else own_cost
        figures = result["figures"] | {"client_cpu_ns": cost(result["report"])}
        rig.write_json(options.out / f"{number}-{place}-{name}.json",
                       {"figures": figures, "report": result["report"]})
        told.append((name, figures))
    return told


def floor_cost(report):
    return report["client_cpu_ns_per_delivery"]


def own_cost(report):
    """From the rows that lie wholly in the measured window, of its one reading thread."""
    rows = [row for row in report["series"] if row["phase"] == "measure"][1:-1]
    busy_ns = sum(row["client_cpu"] * row["length_ns"] for row in rows)
    return busy_ns / sum(row["deliveries"] for row in rows)


def hold(options):
    """Many subscribers, an event to all of them every two seconds, memory watched all along."""
    with engine(options) as running:
        command = ["taskset", "-c", str(options.client_cpu), f"{options.bin}/downpour-load", "run",
                   f"http://127.0.0.1:{running.port}", "--quiet", "--json", "-", "--threads", "1",
                   "--subscribers", str(options.held), "--rate", "0.5", "--size", "128",
                   "--warmup", "2s", "--duration", f"{HOLD_S}s", "--horizon", "20s"]
        started = time.monotonic()
        with tempfile.TemporaryFile("w+") as said:
            child = subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE, text=True)
            series = []
            with contextlib.suppress(KeyboardInterrupt):
                while child.poll() is None:
                    resident = rig.status_bytes(f"{child.pid}/status", "VmRSS")
                    series.append([round(time.monotonic() - started, 1), resident])
                    time.sleep(SAMPLE_INTERVAL_S)
            said.seek(0)
            if child.returncode not in (0, 4):
                sys.exit(f"downpour-load failed: {child.stderr.read()[-2000:]}")
            report = json.loads(said.read().replace(f"{options.bin}/", ""))
    rig.write_json(options.out / "held-report.json", report)
    return {
        "subscribers": options.held,
        "deliveries": report["counts"]["unique"],
        **{name: report["counts"][name] for name in ("lost", "late", "unread")},
        "verdict": report["verdict"],
        "connects_per_second": report["connect"]["achieved_rate"],
        "client_cpu_ns": own_cost(report),
        "bytes_per_subscriber": max(resident for _, resident in series) / options.held,
        "resident_bytes": series,
    }


if __name__ == "__main__":
    main()
