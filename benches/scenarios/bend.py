#!/usr/bin/env python3
"""Which functions make a delivery dearer when there are more subscribers?

The engine, a bare send(2) loop to the same load generator as far as its descriptors go, and a bare
send to each of as many sockets that nobody waits at: samples of the processor's time by a clock
(`perf record`; guests seldom have counters) while broadcasts go out, as nanoseconds a delivery in
each function. What grows is shown first. A function that does the same work for one socket as for
another, and takes longer with more of them, waits for memory.

Needs perf and root.
"""

import collections
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import time

import lone
import million_machine as machine
import rig

DELIVERIES_PER_S = 50_000
SAMPLE_NS = 200_000
WARM_UP_S, SETTLE_S = 2, 1
SLACK_S = 300
SHOWN = 20
# 4.74%  [k] tcp_ack, and columns for what is not asked for
LINE = re.compile(r"^\s*([\d.]+)%\s+\[(.)\]\s+(.*?)(?:\s+-)*\s*$")
ENGINE, LOOP, SENDS = "engine", "bare loop", "bare sends"
LOOP_SUBSCRIBERS_MAX = 15_000


def main():
    parser = lone.arguments(__doc__, "bend")
    parser.add_argument("--sizes", type=lambda text: [int(x) for x in text.split(",")],
                        default=[1_000, 10_000, 100_000], help="numbers of subscribers")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=10, help="of samples (%(default)s)")
    options = parser.parse_args()
    if not shutil.which("perf"):
        raise SystemExit("perf is missing; Debian has it as linux-perf")
    options.out.mkdir(parents=True, exist_ok=True)
    found = {ENGINE: {}, LOOP: {}, SENDS: {}}
    with machine.raised(machine.settings(max(options.sizes))), \
            machine.own_network(max(options.sizes)):
        for number in range(options.rounds):
            for size in options.sizes:
                for line in found:
                    if line == LOOP and size > LOOP_SUBSCRIBERS_MAX:
                        continue
                    costs = sends(size, options) if line == SENDS else served(line, size, options)
                    print(f"round {number + 1}, {size:,} {line}: {sum(costs.values()):,.0f} ns",
                          flush=True)
                    found[line].setdefault(size, []).append(costs)
    rig.write_json(options.out / "profile.json", {"environment": rig.environment()} | found)
    text = "\n".join(["# bend", "", __doc__.strip().split("\n\n")[0], "",
                      *(row for line in found if found[line] for row in table(found[line], line))])
    (options.out / "summary.md").write_text(text)
    print(text)


def served(line, size, options):
    """Nanoseconds of a server for a delivery, by function."""
    others, report = rig.tcp_sockets()[0], options.out / "load.json"
    seconds = options.seconds + 2 * SETTLE_S
    with server(line, options) as running:
        command = lone.load(options, running, "run", size, "--json", str(report),
                            "--rate", f"{DELIVERIES_PER_S / size:.6f}",
                            "--warmup", f"{WARM_UP_S}s", "--duration", f"{seconds}s")
        with background(command) as client:
            await_count(lambda: rig.tcp_sockets()[0] - others, 2 * size)
            time.sleep(WARM_UP_S + SETTLE_S)
            shares = sample(max(running.pids()), options)
            client.wait(timeout=SLACK_S)
    cost_ns = json.loads(report.read_text())["server"]["cpu_per_delivery_ns"]
    report.unlink()
    return {name: share * cost_ns for name, share in shares.items()}


def server(line, options):
    if line == ENGINE:
        return lone.serving(options)
    floor = rig.known_servers()["floor-send"]
    return rig.serving(floor, options.server_cpu, options.bin, options.out / "floor.log")


def sends(size, options):
    """Nanoseconds of a bare send to one of so many sockets, by function."""
    others = rig.tcp_sockets()[0]
    # Half of the time goes to reading what was sent.
    broadcasts = max(3, 2 * DELIVERIES_PER_S * (options.seconds + 2 * SETTLE_S) // size)
    command = ["taskset", "-c", str(options.server_cpu), f"{options.bin}/floor-pairs",
               "--pairs", str(size), "--broadcasts", str(broadcasts),
               "--read-cpu", str(options.client_cpu)]
    with background(command) as floor:
        await_count(lambda: rig.tcp_sockets()[0] - others, 2 * size)
        time.sleep(SETTLE_S)
        shares = sample(floor.pid, options)
        said = floor.communicate(timeout=SLACK_S)[0]
    machine.wait_for_rest(others + machine.FOREIGN_SOCKETS_MAX)
    # The first one grows what later ones find.
    cost_ns = statistics.median(json.loads(said)["cpu_ns_per_send"][1:])
    return {name: share * cost_ns for name, share in shares.items()}


@contextlib.contextmanager
def background(command):
    process = subprocess.Popen(command, cwd=rig.ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_count(count, wanted):
    deadline = time.monotonic() + SLACK_S
    while count() < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"{count():,} of {wanted:,} after {SLACK_S} s")
        time.sleep(0.1)


def sample(pid, options):
    """The share of each function in what a process does on the server's CPU."""
    kept = options.out / "perf.data"
    subprocess.run(["perf", "record", "--quiet", "--event", "cpu-clock", "--count",
                    str(SAMPLE_NS), "--pid", str(pid), "--sample-cpu", "--output", str(kept), "--",
                    "sleep", str(options.seconds)], check=True, stdout=subprocess.DEVNULL)
    said = rig.output("perf", "report", "--stdio", "--input", str(kept), "--no-children",
                      "--sort", "symbol", "--cpu", str(options.server_cpu))
    kept.unlink()
    shares = collections.Counter()
    for line in said.splitlines():
        if match := LINE.match(line):
            shares[match[3]] += float(match[1])
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def table(by_size, line):
    """Nanoseconds of each function at each size, medians of the rounds; what grew most is first."""
    sizes = sorted(by_size)
    names = {name for rounds in by_size.values() for costs in rounds for name in costs}
    cost = {name: [statistics.median(costs.get(name, 0) for costs in by_size[size])
                   for size in sizes] for name in names}
    whole = [statistics.median(sum(costs.values()) for costs in by_size[size]) for size in sizes]
    shown = sorted(names, key=lambda name: cost[name][0] - max(cost[name]))[:SHOWN]
    rest = [total - sum(cost[name][n] for name in shown) for n, total in enumerate(whole)]
    head = " | ".join(f"{size:,}" for size in sizes)
    rows = [("all", whole), *((f"`{name}`", cost[name]) for name in shown),
            ("all others", rest)]
    return [f"## {line}, ns per delivery", "", f"| function | {head} |",
            "| --- |" + " ---: |" * len(sizes),
            *(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in values) + " |"
              for name, values in rows), ""]


if __name__ == "__main__":
    main()
