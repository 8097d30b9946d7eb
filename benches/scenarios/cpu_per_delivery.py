#!/usr/bin/env python3
"""What does one delivery cost in CPU when every event is sent on its own?

Events come slowly enough (20/s) that a server which keeps up coalesces nothing: each is one send to
each of 5,000 subscribers. The floor is a bare send(2) loop. Figures of a server that was late and
sent several events at once are no answer; the second table shows it.
"""

from client import Load
from scenario import Scenario, main, under_load
from summary import Figure

SCENARIO = Scenario(
    name="cpu-per-delivery",
    question=__doc__,
    floor="floor-send",
    servers=["engine", "axum", "nchan", "node"],
    figures=[
        Figure("cpu_us_per_delivery", "Server CPU per delivery, µs", at_most=1.0),
        Figure("events_per_read", "Events per read of the client (1: nothing was coalesced)"),
    ],
    measure=under_load(lambda options: Load(options.subscribers, events_per_s=20)),
)

if __name__ == "__main__":
    main(SCENARIO)
