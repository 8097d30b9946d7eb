#!/usr/bin/env python3
"""Can one process hold a million subscribers, and does each of them get every broadcast?

One engine of one worker on one CPU, one load generator on another, over loopback; while it opens
them, the load generator has both. All subscribers of one topic are opened, then ten broadcasts and more go out; the load generator proves every
delivery by stamp and sequence. The rate of connections is held against bare pairs of sockets
(`floor-pairs`) opened in the same run, the cost of a delivery against bare sends to them, and what
the machine's memory went to is accounted for.

Settings of the kernel that are too low are raised for the run and put back, and it has a network of
its own with a table of connections that fits, where that is allowed. It gives up by itself when
memory runs out, and ends all that it has started. 20,000 subscribers are a matter of seconds,
100,000 of half a minute, 1,000,000 of four minutes and 10 GiB.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import lone
import million_machine as machine
import million_memory as memory
import rig

BROADCASTS_MIN = 10
RAMP_MIN = 0.7  # of the rate of bare pairs
# To each address that the engine listens on, so that the load generator needs one address of its
# own: the kernel finds a client's address and port in a table of 65,536 places at most, and they
# count once however many addresses they are connected to. Bare pairs do the same.
SUBSCRIBERS_OF_ADDRESS = 7_000
# One sweep over all subscribers takes 5 µs each and a little more; the next event comes after it.
BROADCAST_S_PER_SUBSCRIBER = 7.5e-6
BROADCAST_S_MIN = 0.2
# The floor on two CPUs judges nothing, so it need not be as large as the run.
FLOOR_PAIRS_BESIDE = 100_000
# To the bare pairs; the first one grows what later ones find, and is not counted.
FLOOR_BROADCASTS = 5
LOOK_INTERVAL_S = 0.5
SETTLE_S = 3  # deferred frees of the kernel
# Far beyond what a run needs: a bound for what hangs, not a demand.
RAMP_S_MAX, PHASE_S_MAX = 600, 1_200
ZERO = ("lost", "duplicate", "out_of_order", "corrupt", "foreign", "malformed", "in_flight")


def main():
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{options.subscribers:,} subscribers, {options.broadcasts} broadcasts, one every "
          f"{options.interval:g} s", flush=True)
    with machine.raised(machine.settings(options.subscribers)):
        said = ask_doctors(options)
        if options.check:
            return
        with machine.own_network(options.subscribers):
            result = {"floor": run_floor(options)} | run(options)
    result |= {"doctors": said, "environment": rig.environment()}
    result = rig.without_folders(result, options)
    broken = judge(result, options)
    rig.write_json(options.out / "run.json", result | {"broken": broken})
    text = summary(result, broken, options)
    (options.out / "summary.md").write_text(text)
    print(f"\n{text}")
    sys.exit(1 if broken else 0)


def read_options():
    parser = lone.arguments(__doc__, "million")
    parser.add_argument("--subscribers", type=int, default=1_000_000)
    parser.add_argument("--broadcasts", type=int, default=12,
                        help=f"events, at least {BROADCASTS_MIN} (%(default)s)")
    parser.add_argument("--interval", type=float, help="seconds between them")
    parser.add_argument("--check", action="store_true",
                        help="say whether it would fit, and end")
    parser.add_argument("--no-floor", action="store_true",
                        help="do not open bare pairs; the ramp is then not judged")
    options = parser.parse_args()
    options.broadcasts = max(options.broadcasts, BROADCASTS_MIN)
    options.interval = options.interval or max(
        BROADCAST_S_MIN, options.subscribers * BROADCAST_S_PER_SUBSCRIBER)
    return options


def engine_flags(options):
    # A few more than are asked for: whoever looks at the engine meanwhile is a connection too.
    connections = options.subscribers + options.subscribers // 20 + 64
    return ["--workers", "1", "--cpus", str(options.server_cpu),
            "--connections-max", str(connections), "--topics-max", "1000",
            # 15 s, the default, would be 67,000 comments a second to a million quiet subscribers,
            # and a ramp takes longer than that.
            "--heartbeat", "60s"]


def addresses(options):
    return [f"127.0.0.{n + 1}" for n in range(-(-options.subscribers // SUBSCRIBERS_OF_ADDRESS))]


def ask_doctors(options):
    engine = [f"{options.bin}/downpour", "doctor", *engine_flags(options)]
    load = [f"{options.bin}/downpour-load", "doctor", "-c", str(options.subscribers)]
    return {"engine": machine.ask("downpour doctor", engine),
            "load": machine.ask("downpour-load doctor", load)}


def run_floor(options):
    """Bare pairs per second: on one CPU, and on both that the run has."""
    if options.no_floor:
        return None
    sockets = rig.tcp_sockets()[0] + machine.FOREIGN_SOCKETS_MAX
    floor = {}
    for cpus, pairs in ((1, options.subscribers),
                        (2, min(options.subscribers, FLOOR_PAIRS_BESIDE))):
        places = ",".join(map(str, (options.server_cpu, options.client_cpu)[:cpus]))
        said = subprocess.run(
            ["taskset", "-c", places, f"{options.bin}/floor-pairs", "--pairs", str(pairs),
             "--at-once", str(cpus), "--read-cpu", str(options.client_cpu),
             "--broadcasts", str(FLOOR_BROADCASTS if cpus == 1 else 0)], cwd=rig.ROOT, capture_output=True, text=True)
        if said.returncode != 0:
            raise SystemExit(f"floor-pairs failed:\n{said.stderr[-2000:]}")
        floor[f"{cpus}_cpu"] = json.loads(said.stdout)
        print(f"floor: {floor[f'{cpus}_cpu']['pairs_per_second']:,.0f} bare pairs/s on {cpus} CPU",
              flush=True)
        machine.wait_for_rest(sockets)
    return floor


def run(options):
    """Serves, opens all, broadcasts, lets go. Returns all that was seen."""
    with serving(options) as server:
        before = memory.reading(server.pss_bytes(), 0)
        trouble = rig.packet_trouble()
        with loading(server, options) as client:
            ramp = watch_ramp(server, client, options)
            pin(client.pid, options.client_cpu)
            time.sleep(SETTLE_S)
            idle = memory.reading(server.pss_bytes(), pss_bytes(client.pid))
            print(f"all open, {machine.available_bytes() >> 20} MiB left; broadcasting",
                  flush=True)
            least = watch_end(client)
        after = {name: now - trouble[name] for name, now in rig.packet_trouble().items()}
        left = lone.await_none(server.admin, RAMP_S_MAX)
        print(f"the engine has let go of all but {left}", flush=True)
        closed_bytes = server.pss_bytes()
        code = server.end()
    load = json.loads((options.out / "load.json").read_text())
    del load["series"]  # histograms of each second: the larger half, and nothing rests on them
    return {
        "load": load, "ramp": ramp, "packets": after,
        "memory": memory.by_class(before, idle, options.subscribers),
        "available_bytes_min": least,
        "server_bytes": {"before": before["server_bytes"], "idle": idle["server_bytes"],
                         "after_all_left": closed_bytes},
        "end": {"subscribers_left": left, "server_exit": code, "client_exit": client.returncode},
    }


class Engine:
    """The running engine."""

    def __init__(self, process, port, admin):
        self.process, self.port, self.admin = process, port, admin

    def pss_bytes(self):
        return pss_bytes(self.process.pid)

    def subscribers(self):
        return lone.subscribers(self.admin)

    def end(self):
        """Lets it drain; its exit code."""
        self.process.terminate()
        return self.process.wait(PHASE_S_MAX)


def pss_bytes(pid):
    return rig.status_bytes(f"{pid}/smaps_rollup", "Pss")


@contextlib.contextmanager
def serving(options):
    port, admin = rig.free_port(), rig.free_port()
    command = ["taskset", "-c", str(options.server_cpu), f"{options.bin}/downpour", "serve",
               *(word for address in addresses(options) for word in ("--listen", f"{address}:{port}")),
               "--admin", f"127.0.0.1:{admin}",
               *engine_flags(options)]
    log_path = options.out / "engine.log"
    with open(log_path, "w") as log:
        process = start(command, stdout=log, stderr=log)
    try:
        rig.wait_for(port, process, "the engine", log_path)
        yield Engine(process, port, admin)
    finally:
        end(process)


@contextlib.contextmanager
def loading(server, options):
    """The load generator, from its start to its end by itself."""
    duration = options.broadcasts * options.interval
    # Opening is more work for the load generator than for the engine, so for the ramp it has both
    # CPUs: the engine leaves half of its own. See `pin`.
    command = [
        "taskset", "-c", f"{options.server_cpu},{options.client_cpu}",
        f"{options.bin}/downpour-load", "run",
        *(f"http://{address}:{server.port}" for address in addresses(options)),
        "--quiet", "--json", str(options.out / "load.json"),
        "--threads", "2", "--publisher-cpu", str(options.client_cpu),
        "--subscribers", str(options.subscribers), "--rate", f"{1 / options.interval:.6f}",
        "--warmup", "0s", "--duration", f"{duration:.3f}s", "--settle", f"{3 * SETTLE_S}s",
        # A late delivery is late and not lost; the report says how late.
        "--horizon", f"{PHASE_S_MAX}s", "--connect-timeout", "60s",
        "--pid", str(server.process.pid)]
    with open(options.out / "load.txt", "w") as log:
        process = start(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        end(process)


def pin(pid, cpu):
    """Leaves a process one CPU: the engine's is its own again before the first broadcast."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {cpu})


