#!/usr/bin/env python3
"""What do subscribers that stop reading do to the others, and to the server's memory?

9,000 subscribers that read and 1,000 that never do; 5 events/s of 16,000 bytes, so that a socket
left at its default size is full (2 MB) within the warm-up. Each server is started twice per run,
without the slow ones and with them. A server that keeps them apart shows factors of 1, no growth,
and few bytes in sockets.
"""

import client
from scenario import Scenario, main
from summary import Figure

STALLED_SHARE = 10  # one in so many
MIB = 1 << 20


def measure(start, options):
    stalled = options.subscribers // STALLED_SHARE
    without, held = [measure_load(start, options, count) for count in (0, stalled)]
    before, after = without["figures"], held["figures"]
    figures = after | {
        "p99_factor": factor(before, after, "p99_ms"),
        "cpu_factor": factor(before, after, "cpu_us_per_delivery"),
        "growth_mib": (after["peak_rss_bytes"] - before["peak_rss_bytes"]) / MIB,
        "packet_mib": after["packet_bytes_max"] / MIB,
    }
    return {"figures": figures, "report": {"without": without, "with": held}}


def measure_load(start, options, stalled):
    readers = options.subscribers - options.subscribers // STALLED_SHARE
    load = client.Load(readers, events_per_s=5, payload_bytes=16_000, stalled=stalled)
    with start() as running:
        return client.measure(load, running, options)


def factor(before, after, key):
    return after[key] / before[key] if before[key] and after[key] else None


SCENARIO = Scenario(
    name="slow-readers",
    question=__doc__,
    floor="floor-coalesce",
    servers=["engine", "axum", "nchan", "node"],
    figures=[
        Figure("p99_factor", "p99 of the readers, with slow readers over without"),
        Figure("cpu_factor", "CPU per delivery to readers, with slow readers over without"),
        Figure("growth_mib", "Growth of the server's peak memory, MiB", is_difference=True),
        Figure("packet_mib", "Most bytes in sockets of the machine, MiB", is_difference=True),
    ],
    measure=measure,
    subscribers=10_000,
    warm_up=25,
)

if __name__ == "__main__":
    main(SCENARIO)
