#!/usr/bin/env python3
"""Does the engine hold every number that it was built for?

One run, one page: the cost of a delivery, saturation, latency and memory beside their floors, the
same cost with more subscribers and more topics, and a million subscribers. Each part is a scenario
of its own and leaves its raw reports. With two rounds of ten seconds a quarter of an hour, with
three of fifteen half an hour; 10 GiB, root.
"""

import json
import shutil
import statistics
import subprocess
import sys

import lone
import million
import rig
import scaling
import scenario
from memory_per_subscriber import SCENARIO as memory_per_subscriber
from questions import fan_out
from saturation import SCENARIO as saturation

SCENARIOS = [fan_out, saturation, memory_per_subscriber]
SIZES = [1_000, 10_000, 100_000]
TOPICS, TOPICS_SUBSCRIBERS = [1, 100_000], 100_000
HOLDS, MISSES = "holds", "**misses**"


def main():
    options = read_options()
    # What an earlier run has left is no part of this one.
    shutil.rmtree(options.out / "scaling", ignore_errors=True)
    rows = [row for one in SCENARIOS for row in answers(one, options)]
    curves(options)
    result = run_million(options)
    rows += [*million_rows(result), *flat_rows(options, result)]
    page = ["# Every number", "", __doc__.strip().split("\n\n")[0], "",
            "| question | held to | measured | lowest to highest | |",
            "| --- | --- | ---: | ---: | --- |",
            *(f"| {' | '.join(row)} |" for row in rows), ""]
    (options.out / "summary.md").write_text("\n".join(page))
    print("\n".join(page))
    sys.exit(1 if any(row[-1] == MISSES for row in rows) else 0)


def read_options():
    parser = lone.arguments(__doc__, "held")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=15,
                        help="measured window of a run (%(default)s)")
    options = parser.parse_args()
    # The scenarios' own load, on the engine alone.
    options.subscribers = options.warm_up = None
    options.client, options.servers = "floor-receive", [scenario.server_of("engine")]
    return options


def answers(one, options):
    """A row for each figure of a scenario that is held to something."""
    rounds = scenario.measured(one, options)
    scenario.report(one.name, one.question, rounds, one.figures, options)
    for figure in one.figures:
        if not figure.bound():
            continue
        against = rounds.comparisons("engine", figure)
        verdict = figure.judge(statistics.median(against), rounds.spread(figure))
        middle, low, high = (figure.told(f(against)) for f in (statistics.median, min, max))
        yield (figure.title, f"{bound(figure)} {rounds.floor}",
               f"{middle} ({statistics.median(rounds.values('engine', figure.key)):.3g})",
               f"{low} to {high}", MISSES if verdict == "misses" else verdict)


def bound(figure):
    if figure.at_most is not None:
        return f"at most {figure.told(figure.at_most)} {'beyond' if figure.is_difference else 'of'}"
    return f"at least {figure.told(figure.at_least)} of"


def curves(options):
    """The two curves that should be flat."""
    for curve, points, flags in (
            ("subscribers", SIZES, []),
            ("topics", TOPICS, ["--line", "even", "--subscribers", str(TOPICS_SUBSCRIBERS)])):
        code = call(["scaling.py", "--curve", curve, "--only", ",".join(map(str, points)),
                     "--rounds", str(options.rounds), "--out", str(options.out / "scaling"),
                     *flags], options)
        if code != 0:
            raise SystemExit(f"scaling.py ended with {code}")


def run_million(options):
    kept = options.out / "million" / "run.json"
    kept.unlink(missing_ok=True)
    code = call(["million.py", "--out", str(kept.parent)], options)
    if not kept.exists():
        raise SystemExit(f"million.py ended with {code}")
    return json.loads(kept.read_text())  # what it misses is in there


def call(words, options):
    """A scenario with a command line of its own; gives its exit code."""
    done = subprocess.run([sys.executable, str(rig.HERE / words[0]), *words[1:],
                           "--bin", str(options.bin), "--server-cpu", str(options.server_cpu),
                           "--client-cpu", str(options.client_cpu)], check=False)
    return done.returncode


def million_rows(result):
    connect, counts = result["load"]["connect"], result["load"]["counts"]
    ramp = million.ramp_against_floor(result)
    others = [text for text in result["broken"] if "ramp" not in text]
    yield ("Subscribers of one process, each receiving every event", "1,000,000",
           f"{connect['up']:,}, {counts['unique']:,} of {counts['expected']:,} deliveries", "",
           MISSES if others else HOLDS)
    yield ("Streams opened a second, the whole ramp",
           f"at least {million.RAMP_MIN:.2f} × of bare pairs of sockets",
           f"{ramp:.2f} × ({connect['achieved_rate']:,.0f})", "",
           HOLDS if ramp >= million.RAMP_MIN else MISSES)


def flat_rows(options, result):
    points = json.loads((options.out / "scaling" / "points.json").read_text())
    of_million = result["load"]["server"]["cpu_per_delivery_ns"] / 1e3
    lines = {
        "subscribers": ("engine", {1_000_000: of_million},
                        "CPU per delivery, from 1,000 to 1,000,000 subscribers"),
        "topics": ("even", {}, "CPU per delivery, from 1 to 100,000 topics"),
    }
    for curve, (line, more, title) in lines.items():
        cost = {int(x): figures["cpu_us"] for x, figures in points[curve][line].items()} | more
        first, worst = cost[min(cost)], max(cost.values())
        said = ", ".join(f"{value:.2f}" for _, value in sorted(cost.items()))
        yield (title, f"at most {scaling.FLAT_MAX:.2f} × its smallest size",
               f"{worst / first:.2f} × ({said} µs)", "",
               HOLDS if worst / first <= scaling.FLAT_MAX else MISSES)


if __name__ == "__main__":
    main()
