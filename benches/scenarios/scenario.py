"""A scenario: one question, asked of several servers in interleaved rounds.

A round runs the floor, each server, and the floor again. All raw reports are kept beside the
summary, so that every number of it can be traced and computed again.
"""

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

import client
import rig
import summary


@dataclass
class Scenario:
    """What is asked, of whom, and what is read from the answer."""

    name: str
    question: str
    floor: str
    servers: list
    figures: list
    measure: Callable  # (start, options) -> {"figures": ..., "report": ...}; see `run_once`
    subscribers: int = 5_000
    warm_up: int = 3  # seconds of load before the measured window


def under_load(load_of):
    """A `measure` that puts one load on a server; `load_of(options)` says which."""
    def measure(start, options):
        with start() as running:
            return client.measure(load_of(options), running, options)
    return measure


def main(scenario):
    """The command line of a scenario."""
    run(scenario, options(scenario.question, scenario.servers))


def options(question, servers):
    """Reads the command line; `servers` are those that run when none is named."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--server", action="append", metavar="NAME[=COMMAND]",
                        help="a server of servers.toml, or a command with {port} and {cpu}; "
                             f"repeat it (default: {', '.join(servers)})")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (%(default)s)")
    parser.add_argument("--seconds", type=int, default=15,
                        help="measured window of a run (%(default)s)")
    parser.add_argument("--subscribers", type=int, help="instead of the scenario's own number")
    parser.add_argument("--warm-up", type=int, help="seconds, instead of the scenario's own")
    parser.add_argument("--client", choices=client.CLIENTS, default="floor-receive",
                        help="who subscribes and publishes (%(default)s)")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--bin", type=folder, default=rig.ROOT / "target/release",
                        help="folder of the release binaries")
    parser.add_argument("--out", type=folder, help="folder of the results "
                        "(default: benches/runs/<date>-<machine>)")
    chosen = parser.parse_args()
    # Ended from outside, a scenario still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    day = time.strftime("%Y-%m-%d", time.gmtime())
    chosen.out = chosen.out or rig.HERE.parent / "runs" / f"{day}-{rig.machine_name()}"
    chosen.servers = [server_of(text) for text in chosen.server or servers]
    return chosen


def folder(text):
    """A folder named from where the user is; servers are started at the root."""
    return Path(text).resolve()


def server_of(text):
    known = rig.known_servers()
    name, _, command = text.partition("=")
    if command:
        return rig.Server(name, command, known[name].lines if name in known else True)
    if name not in known:
        raise SystemExit(f"no server {name!r}; known are {', '.join(known)}, or NAME=COMMAND")
    return known[name]


def run(scenario, options):
    """Runs all rounds of a scenario, writes raw reports and summary, prints the summary."""
    rounds = measured(scenario, options)
    return report(scenario.name, scenario.question, rounds, scenario.figures, options)


def measured(scenario, options):
    """All rounds of a scenario; raw reports are written."""
    options = argparse.Namespace(**vars(options))  # the scenario's own numbers are not others'
    options.subscribers = options.subscribers or scenario.subscribers
    options.warm_up = scenario.warm_up if options.warm_up is None else options.warm_up
    floor = rig.known_servers()[scenario.floor]
    servers = [floor] + [server for server in options.servers if server.name != floor.name]
    subjects = {server.name: partial(run_once, scenario.measure, server, options)
                for server in servers}
    return run_rounds(scenario.name, subjects, options)


def run_rounds(name, subjects, options):
    """Measures every subject once a round and the first one twice; `subjects` maps a name to what
    measures it, given the path of its raw report without an ending."""
    folder = options.out / name
    rig.write_json(folder / "environment.json", rig.environment() | {"options": plain(options)})
    first = next(iter(subjects))
    rounds = summary.Rounds(first, [])
    for number in range(1, options.rounds + 1):
        one = []
        for place, subject in enumerate([*subjects, first]):
            print(f"{name}: round {number} of {options.rounds}, {subject}", flush=True)
            path = folder / f"{number:02}-{place}-{subject.replace(' ', '-')}"
            one.append((subject, subjects[subject](path)))
        rounds.rounds.append(one)
    return rounds


def report(name, question, rounds, figures, options):
    """Writes and prints the summary."""
    text = summary.markdown(name, question, rounds, figures)
    (options.out / name / "summary.md").write_text(text)
    print(f"\n{text}")
    return text


def run_once(measure, server, options, path):
    """One run: `start()` serves, for the length of a `with`, a server that nobody has used yet."""
    log_path = Path(f"{path}.log")
    start = partial(rig.serving, server, options.server_cpu, options.bin, log_path)
    result = measure(start, options)
    if log_path.stat().st_size == 0:
        log_path.unlink()
    entry = {"server": server.name, "command": server.command} | result
    rig.write_json(Path(f"{path}.json"), entry)
    return result["figures"]


def plain(options):
    """The options as far as they can repeat the run elsewhere: no folders of this machine."""
    return {name: value for name, value in vars(options).items()
            if isinstance(value, (int, float, str))} | {
                "servers": {server.name: server.command for server in options.servers}}