def start(command, **streams):
    """A process that the kernel ends before any other when memory runs out."""
    process = subprocess.Popen(command, cwd=rig.ROOT, stdin=subprocess.DEVNULL, **streams)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
    return process


def end(process):
    if process.poll() is None:
        process.kill()
        process.wait()


def watch_ramp(server, client, options):
    """Waits until all are open by the engine's count; the count over time."""
    began, seen = time.monotonic(), []
    while True:
        count, passed = server.subscribers(), time.monotonic() - began
        left = machine.check_memory()
        seen.append({"s": round(passed, 2), "subscribers": count, "available_bytes": left})
        if len(seen) % 10 == 1:
            print(f"ramp: {count:,} after {passed:.1f} s, {left >> 20} MiB left", flush=True)
        if count >= options.subscribers:
            print(f"ramp: {count:,} after {passed:.1f} s", flush=True)
            return seen
        if client.poll() is not None:
            said = (options.out / "load.txt").read_text()[-2000:]
            raise SystemExit(f"the load generator ended with {client.returncode}:\n{said}")
        if passed > RAMP_S_MAX:
            raise SystemExit(f"{count:,} of {options.subscribers:,} came up in {RAMP_S_MAX} s")
        time.sleep(LOOK_INTERVAL_S)


def watch_end(client):
    """Waits for the load generator's end; the least memory that was left meanwhile."""
    least, deadline = machine.available_bytes(), time.monotonic() + PHASE_S_MAX
    while client.poll() is None:
        least = min(least, machine.check_memory())
        if time.monotonic() > deadline:
            raise SystemExit("the load generator did not end")
        time.sleep(LOOK_INTERVAL_S)
    return least


