#!/usr/bin/env python3
"""How much memory does an idle subscriber cost, in the process and in the kernel?

10,000 subscribers that receive nothing. User memory is the growth of the server's proportional
set size; kernel memory that of all slab caches, both ends of the connection and the client's own
epoll registration included. The floor holds bare sockets, so what a server's subscribers cost
beyond it is the server's doing.
"""

import contextlib
import subprocess
import time

import client
import rig
from scenario import Scenario, main
from summary import Figure

CONNECT_TIMEOUT_S = 120
SETTLE_S = 3  # deferred frees and lazily touched pages
HOLD_S = SETTLE_S + 3
SOCKETS_SHARE = 0.99  # a socket of somebody else may close meanwhile


def measure(start, options):
    with start() as running:
        wait_for_quiet()
        before = reading(running)
        with idle_client(running, options) as held:
            wait_for_sockets(before["sockets"] + 2 * options.subscribers, held)
            time.sleep(SETTLE_S)
            after = reading(running)
    growth = {key: (after[key] - before[key]) / options.subscribers for key in before}
    figures = {"user_bytes": growth["pss_bytes"], "kernel_bytes": growth["slab_bytes"]}
    return {"figures": figures, "report": {"before": before, "after": after}}


@contextlib.contextmanager
def idle_client(running, options):
    idle = client.Load(options.subscribers, events_per_s=0, counted_only=True)
    command = client.receive_command(idle, running, options, warm_up=0, seconds=HOLD_S)
    held = subprocess.Popen(command, cwd=rig.ROOT, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        yield held
    finally:
        held.terminate()
        held.wait()


def wait_for_quiet():
    """Waits until the sockets of the run before have gone."""
    count = None
    while count != (count := rig.tcp_sockets()[0]):
        time.sleep(SETTLE_S)


def reading(running):
    sockets, packet_bytes = rig.tcp_sockets()
    return {"pss_bytes": running.pss_bytes(), "slab_bytes": rig.slab_bytes(),
            "sockets": sockets, "packet_bytes": packet_bytes}


def wait_for_sockets(count, held):
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while rig.tcp_sockets()[0] < count * SOCKETS_SHARE:
        if held.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the client did not connect: {rig.tcp_sockets()[0]} of {count} sockets")
        time.sleep(0.1)


SCENARIO = Scenario(
    name="memory-per-subscriber",
    question=__doc__,
    floor="floor-send",
    servers=["engine", "axum", "nchan", "node"],
    figures=[
        Figure("user_bytes", "User memory per idle subscriber, bytes", digits=0,
               is_difference=True, at_most=128),
        Figure("kernel_bytes", "Kernel memory per idle connection, both ends, bytes", digits=0,
               is_difference=True, at_most=256),
    ],
    measure=measure,
    subscribers=10_000,
)

if __name__ == "__main__":
    main(SCENARIO)
