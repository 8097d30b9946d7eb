#!/usr/bin/env python3
"""How much memory does an idle subscriber cost, in the process and in the kernel?

10,000 subscribers that receive nothing. User memory is the growth of the server's proportional
set size; kernel memory that of the slab caches, both ends of the connection and the client's own
epoll registration included. The floor holds bare sockets, so what a server's subscribers cost
beyond it is the server's doing.
"""

import contextlib
import subprocess
import time

import client
import floor_receive
import rig
from scenario import Scenario, main
from summary import Figure

SETTLE_S = 3  # deferred frees and lazily touched pages
HOLD_S = SETTLE_S + 3
REPORTED_BYTES_MIN = 4  # caches that grew by less per subscriber are left out
# Caches that grow with files, processes and memory maps of the whole machine and not with sockets.
# A socket's directory entry (192 B) falls out with them; it is the same for every server.
FOREIGN_CACHES = ("anon_vma", "bio", "buffer_head", "dentry", "ext4", "inode_cache", "jbd2",
                  "kernfs", "lsm_inode", "maple_node", "mm_struct", "proc_inode", "radix_tree",
                  "shmem_inode", "signal", "sighand", "task_", "tw_sock", "vm_area", "xfs")


def measure(start, options):
    with start() as running:
        wait_for_quiet()
        before = reading(running)
        with idle_client(running, options):
            time.sleep(SETTLE_S)
            after = reading(running)
    def per_subscriber(key):
        return (after[key] - before[key]) / options.subscribers

    slabs = {name: (size - before["slabs"].get(name, 0)) / options.subscribers
             for name, size in after["slabs"].items() if not name.startswith(FOREIGN_CACHES)}
    figures = {
        "user_bytes": per_subscriber("pss_bytes"),
        "kernel_bytes": sum(slabs.values()),
        "foreign_sockets": abs(after["sockets"] - before["sockets"] - 2 * options.subscribers),
    }
    report = {
        "packet_bytes": per_subscriber("packet_bytes"),
        "slab_bytes": {name: size for name, size in slabs.items()
                       if abs(size) >= REPORTED_BYTES_MIN},
    }
    return {"figures": figures, "report": report}


@contextlib.contextmanager
def idle_client(running, options):
    """A client with all its subscribers connected, to whom nothing happens."""
    idle = client.Load(options.subscribers, events_per_s=0, counted_only=True)
    command = floor_receive.command(idle, running, options, warm_up=0, seconds=HOLD_S)
    held = subprocess.Popen(command, cwd=rig.ROOT, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
    try:
        if "connected" not in (said := held.stderr.readline()):
            raise SystemExit(f"the client did not connect: {said}")
        yield
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
    return {"pss_bytes": running.pss_bytes(), "slabs": rig.slabs(),
            "sockets": sockets, "packet_bytes": packet_bytes}


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
