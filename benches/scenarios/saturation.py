#!/usr/bin/env python3
"""How many deliveries does a CPU-second hold when events come faster than sends go?

1,000 subscribers, 10,000 events/s of 100 bytes. A server that sends each event
on its own cannot keep up at all; one that sends what is outstanding at once can. The floor is a
bare loop that does just that. Servers that do not keep up are measured by what they did deliver.
"""

from client import Load
from scenario import Scenario, main, under_load
from summary import Figure

EVENTS_PER_S = 10_000

SCENARIO = Scenario(
    name="saturation",
    question=__doc__,
    floor="floor-coalesce",
    servers=["engine", "axum", "nchan", "node"],
    figures=[
        Figure("million_deliveries_per_cpu_s", "Million deliveries per CPU-second", at_least=0.9),
        Figure("events_per_read", "Events per read of the client: how much was coalesced"),
        Figure("million_deliveries_per_s", "Million deliveries per second"),
    ],
    measure=under_load(lambda options: Load(
        options.subscribers, EVENTS_PER_S, counted_only=True, lines=True)),
    subscribers=1_000,
)

if __name__ == "__main__":
    main(SCENARIO)
