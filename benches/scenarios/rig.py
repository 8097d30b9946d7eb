"""The machine: starts servers on their CPU, reads what they cost, records what the machine is.

Everything a scenario starts runs in a session of its own and is ended with it. Figures of the
kernel are those of the whole machine, so nothing else should be running.
"""

import contextlib
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_TIMEOUT_S = 120  # a peer may have to be built first
STOP_TIMEOUT_S = 5
# What decides a loopback measurement and differs between machines.
SYSCTLS = [
    "net/core/netdev_max_backlog", "net/core/somaxconn", "net/core/rmem_default",
    "net/core/wmem_default", "net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem", "net/ipv4/tcp_mem",
    "net/ipv4/tcp_congestion_control", "net/ipv4/tcp_max_syn_backlog", "net/core/default_qdisc",
    "net/ipv4/ip_local_port_range", "net/ipv4/tcp_notsent_lowat", "net/ipv4/tcp_autocorking",
    "kernel/io_uring_disabled", "kernel/sched_autogroup_enabled", "fs/file-max", "fs/nr_open",
]


@dataclass
class Server:
    """How a server is started. `command` holds {port}, {cpu}, {bin} and {peers}."""

    name: str
    command: str
    lines: bool = True


@dataclass
class Running:
    """A started server: where it listens and which processes it is."""

    server: Server
    port: int
    session: int

    def pids(self):
        """Process ids of the whole session."""
        return [pid for pid in all_pids() if session_of(pid) == self.session]

    def pss_bytes(self):
        """Memory of the server's processes, shared pages divided among their users."""
        return sum(status_bytes(f"{pid}/smaps_rollup", "Pss") for pid in self.pids())

    def peak_rss_bytes(self):
        """The most memory its processes have held so far."""
        return sum(status_bytes(f"{pid}/status", "VmHWM") for pid in self.pids())


def known_servers():
    with open(HERE / "servers.toml", "rb") as file:
        return {name: Server(name, **entry) for name, entry in tomllib.load(file).items()}


@contextlib.contextmanager
def serving(server, cpu, bin_dir, log_path):
    """Starts a server on `cpu`, waits until it accepts connections, ends it afterwards."""
    port = free_port()
    command = server.command.format(port=port, cpu=cpu, bin=bin_dir, peers=HERE.parent / "peers")
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"ulimit -n $(ulimit -Hn); exec {command}"], cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, process, server.name, log_path)
            yield Running(server, port, process.pid)
        finally:
            stop(process)


def wait_for(port, process, name, log_path):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            text = Path(log_path).read_text()[-2000:]
            raise SystemExit(f"{name} ended with {process.returncode} before it served:\n{text}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"{name} did not serve on port {port} within {START_TIMEOUT_S} s")


def stop(process):
    for what in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, what)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
            return


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def session_of(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)


def status_bytes(path, name):
    """A line `name: N kB` of a file below /proc, or 0 if the process has gone."""
    with contextlib.suppress(OSError):
        for line in Path("/proc", path).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def slabs():
    """Bytes in use in each slab cache of the kernel. Takes root."""
    rows = [line.split() for line in Path("/proc/slabinfo").read_text().splitlines()[2:]]
    return {row[0]: int(row[1]) * int(row[3]) for row in rows}


def tcp_sockets():
    """TCP sockets of the machine, and the bytes of packets they hold."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[2]), int(words[10]) * resource.getpagesize()
    raise SystemExit("/proc/net/sockstat has no line for TCP")


def packet_trouble():
    """Packets the machine has dropped or sent again so far: loopback loses them too."""
    softnet = Path("/proc/net/softnet_stat").read_text().splitlines()
    names, values = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()
                     if line.startswith("Tcp:")]
    return {"softnet_dropped": sum(int(line.split()[1], 16) for line in softnet),
            "tcp_retransmitted": int(dict(zip(names, values))["RetransSegs"])}


def machine_name():
    """A name that says what the machine is and not whose."""
    model = cpu_model().lower().replace("(r)", "").replace("(tm)", "")
    return f"{os.cpu_count()}x-{'-'.join(model.split()[:3])}"


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def environment():
    """All that a reader needs to judge or repeat a run."""
    sysctls = {}
    for name in SYSCTLS:
        with contextlib.suppress(OSError):
            sysctls[name.replace("/", ".")] = Path("/proc/sys", name).read_text().strip()
    return {
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": output("git", "rev-parse", "HEAD"),
        "uncommitted_files": output("git", "status", "--porcelain").splitlines(),
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_average": os.getloadavg(),
        "sysctls": sysctls,
        "versions": {"rustc": output("rustc", "--version"), "node": output("node", "--version"),
                     "nchan": output("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan")},
    }


def output(*command):
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return run.stdout.strip()
    return ""


def without_folders(result, options):
    """A result without folders of this machine, which are no part of it."""
    text = json.dumps(result).replace(f"{options.bin}/", "").replace(f"{options.out}/", "")
    return json.loads(text)


def write_json(path, value):
    """Writes a value, its outer fields a line each: readable, and small with long series inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = ",\n".join(f"{json.dumps(key)}: {json.dumps(inner)}" for key, inner in value.items())
    path.write_text(f"{{\n{fields}\n}}\n")
