"""One engine on one CPU and the load generator on another: what the larger scenarios share.

Where `scenario` compares servers in rounds, these look at the engine alone, for long or at size.
"""

import argparse
import os
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path

import rig
import scenario


def arguments(question, name):
    """A command line with what all have; `name` is the folder of the results."""
    # Ended from outside, a scenario still ends what it has started and puts settings back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=question,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    cpus = sorted(os.sched_getaffinity(0))
    parser.add_argument("--server-cpu", type=int, default=cpus[0])
    parser.add_argument("--client-cpu", type=int, default=cpus[-1])
    parser.add_argument("--bin", type=scenario.folder, default=rig.ROOT / "target/release",
                        help="folder of the binaries")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    parser.add_argument("--out", type=scenario.folder, help="folder of the results",
                        default=rig.HERE.parent / "runs" / f"{day}-{rig.machine_name()}" / name)
    return parser


def serving(options, *flags, cpus=None, admin=None):
    """The engine, a worker on each of `cpus`, with its admin interface on a port of this machine
    if that is given."""
    cpus = cpus or [options.server_cpu]
    places = ",".join(map(str, cpus))
    words = ["taskset", "-c", places, "{bin}/downpour", "serve", "--listen", "127.0.0.1:{port}",
             "--admin", f"127.0.0.1:{admin}" if admin else "off", "--workers", str(len(cpus)),
             "--cpus", places, *flags]
    server = rig.Server("engine", " ".join(words))
    return rig.serving(server, options.server_cpu, options.bin, options.out / "engine.log")


def load(options, running, command, subscribers, *flags):
    """The words of a load generator that reads on one thread."""
    cpu = str(options.client_cpu)
    # connect publishes nothing.
    publisher = ["--publisher-cpu", cpu] if command == "run" else []
    return ["taskset", "-c", cpu, f"{options.bin}/downpour-load", command,
            f"http://127.0.0.1:{running.port}", "--quiet", "--subscribers", str(subscribers),
            "--threads", "1", "--cpus", cpu, *publisher,
            "--pid", str(max(running.pids())), *flags]


def subscribers(admin):
    """How many an engine holds, by its own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    counts = re.findall(r"^downpour_subscribers(?:\{.*\})? (\d+)$", text, re.MULTILINE)
    return sum(map(int, counts))


def await_none(admin, seconds_max):
    """Waits until an engine has noticed that all are gone; how many it did not."""
    deadline = time.monotonic() + seconds_max
    while (count := subscribers(admin)) > 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    return count


def cpu_s(running):
    """User and kernel time of a server's processes so far."""
    ticks = 0
    for pid in running.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
