#!/usr/bin/env python3
"""Does an hour of everything at once change anything? Memory, descriptors, latency, lost events.

20,000 subscribers read 2 events a second; 50 a second leave and come anew; one in a hundred reads
slowly or not at all; every five minutes a fleet of 2,000 is cut off and comes back. The load
generator proves every delivery, and the engine's memory, descriptors and subscribers are looked at
all the time. What must hold: nothing lost, memory of the last ten minutes that of the ten after
the first ten, no descriptor more, p99 of the last ten minutes within a tenth of that of the first.

--minutes shortens it: the three stretches are then sixths of the time.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import lone
import million_machine as machine
import rig

LOOK_INTERVAL_S = 5
STORM_INTERVAL_S = 300
STORM_SUBSCRIBERS = 2_000
SLOW_SHARE, SLOW_BYTES_PER_S = "1%", 64
CHURN_PER_S = 50
EVENTS_PER_S = 2
# Memory moves by an allocator's page here and there; growth beyond both of these is a leak.
GROWTH_SHARE_MAX, GROWTH_BYTES_MIN = 0.03, 2 << 20
DESCRIPTORS_MAX = 32  # connections that are just being opened
LATENCY_MAX = 1.1  # p99 of the last stretch, of the first
PROVEN = ("lost", "late", "unread", "duplicate", "out_of_order", "corrupt", "malformed")
SLACK_S = 600


@dataclass
class Point:
    """Something that must hold."""

    name: str
    seen: str
    holds: bool


def main():
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    with machine.raised(machine.settings(options.subscribers + STORM_SUBSCRIBERS)):
        result = rig.without_folders(run(options), options)
    points = judge(result, options)
    rig.write_json(options.out / "run.json", result | {"points": [vars(one) for one in points]})
    text = summary(points, result, options)
    (options.out / "summary.md").write_text(text)
    print(f"\n{text}")
    sys.exit(0 if all(one.holds for one in points) else 1)


def read_options():
    parser = lone.arguments(__doc__, "soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=20_000)
    return parser.parse_args()


def run(options):
    admin = rig.free_port()
    trouble = rig.packet_trouble()
    with lone.serving(options, admin=admin) as one:
        client = start(client_command(one, options), options.out / "load.txt")
        try:
            looks, storms = watch(one, admin, client, options)
        finally:
            client.kill()
            client.wait()
        left = lone.await_none(admin, SLACK_S)
        packets = {name: now - trouble[name] for name, now in rig.packet_trouble().items()}
    load = json.loads((options.out / "load.json").read_text())
    for row in load["series"]:
        row.pop("histograms", None)  # nine tenths of the report; the percentiles stay
    return {"environment": rig.environment(), "load": load, "looks": looks, "storms": storms,
            "subscribers_left": left, "packets": packets, "client_exit": client.returncode}


def client_command(running, options):
    return lone.load(
        options, running, "run", options.subscribers, "--json", str(options.out / "load.json"),
        "--rate", str(EVENTS_PER_S), "--churn", str(CHURN_PER_S),
        "--slow", f"{SLOW_SHARE}:{SLOW_BYTES_PER_S}", "--warmup", "5s",
        "--duration", f"{options.minutes * 60:.0f}s", "--horizon", "30s")


def start(command, log_path):
    with open(log_path, "w") as log:
        return subprocess.Popen(command, cwd=rig.ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log)


def watch(running, admin, client, options):
    """Looks at the engine until the load generator is done, and sends storms meanwhile."""
    began, looks, storms, storm = time.monotonic(), [], [], None
    next_storm = min(STORM_INTERVAL_S, options.minutes * 60 / 6)
    try:
        while client.poll() is None:
            passed = time.monotonic() - began
            looks.append(look(running, admin) | {"s": round(passed, 1)})
            machine.check_memory()
            if storm and storm.poll() is not None:
                storms.append({"s": round(passed, 1), "exit": storm.returncode})
                storm = None
            if not storm and passed >= next_storm:
                storm = start(storm_command(running, options), options.out / "storm.txt")
                next_storm += min(STORM_INTERVAL_S, options.minutes * 60 / 6)
            if passed > options.minutes * 60 + SLACK_S:
                raise SystemExit("the load generator did not end")
            if len(looks) % 12 == 1:
                said = looks[-1]
                print(f"{passed / 60:.0f} min: {said['subscribers']:,} subscribers, "
                      f"{said['pss_bytes'] / 1e6:.1f} MB, {said['descriptors']} descriptors, "
                      f"{len(storms)} storms", flush=True)
            time.sleep(LOOK_INTERVAL_S)
    finally:
        if storm:
            storm.kill()
            storm.wait()
    return looks, storms


def storm_command(running, options):
    return ["taskset", "-c", str(options.client_cpu), f"{options.bin}/downpour-load", "storm",
            f"http://127.0.0.1:{running.port}/events/storm", "--subscribers",
            str(STORM_SUBSCRIBERS), "--rate", "5", "--waves", "2", "--within", "1KiB",
            "--back", "1s"]


def look(running, admin):
    pid = max(running.pids())
    sockets, packet_bytes = rig.tcp_sockets()
    return {"pss_bytes": running.pss_bytes(), "subscribers": lone.subscribers(admin),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "sockets": sockets,
            "packet_bytes": packet_bytes, "slab_bytes": rig.status_bytes("meminfo", "Slab")}


def stretches(options):
    """The first, the second and the last ten minutes, in seconds: sixths of an hour."""
    sixth = options.minutes * 60 / 6
    return {"first": (0, sixth), "second": (sixth, 2 * sixth), "last": (5 * sixth, 6 * sixth)}


def judge(result, options):
    """What must hold, what was seen of it, and whether it does."""
    load, looks = result["load"], result["looks"]
    measured = [row for row in load["series"] if row["phase"] == "measure"]
    start_s = measured[0]["t_ns"] / 1e9

    def mean(key, name):
        low, high = stretches(options)[name]
        return statistics.mean(one[key] for one in looks if low <= one["s"] - start_s < high)

    def p99_ms(name):
        low, high = stretches(options)[name]
        return statistics.median(row["p99_ns"] for row in measured if row["p99_ns"]
                                 and low <= row["t_ns"] / 1e9 - start_s < high) / 1e6

    memory = [mean("pss_bytes", name) for name in ("second", "last")]
    descriptors = [mean("descriptors", name) for name in ("second", "last")]
    late = [p99_ms(name) for name in ("first", "last")]
    growth = memory[1] - memory[0]
    counts, storms, left = load["counts"], result["storms"], result["subscribers_left"]
    broken = [f"{counts[name]} {name.replace('_', ' ')}" for name in PROVEN if counts[name]]
    failed = sum(storm["exit"] != 0 for storm in storms)
    return [
        Point("memory is flat", f"{memory[0] / 1e6:.2f} MB in the second stretch, "
              f"{memory[1] / 1e6:.2f} in the last",
              growth <= max(GROWTH_BYTES_MIN, memory[0] * GROWTH_SHARE_MAX)),
        Point("no descriptor leaks", f"{descriptors[0]:.1f} in the second stretch, "
              f"{descriptors[1]:.1f} in the last",
              descriptors[1] - descriptors[0] <= DESCRIPTORS_MAX),
        Point("nothing is lost, late, doubled, out of order or corrupt",
              f"of {counts['unique']:,} deliveries: {', '.join(broken) or 'none'}", not broken),
        Point(f"p99 of the last stretch is at most {LATENCY_MAX:g} × that of the first",
              f"{late[0]:.1f} ms, then {late[1]:.1f} ms: {late[1] / late[0]:.2f} × (median of the "
              "p99 of each interval)", late[1] <= late[0] * LATENCY_MAX),
        Point("every storm comes back without a gap",
              f"{len(storms)} storms of {STORM_SUBSCRIBERS:,}, {failed} with a broken proof",
              bool(storms) and not failed),
        Point("every subscriber is let go", f"{left} were not", left == 0),
        Point("the load generator believes its figures",
              f"its verdict is {load['verdict']['status']}", result["client_exit"] == 0),
    ]


def summary(points, result, options):
    counts, looks = result["load"]["counts"], result["looks"]
    missed = [point.name for point in points if not point.holds]
    verdict = "Does not hold: " + "; ".join(missed) + "." if missed else "All of it holds."
    return "\n".join([
        "# soak", "", __doc__.strip().split("\n\n")[0], "", verdict, "",
        f"- {options.minutes:g} minutes, {options.subscribers:,} subscribers, "
        f"{counts['unique']:,} deliveries, "
        f"{counts['ambiguous']} to subscribers that were just coming or going.",
        f"- Packets in sockets: {max(one['packet_bytes'] for one in looks) >> 20} MiB at most; "
        f"{result['packets']['softnet_dropped']} dropped on loopback.", "",
        "| what must hold | what was seen | |", "| --- | --- | --- |",
        *(f"| {one.name} | {one.seen} | {'holds' if one.holds else '**misses**'} |"
          for one in points), ""])


if __name__ == "__main__":
    main()
