"""What a million subscribers need of the machine: settings of the kernel, and memory to spare.

Settings are raised for the length of a run and put back after it; nothing is lowered. The kernel's
table of connections is sized at boot, but every network namespace may have one of its own: the run
gets such a network. The two doctors say beforehand whether the run will fit.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import rig

# Loopback's queue of packets: a broadcast of one worker puts 256 on it at a time, and what does not
# fit is dropped and sent again 200 ms later.
DEVICE_QUEUE = 100_000
# linux/sched.h and linux/sockios.h: what Python names only from 3.12 on, or not at all.
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# Below this the run is given up, so that the kernel need not choose what to kill.
AVAILABLE_BYTES_MIN = 1 << 30
# Sockets of others that may come while a run waits for its own to be gone.
FOREIGN_SOCKETS_MAX = 100
# The kernel frees what a process has left behind some time after its end, and not all at once.
REST_INTERVAL_S = 1
REST_BYTES_MAX = 8 << 20
REST_S_MAX = 60


@dataclass
class Setting:
    """A sysctl and the least that a run wants of it, one number or several."""

    name: str
    least: list
    why: str
    is_needed: bool = True  # without it the run does not fit; else it is only slower

    def path(self):
        return Path("/proc/sys", self.name.replace(".", "/"))

    def now(self):
        """Its numbers; none where this kernel or container does not have it."""
        with contextlib.suppress(OSError):
            return [int(word) for word in self.path().read_text().split()]
        return []

    def wanted(self):
        """Its numbers, each at least what the run wants; none where it need not be changed."""
        now = self.now()
        raised = [max(pair) for pair in zip(now, self.least)]
        return [] if raised == now else raised

    def write(self, numbers):
        self.path().write_text(" ".join(map(str, numbers)))


def settings(subscribers):
    """What so many subscribers want, both ends of their connections being on this machine."""
    ends = 2 * subscribers
    return [
        Setting("fs.file-max", [ends + ends // 10], "each end is an open file"),
        Setting("net.netfilter.nf_conntrack_max", [ends + ends // 10],
                "where connections are tracked, each has an entry", is_needed=False),
        Setting("fs.epoll.max_user_watches", [subscribers + subscribers // 10],
                "the engine watches each subscriber"),
        # A socket with anything on the way holds a page; at the second number the kernel shrinks
        # all windows, at the third it drops.
        Setting("net.ipv4.tcp_mem", [subscribers, ends, 2 * ends],
                "a page for each event that is on its way", is_needed=False),
        Setting("net.core.netdev_max_backlog", [DEVICE_QUEUE],
                "packets that wait on loopback", is_needed=False),
    ]


@contextlib.contextmanager
def raised(wanted):
    """Raises what is too low, says so, and puts it back at the end."""
    before = []
    try:
        for setting in wanted:
            numbers, now = setting.wanted(), setting.now()
            if not numbers:
                continue
            said = f"{setting.name}={' '.join(map(str, numbers))}"
            try:
                setting.write(numbers)
            except OSError as error:
                if setting.is_needed:
                    raise SystemExit(f"cannot set {said} ({setting.why}): {error}") from None
                print(f"  cannot set {said} ({setting.why}): {error}; going on without it")
                continue
            before.append((setting, now))
            print(f"  set {said} (was {' '.join(map(str, now))}): {setting.why}")
        yield
    finally:
        for setting, numbers in before:
            setting.write(numbers)
        if before:
            print(f"put back: {', '.join(setting.name for setting, _ in before)}")


@contextlib.contextmanager
def own_network(subscribers):
    """A network namespace with nothing but loopback, whose table of connections has a place for
    each end; the machine's own where that is not allowed. Global settings cannot be seen from
    inside, so raise them before."""
    places = 1 << (2 * subscribers - 1).bit_length()
    table = Setting("net.ipv4.tcp_child_ehash_entries", [places], "for the network of this run")
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        with raised([table]):
            call("unshare", CLONE_NEWNET)
            own = os.open("/proc/self/ns/net", os.O_RDONLY)
            call("setns", home, CLONE_NEWNET)
        call("setns", own, CLONE_NEWNET)
    except (OSError, SystemExit) as error:
        print(f"  no network of its own, its table of connections is the machine's: {error}")
        os.close(home)
        yield
        return
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        yield
    finally:
        call("setns", home, CLONE_NEWNET)
        os.close(own)
        os.close(home)


def call(name, *arguments):
    """A function of the C library that gives 0 or sets errno."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def ask(name, command):
    """What a doctor says; ends the run if that is no."""
    said = subprocess.run(command, cwd=rig.ROOT, capture_output=True, text=True)
    lines = (said.stdout or said.stderr).strip().splitlines()
    print(f"{name}: {lines[-1] if lines else 'said nothing'}")
    if said.returncode != 0:
        raise SystemExit("\n".join([f"it will not fit, says {' '.join(command)}:", *lines]))
    return said.stdout


def available_bytes():
    """Memory that can be had. The kernel counts reclaimable caches in; but those of sockets, their
    inodes and directory entries, go only with the sockets."""
    return (rig.status_bytes("meminfo", "MemAvailable")
            - rig.status_bytes("meminfo", "SReclaimable"))


def check_memory():
    """Gives the run up before the machine is out of memory."""
    left = available_bytes()
    if left < AVAILABLE_BYTES_MIN:
        raise SystemExit(f"given up: {left >> 20} MiB of memory are left")
    return left


def wait_for_rest(sockets_max):
    """Waits until there are no more sockets than that and memory is no longer being freed."""
    deadline, before = time.monotonic() + REST_S_MAX, 0
    while time.monotonic() < deadline:
        now = available_bytes()
        if rig.tcp_sockets()[0] <= sockets_max and now - before < REST_BYTES_MAX:
            return
        before = now
        time.sleep(REST_INTERVAL_S)
