#!/usr/bin/env python3
"""How late does an event reach each subscriber, and how late the last one?

5,000 subscribers, 20 events/s of 100 bytes. Latency counts from the moment an event was due to be
published, to the read that brought it; "last" is one sample per event. The floor is a bare
send(2) loop, and client and server share the machine's memory and caches, so only ratios carry
over to other machines.
"""

from client import Load
from scenario import Scenario, main, under_load
from summary import Figure

SCENARIO = Scenario(
    name="latency",
    question=__doc__,
    floor="floor-send",
    servers=["engine", "axum", "nchan", "node"],
    figures=[
        Figure("p50_ms", "To each subscriber, p50, ms"),
        Figure("p99_ms", "To each subscriber, p99, ms", at_most=1.1),
        Figure("last_p50_ms", "To the last subscriber of an event, p50, ms"),
        Figure("last_p99_ms", "To the last subscriber of an event, p99, ms"),
    ],
    measure=under_load(lambda options: Load(options.subscribers, events_per_s=20)),
)

if __name__ == "__main__":
    main(SCENARIO)
