#!/usr/bin/env python3
"""What becomes of the engine as its load grows: more subscribers, topics, bytes, events, workers?

Each curve varies one thing and measures at every point with an engine that nobody has used yet:

subscribers   1,000 to 1,000,000 of one topic: CPU per delivery, time to the last one, memory each;
              beside bare sends to as many bare sockets, and a bare send(2) loop as far as that goes
topics        1 to 100,000, subscribers and events spread evenly, by Zipf's law, or all on one, and
              events gathered for a millisecond; spread evenly with each event a request of its own
              too, beside a bare loop that sends it to as few, where its descriptors suffice
sizes         64 B to 64 KiB of data
rates         1 event a second to saturation
workers       one, and two that share the second CPU with the load generator
handshakes    streams opened a second, and what one costs the engine

Points are kept in points.json of the results, so a curve may be measured in pieces; a point that is
measured again replaces itself. At each point all lines are measured in every round, in an order that
turns; a figure is the median of its rounds. --beside takes a second build along. --plot draws what
is there. CPU per delivery should be flat, within 15 %, along the first two curves.
"""

import argparse
import json
import statistics
import subprocess

import lone
import million_machine as machine
import rig
import scaling_plot
import scenario

DELIVERIES_PER_S = 50_000
EVENTS_PER_S_MAX = 20_000  # what the load generator's publisher does beside reading
BYTES_PER_S = 200e6
SIZES_SUBSCRIBERS = 2_000  # an event of 64 KiB is 130 MB on its way then
EVENT_COUNT_MIN = 5  # in a measured window, whatever --seconds says
WARM_UP_S = 2
FLAT_MAX = 1.15
SLACK_S = 300
PLOTS = rig.ROOT / "docs"
# Exponents of Zipf's law; 0 is evenly.
DISTS = {"even": 0, "zipf": 1, "one hot": 8}
REQUESTS, TOGETHER, GATHERED = "even, a request each", "--publish-batch", "--publish-batch=1ms"
# What is beside the engine: a bare send(2) loop has a descriptor for each subscriber; bare sockets
# are held by many threads, and nobody waits for what they receive.
FLOOR, FLOOR_SUBSCRIBERS_MAX = "bare loop", 15_000
SENDS, BROADCASTS_MIN, SENDS_MIN = "bare sends", 5, 400_000
BESIDE = "engine before"
# A bare loop knows one topic, so most events never come: nobody need wait for them.
HORIZON_S, FLOOR_HORIZON_S = 60, 3

CURVES = {
    "subscribers": [1_000, 10_000, 100_000, 1_000_000],
    "topics": [1, 10, 100, 1_000, 10_000, 100_000],
    "sizes": [64, 256, 1_024, 4_096, 16_384, 65_536],
    "rates": [1, 10, 100, 1_000, 5_000, 10_000, 20_000],
    "workers": [1, 2],
    "handshakes": [1_000, 10_000, 100_000],
}


def main():
    options = read_options()
    kept = options.out / "points.json"
    points = json.loads(kept.read_text()) if kept.exists() else {}
    most = max((x for curve in options.curve for x in chosen(curve, options)), default=0)
    if options.curve:
        options.out.mkdir(parents=True, exist_ok=True)
        rig.write_json(options.out / "environment.json", rig.environment())
        most = max(most, options.subscribers)
        with machine.raised(machine.settings(most)), machine.own_network(most):
            for curve in options.curve:
                measure_curve(curve, points, options)
    if options.plot:
        draw(points, options)


def read_options():
    parser = lone.arguments(__doc__, "scaling")
    parser.add_argument("--curve", action="append", choices=CURVES, default=[],
                        help="measure it; repeat it for several")
    parser.add_argument("--only", type=lambda text: [int(x) for x in text.split(",")],
                        help="these points instead of those of the curves, as 1000,10000")
    parser.add_argument("--plot", action="store_true", help="draw what has been measured")
    parser.add_argument("--plots", type=scenario.folder, default=PLOTS,
                        help="folder of the plots (docs)")
    parser.add_argument("--subscribers", type=int, default=20_000,
                        help="where they are not what varies (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=scenario.folder,
                        help="folder with the engine of another build, measured as well")
    parser.add_argument("--line", action="append", help="only these lines of the curves")
    parser.add_argument("--seconds", type=int, default=10, help="measured window (%(default)s)")
    return parser.parse_args()


