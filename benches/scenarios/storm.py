#!/usr/bin/env python3
"""How soon is a fleet of 100,000 back after all of it was cut off, and has anyone missed an event?

`downpour-load storm` cuts every subscriber off at a random byte of its stream, lets it come back
with its `Last-Event-ID`, and proves each stream: nothing missing, nothing twice. A process of it
holds as many subscribers as it may open files, so a large fleet is several processes, each with a
topic of its own, cut off at about the same time. The engine has one CPU and they have the other.
"""

import json
import subprocess
import sys

import lone
import million_machine as machine
import rig

PROCESS_SUBSCRIBERS_MAX = 18_000  # of 20,000 files
WITHIN_BYTES = 512  # a subscriber is cut off within its next two or three events
PATIENCE_S = 120


def main():
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    with machine.raised(machine.settings(options.subscribers)):
        reports, after = run(options)
    text, holds = summary(reports, after, options)
    result = {"environment": rig.environment(), "server": after, "storms": reports}
    rig.write_json(options.out / "run.json", rig.without_folders(result, options))
    (options.out / "summary.md").write_text(text)
    print(text)
    sys.exit(0 if holds else 1)


def read_options():
    parser = lone.arguments(__doc__, "storm")
    parser.add_argument("--subscribers", type=int, default=100_000)
    parser.add_argument("--waves", type=int, default=2, help="times all are cut off (%(default)s)")
    parser.add_argument("--rate", type=float, default=1, help="events/s of a topic (%(default)s)")
    parser.add_argument("--back", default="2s",
                        help="how long a subscriber stays away: `now`, `retry` or a time; what "
                             "is published meanwhile is replayed (%(default)s)")
    return parser.parse_args()


def run(options):
    """All storms at once; their reports, and what they cost the engine."""
    trouble = rig.packet_trouble()
    with lone.serving(options) as one:
        count = -(-options.subscribers // PROCESS_SUBSCRIBERS_MAX)
        shares = [options.subscribers // count + (n < options.subscribers % count)
                  for n in range(count)]
        storms = [start(number, share, one.port, options) for number, share in enumerate(shares)]
        try:
            reports = [report(storm) for storm in storms]
        finally:
            for storm in storms:
                storm.kill()
                storm.wait()
        after = {"peak_rss_bytes": one.peak_rss_bytes(), "pss_bytes": one.pss_bytes()}
    return reports, after | {name: now - trouble[name]
                             for name, now in rig.packet_trouble().items()}


def start(number, subscribers, port, options):
    command = [
        "taskset", "-c", str(options.client_cpu), f"{options.bin}/downpour-load", "storm",
        f"http://127.0.0.1:{port}/events/storm-{number}", "--subscribers", str(subscribers),
        "--rate", f"{options.rate:g}", "--share", "100%", "--waves", str(options.waves),
        "--within", str(WITHIN_BYTES), "--back", options.back, "--pause", "3s",
        "--patience", f"{PATIENCE_S}s", "--seed", str(number + 1), "--json", "-"]
    return subprocess.Popen(command, cwd=rig.ROOT, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(storm):
    """A storm's report; 3 is a broken proof, which the report explains."""
    said, complaints = storm.communicate(timeout=PATIENCE_S * 5)
    if storm.returncode not in (0, 3):
        raise SystemExit(f"a storm ended with {storm.returncode}:\n{complaints[-2000:]}")
    return json.loads(said)


def summary(reports, after, options):
    broken = [promise["expr"] for one in reports for promise in one["slo"] if not promise["ok"]]
    counts = {name: sum(one["counts"].get(name) or 0 for one in reports)
              for name in ("events", "unique", "lost", "duplicate", "out_of_order", "corrupt",
                           "gaps_announced")}
    up = sum(one["connect"]["up"] for one in reports)
    verdict = f"Broken: {'; '.join(sorted(set(broken)))}." if broken else "All of it holds."
    rows = []
    for number in range(options.waves):
        waves = [one["storm"]["waves"][number] for one in reports]
        dropped, back = (sum(wave[name] for wave in waves) for name in ("dropped", "back"))
        slowest = {name: max((wave[f"back_{name}_ns"] or 0 for wave in waves)) / 1e9
                   for name in ("50", "99", "all")}
        rows.append(f"| {number + 1} | {dropped:,} | {back:,} | {slowest['50']:.2f} | "
                    f"{slowest['99']:.2f} | {slowest['all']:.2f} |")
    text = "\n".join([
        f"# storm of {options.subscribers:,}", "", __doc__.strip().split("\n\n")[0], "", verdict,
        "",
        f"- {up:,} subscribers in {len(reports)} processes; {counts['unique']:,} events read, "
        f"{counts['lost']} missing, {counts['duplicate']} twice, {counts['out_of_order']} out of "
        f"order, {counts['corrupt']} corrupt, {counts['gaps_announced']} gaps announced.",
        f"- Away for {options.back} each; the engine's memory was {after['peak_rss_bytes'] >> 20} "
        f"MiB at most; loopback dropped {after['softnet_dropped']} packets.", "",
        "| wave | cut off | back | half back after, s | 99 % | all |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |", *rows, "",
        "Times are from the start of the wave, of the slowest process, cutting off and staying "
        "away included.", ""])
    return text, not broken and up == options.subscribers


if __name__ == "__main__":
    main()