def judge(result, options):
    """What does not hold, a sentence each."""
    load, end, asked = result["load"], result["end"], options.subscribers
    counts, connect = load["counts"], load["connect"]
    due = counts["events"] * asked
    broken = [f"{counts[name]} {name.replace('_', ' ')}" for name in ZERO if counts[name]]
    checks = [
        (connect["up"] == asked, f"{connect['up']} of {asked} came up"),
        (connect["min_up"] == asked, f"{connect['min_up']} of {asked} stayed"),
        (counts["events"] >= BROADCASTS_MIN, f"{counts['events']} broadcasts"),
        (counts["expected"] == due, f"{counts['expected']} deliveries were due, not {due}"),
        (counts["unique"] == due, f"{counts['unique']} of {due} deliveries"),
        (not counts["disconnects"], f"streams ended: {counts['disconnects']}"),
        (end["subscribers_left"] == 0, f"{end['subscribers_left']} subscribers were never let go"),
        (end["server_exit"] == 0, f"the engine ended with {end['server_exit']}"),
        (end["client_exit"] == 0, f"the load generator ended with {end['client_exit']}"),
    ]
    if result["floor"]:
        against = ramp_against_floor(result)
        checks.append((against >= RAMP_MIN, f"the ramp is {against:.2f} of bare pairs"))
    return broken + [text for holds, text in checks if not holds]