def chosen(curve, options):
    return options.only or CURVES[curve]


def measure_curve(curve, points, options):
    for x in chosen(curve, options):
        lines = lines_at(curve, x, options)
        rounds = {line: [] for line in lines}
        for number in range(options.rounds):
            turned = lines[number % len(lines):] + lines[:number % len(lines)]
            for line in turned:
                print(f"{curve}: {x:,}, {line}", flush=True)
                figures = POINTS[curve](x, line, options)
                said = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items()
                                 if value)
                print(f"  {said}", flush=True)
                rounds[line].append(figures)
                of_curve = points.setdefault(curve, {}).setdefault(line, {})
                of_curve[str(x)] = medians(rounds[line]) | {"rounds": rounds[line]}
                rig.write_json(options.out / "points.json", points)


def medians(rounds):
    """Each figure's median over the rounds that have it."""
    found = {}
    for name in rounds[0]:
        values = [figures[name] for figures in rounds if figures[name] is not None]
        found[name] = statistics.median(values) if values else None
    return found


def lines_at(curve, x, options):
    """The lines that a curve has at a point."""
    # One topic is spread in one way only.
    lines = [*DISTS, REQUESTS] if curve == "topics" and x > 1 else ["engine"]
    if curve == "topics" and x == 1:
        lines = ["even"]
    if curve == "subscribers":
        lines.append(SENDS)
    beside = {"subscribers": x, "topics": options.subscribers}.get(curve)
    if beside and beside <= FLOOR_SUBSCRIBERS_MAX and (curve != "topics" or x <= beside):
        lines.append(FLOOR)
    if options.beside:
        lines.append(BESIDE)
    return [line for line in lines if not options.line or line in options.line]


def subscribers(count, line, options):
    if line == SENDS:
        return bare_sends(count, options)
    return fan_out(options, count, DELIVERIES_PER_S / count, line=line)


