#!/usr/bin/env python3
"""How does the engine compare with floors and peers, on every question that has a number to hold?

Runs the scenarios one after the other, each with its own subscribers, and puts their summaries on
one page. Options hold for all of them.
"""

from dataclasses import replace

import scenario
from cpu_per_delivery import SCENARIO as cpu_per_delivery
from latency import SCENARIO as latency
from memory_per_subscriber import SCENARIO as memory_per_subscriber
from saturation import SCENARIO as saturation
from slow_readers import SCENARIO as slow_readers

# Both have the same load, so one run answers both.
fan_out = replace(cpu_per_delivery, name="fan-out",
                  question=f"{cpu_per_delivery.question}\n{latency.question}",
                  figures=cpu_per_delivery.figures + latency.figures)
SCENARIOS = [fan_out, saturation, memory_per_subscriber, slow_readers]


def compare():
    options = scenario.options(__doc__, ["engine", "axum", "nchan", "node"])
    pages = [scenario.run(one, options) for one in SCENARIOS]
    (options.out / "compare.md").write_text("\n".join(pages))


if __name__ == "__main__":
    compare()
