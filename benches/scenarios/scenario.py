"""A scenario: one question, asked of several servers in interleaved rounds.

A round runs the floor, each server, and the floor again. All raw reports are kept beside the
summary, so that every number of it can be traced and computed again.
"""

import argparse
import time
from dataclasses import dataclass
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
    parser.add_argument("--bin", type=Path, default=rig.ROOT / "target/release",
                        help="folder of the release binaries")
    parser.add_argument("--out", type=Path, help="folder of the results "
                        "(default: benches/runs/<date>-<machine>)")
    chosen = parser.parse_args()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    chosen.out = chosen.out or rig.HERE.parent / "runs" / f"{day}-{rig.machine_name()}"
    chosen.servers = [server_of(text) for text in chosen.server or servers]
    return chosen


def server_of(text):
    known = rig.known_servers()
    name, _, command = text.partition("=")
    if command:
        return rig.Server(name, command, known[name].lines if name in known else True)
    if name not in known:
        raise SystemExit(f"no server {name!r}; known are {', '.join(known)}, or NAME=COMMAND")
    return known[name]


def run(scenario, options):
    """Runs all rounds, writes raw reports, environment and summary, prints the summary."""
    options = argparse.Namespace(**vars(options))  # the scenario's own numbers are not others'
    options.subscribers = options.subscribers or scenario.subscribers
    options.warm_up = scenario.warm_up if options.warm_up is None else options.warm_up
    folder = options.out / scenario.name
    rig.write_json(folder / "environment.json", rig.environment() | {"options": plain(options)})
    floor = rig.known_servers()[scenario.floor]
    others = [server for server in options.servers if server.name != floor.name]
    rounds = summary.Rounds(floor.name, [])
    for number in range(1, options.rounds + 1):
        one = []
        for place, server in enumerate([floor, *others, floor]):
            name = f"{number:02}-{place}-{server.name}"
            print(f"{scenario.name}: round {number} of {options.rounds}, {server.name}", flush=True)
            one.append((server.name, run_once(scenario, server, folder / name, options)))
        rounds.rounds.append(one)
    text = summary.markdown(scenario.name, scenario.question, rounds, scenario.figures)
    (folder / "summary.md").write_text(text)
    print(f"\n{text}")
    return text


def run_once(scenario, server, path, options):
    """One run: `start()` serves, for the length of a `with`, a server that nobody has used yet."""
    log_path = path.with_suffix(".log")
    result = scenario.measure(
        lambda: rig.serving(server, options.server_cpu, options.bin, log_path), options)
    if log_path.stat().st_size == 0:
        log_path.unlink()
    entry = {"server": server.name, "command": server.command} | result
    rig.write_json(path.with_suffix(".json"), entry)
    return result["figures"]


def plain(options):
    """The options as far as they can repeat the run elsewhere: no folders of this machine."""
    return {name: value for name, value in vars(options).items()
            if isinstance(value, (int, float, str))} | {
                "servers": {server.name: server.command for server in options.servers}}