def ramp_against_floor(result):
    rate = result["load"]["connect"]["achieved_rate"]
    return rate / result["floor"]["1_cpu"]["pairs_per_second"]


def summary(result, broken, options):
    load = result["load"]
    counts, connect, server = load["counts"], load["connect"], load["server"] or {}
    last = load["metrics"].get("last", {})
    verdict = "Broken: " + "; ".join(broken) + "." if broken else "All of it holds."
    lines = [
        f"# {options.subscribers:,} subscribers", "", __doc__.strip().split("\n\n")[0], "",
        verdict, "",
        f"- Ramp: {connect['achieved_rate']:,.0f} streams/s, all in "
        f"{connect['length_ns'] / 1e9:.1f} s; {sum_errors(connect)} connects failed.",
        *floor_lines(result),
        f"- Broadcasts: {counts['events']}, each to {connect['up']:,}: {counts['unique']:,} "
        f"deliveries of {counts['expected']:,}, {counts['lost']} lost, "
        f"{counts['duplicate']} twice, "
        f"{counts['out_of_order']} out of order, {counts['corrupt']} corrupt.",
        f"- From an event's due time to its last subscriber: {seconds(last.get('mean'))} on "
        f"average, {seconds(last.get('max'))} at worst.",
        f"- Engine: {number(server.get('cpu_per_delivery_ns'), 1e-3)} µs of CPU per delivery, "
        f"{number(server.get('cores'))} of its CPU while it broadcast.",
        f"- Packets: {result['packets']['softnet_dropped']} dropped on loopback, "
        f"{result['packets']['tcp_retransmitted']} segments sent again.",
        f"- Memory left at worst: {result['available_bytes_min'] >> 20} MiB. The engine's own: "
        + ", ".join(f"{size / 1e6:.0f} MB {when.replace('_', ' ')}"
                    for when, size in result["server_bytes"].items()) + ".",
        "", "## Memory of an open, quiet subscriber", "", *memory.table(result["memory"]), ""]
    return "\n".join(lines)


def floor_lines(result):
    if not result["floor"]:
        return []
    one, two = (result["floor"][key]["pairs_per_second"] for key in ("1_cpu", "2_cpu"))
    return [f"- Floor: {one:,.0f} bare pairs/s on one CPU, {two:,.0f} on both; the ramp is "
            f"{ramp_against_floor(result):.2f} of the first (holds at least {RAMP_MIN}) and "
            f"{result['load']['connect']['achieved_rate'] / two:.2f} of the second.",
            f"- Floor: {bare_send_us(result):.2f} µs of CPU for a bare send to each of as many pairs."]


def bare_send_us(result):
    return statistics.median(result["floor"]["1_cpu"]["cpu_ns_per_send"][1:]) / 1e3


def sum_errors(connect):
    errors = connect["errors"]
    return sum(value if isinstance(value, int) else sum(value.values())
               for value in errors.values())


def seconds(ns):
    return "–" if ns is None else f"{ns / 1e9:.2f} s"


def number(value, factor=1):
    return "–" if value is None else f"{value * factor:.2f}"


if __name__ == "__main__":
    main()
