#!/usr/bin/env python3
"""How does the engine compare with floors and peers, on every question that has a number to hold?

Runs the scenarios one after the other, each with its own subscribers, and puts their summaries on
one page. Options hold for all of them.
"""

import scenario
from cpu_per_delivery import SCENARIO as cpu_per_delivery
from latency import SCENARIO as latency
from memory_per_subscriber import SCENARIO as memory_per_subscriber
from saturation import SCENARIO as saturation
from slow_readers import SCENARIO as slow_readers

SCENARIOS = [cpu_per_delivery, latency, saturation, memory_per_subscriber, slow_readers]


def compare():
    options = scenario.options(__doc__, ["engine", "axum", "nchan", "node"])
    pages = [scenario.run(one, options) for one in SCENARIOS]
    (options.out / "compare.md").write_text("\n".join(pages))


if __name__ == "__main__":
    compare()