def bare_sends(count, options):
    """The cost of a send to each of so many sockets that nobody waits at."""
    sockets = rig.tcp_sockets()[0] + machine.FOREIGN_SOCKETS_MAX
    broadcasts = max(BROADCASTS_MIN, SENDS_MIN // count)
    said = finish(["taskset", "-c", str(options.server_cpu), f"{options.bin}/floor-pairs",
                   "--pairs", str(count), "--broadcasts", str(broadcasts + 1),
                   "--read-cpu", str(options.client_cpu)], options)
    machine.wait_for_rest(sockets)
    # The first one grows what later ones find.
    costs = json.loads(said)["cpu_ns_per_send"][1:]
    return {"cpu_us": statistics.median(costs) / 1e3}


def topics(count, line, options):
    exponent = DISTS.get(line, 0)
    weights = [rank ** -exponent for rank in range(1, count + 1)]
    readers = options.subscribers * sum(weight ** 2 for weight in weights) / sum(weights) ** 2
    rate = min(DELIVERIES_PER_S / readers, EVENTS_PER_S_MAX)
    if line == FLOOR:
        return fan_out(options, options.subscribers, rate, line=line, batch=TOGETHER,
                       each=options.subscribers // count)
    law = f"zipf:{exponent}" if exponent else "even"
    return fan_out(options, options.subscribers, rate, "--topics", str(count), "--dist", law,
                   "--publish-dist", law, line=line,
                   batch=TOGETHER if line == REQUESTS else GATHERED)


def sizes(count, line, options):
    rate = min(DELIVERIES_PER_S, BYTES_PER_S / count) / SIZES_SUBSCRIBERS
    return fan_out(options, SIZES_SUBSCRIBERS, rate, "--size", str(count), line=line)


def workers(count, line, options):
    return fan_out(options, options.subscribers, DELIVERIES_PER_S / options.subscribers,
                   workers=count, line=line)


def handshakes(count, line, options):
    """All that a stream costs up to its first byte; the engine's CPU time is that of its ramp."""
    with engine(options, line=line) as running:
        before = lone.cpu_s(running)
        report = load(running, options, count, ["connect", "--duration", "1s", "--warmup", "0s"])
        busy = lone.cpu_s(running) - before
    return {"streams_per_s": report["connect"]["achieved_rate"], "cpu_us": busy / count * 1e6,
            "streams_per_cpu_s": count / busy if busy else None}


def rates(rate, line, options):
    """The bare client: it keeps up with a thousand subscribers for longer than any other."""
    with engine(options, line=line) as running:
        command = ["taskset", "-c", str(options.client_cpu), f"{options.bin}/floor-receive",
                   "--connect", f"127.0.0.1:{running.port}", "--subscribers", "1000",
                   "--rate", str(rate), "--publish", "lines", "--warm-up", str(WARM_UP_S),
                   "--seconds", str(options.seconds)]
        for pid in running.pids():
            command += ["--server-pid", str(pid)]
        report = json.loads(finish(command, options))
    latency = (report["latency"] or {}).get("to_last") or {}
    cpu_ns = report["server_cpu_ns_per_delivery"]
    return {"cpu_us": cpu_ns / 1e3 if cpu_ns else None,
            "events_per_read": report["delivery_count"] / max(report["read_count"], 1),
            "last_ms": latency["p50_ns"] / 1e6 if latency else None,
            "million_deliveries_per_s": report["delivery_count"] * 1e3 / report["window_ns"],
            "missing": report["whole_run"]["missing_count"]}


POINTS = {"subscribers": subscribers, "topics": topics, "sizes": sizes, "rates": rates,
          "workers": workers, "handshakes": handshakes}


def fan_out(options, count, rate, *flags, workers=1, line="engine", each=None, batch=TOGETHER):
    """A run of the load generator, which proves every delivery."""
    running = floor(options, each) if line == FLOOR else engine(options, workers, line)
    horizon_s = FLOOR_HORIZON_S if each else HORIZON_S
    with running as running:
        seconds = max(options.seconds, EVENT_COUNT_MIN / rate)
        report = load(running, options, count, [
            "run", "--rate", f"{rate:.6f}", batch, "--warmup", f"{WARM_UP_S}s",
            "--duration", f"{seconds:.3f}s", "--horizon", f"{horizon_s}s", *flags])
    counts, server, metrics = report["counts"], report["server"], report["metrics"]
    last = metrics.get("last", {})
    memory = server["mem_per_conn"]
    return {"cpu_us": (server["cpu_per_delivery_ns"] or 0) / 1e3 or None,
            "last_ms": last["p"]["50"] / 1e6 if last.get("p", {}).get("50") else None,
            "p99_ms": metrics["delivery"]["p"]["99"] / 1e6,
            "user_bytes": memory["pss"], "kernel_bytes": memory["kernel"],
            "streams_per_s": report["connect"]["achieved_rate"], "lost": counts["lost"],
            "deliveries": counts["unique"], "server_busy": server["cores"],
            "client_busy": report["rig"]["busiest_thread"]}


def engine(options, workers=1, line="engine"):
    if line == BESIDE:
        options = argparse.Namespace(**vars(options) | {"bin": options.beside})
    return lone.serving(options, cpus=[options.server_cpu, options.client_cpu][:workers])


def floor(options, each):
    known = rig.known_servers()["floor-send"]
    words = f"{known.command} --each {each}" if each else known.command
    server = rig.Server(known.name, words)
    return rig.serving(server, options.server_cpu, options.bin, options.out / "floor.log")


def load(running, options, count, words):
    command = lone.load(options, running, words[0], count, "--json", "-", "--connect-timeout",
                        "60s", *words[1:])
    return json.loads(finish(command, options))


def finish(command, options):
    """What a client says; 4 is its own doubt in the measurement, which its report explains."""
    done = subprocess.run(command, cwd=rig.ROOT, capture_output=True, text=True,
                          timeout=options.seconds + SLACK_S)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    return done.stdout


def draw(points, options):
    options.plots.mkdir(parents=True, exist_ok=True)
    page = ["# scaling", "", __doc__.strip().split("\n\n")[0], ""]
    for plot in plots(points, options):
        (options.plots / f"scaling-{plot.name}.svg").write_text(scaling_plot.svg(plot))
        page += [f"## {plot.title}", "", f"{plot.y_title}.", "", *scaling_plot.table(plot), ""]
    text = "\n".join(page + flatness(points))
    (options.out / "summary.md").write_text(text)
    print(text)


def plots(points, options):
    """All plots that there are points for."""
    def lines(curve, keys):
        """`keys` maps a name to a figure; where there are several, they are the engine's."""
        found = {}
        for line, by_x in points.get(curve, {}).items():
            for name, key in keys.items() if len(keys) == 1 or line == "engine" else ():
                some = [(int(x), f[key]) for x, f in by_x.items() if f.get(key)]
                if some:
                    several = len(points[curve]) > 1 and len(keys) == 1
                    found[line if several else name] = some
        return found

    count = f"{options.subscribers:,} subscribers"
    cpu, of = "CPU per delivery, µs", {"engine": "cpu_us"}
    every = [
        ("subscribers-cpu", "What a delivery costs", "subscribers", cpu, "subscribers", of),
        ("subscribers-last", "Time to the last subscriber", "subscribers", "ms (log)",
         "subscribers", {"engine": "last_ms"}),
        ("subscribers-memory", "Memory of an idle subscriber", "subscribers",
         "bytes, both ends of the socket in the kernel", "subscribers",
         {"engine": "user_bytes", "kernel": "kernel_bytes"}),
        ("topics-cpu", f"Ever more topics, {count}", "topics", cpu, "topics", of),
        ("sizes-cpu", f"Larger events, {SIZES_SUBSCRIBERS:,} subscribers", "bytes of data", cpu,
         "sizes", of),
        ("rates-cpu", "1,000 subscribers, ever more events", "events per second", f"{cpu} (log)",
         "rates", of),
        ("rates-coalesced", "Events that one read brings", "events per second", "events (log)",
         "rates", {"engine": "events_per_read"}),
        ("handshakes", "Streams opened", "subscribers", "per CPU second of the engine",
         "handshakes", {"engine": "streams_per_cpu_s"}),
    ]
    for name, title, x_title, y_title, curve, keys in every:
        found = lines(curve, keys)
        if found and max(map(len, found.values())) > 1:
            yield scaling_plot.Plot(name, title, x_title, y_title, found, "(log)" in y_title)


def flatness(points):
    """Whether the curves that should be flat are, by their cheapest and dearest point."""
    said = []
    for curve in ("subscribers", "topics"):
        for line, by_x in points.get(curve, {}).items():
            if line in (FLOOR, SENDS, BESIDE):
                continue
            cpu = {int(x): figures["cpu_us"] for x, figures in by_x.items() if figures["cpu_us"]}
            if len(cpu) < 2:
                continue
            first = cpu[min(cpu)]
            worst = max(cpu, key=lambda x: cpu[x])
            ratio = cpu[worst] / first
            said.append(f"- {curve}{'' if line == 'engine' else f', {line}'}: at worst "
                        f"{ratio:.2f} of {min(cpu):,} (at {worst:,}); at most {FLAT_MAX}: "
                        f"{'holds' if ratio <= FLAT_MAX else 'misses'}.")
    return ["## Flat within 15 %", "", *said, ""] if said else []


if __name__ == "__main__":
    main()
