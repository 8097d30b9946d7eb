#!/usr/bin/env python3
"""Does a delivery cost the same with a thousand subscribers and a million, 100 topics and 100,000?

The rate of deliveries is the same in every run (50,000/s). First series: one topic, so that its
events are the rarer the more subscribers it has. Second series: ten subscribers to each topic, so
that publishing costs each delivery the same. Every size is compared with the first of its series.
--subscribers leaves out the sizes beyond it; where events are rare, a run lasts longer than
--seconds.
"""

import argparse
import math
from functools import partial

import client
import scenario
from summary import Figure

DELIVERIES_PER_S = 50_000
EVENT_COUNT_MIN = 5  # in a measured window, whatever --seconds says
SUBSCRIBERS = [1_000, 10_000, 100_000, 1_000_000]
TOPICS = [100, 1_000, 10_000, 100_000]
TOPIC_SUBSCRIBERS = 10
FIGURES = [Figure("cpu_us_per_delivery", "Server CPU per delivery, µs", at_most=1.15,
                  judges_all=True)]


def main():
    options = scenario.options(__doc__, ["engine"])
    options.client = "downpour-load"  # the only one that holds that many
    options.warm_up = 3 if options.warm_up is None else options.warm_up
    most = options.subscribers or SUBSCRIBERS[-1]
    loads = {count: load(count, 1) for count in SUBSCRIBERS}
    series("subscribers", {n: one for n, one in loads.items() if one.subscribers <= most}, options)
    loads = {count: load(count * TOPIC_SUBSCRIBERS, count) for count in TOPICS}
    series("topics", {n: one for n, one in loads.items() if one.subscribers <= most}, options)


def load(subscribers, topics):
    return client.Load(subscribers, topics=topics, lines=True,
                       events_per_s=DELIVERIES_PER_S * topics / subscribers)


def series(what, loads, options):
    """Measures each load on the first server named, the smallest first."""
    server = options.servers[0]
    subjects = {
        f"{count:,} {what}": partial(scenario.run_once, scenario.under_load(lambda _, one=one: one),
                                     server, long_enough(one, options))
        for count, one in loads.items()}
    name = f"scaling-{what}"
    rounds = scenario.run_rounds(name, subjects, options)
    question = f"{__doc__.strip()}\n\nServer: {server.name}."
    scenario.report(name, question, rounds, FIGURES, options)


def long_enough(load, options):
    seconds = max(options.seconds, math.ceil(EVENT_COUNT_MIN / load.events_per_s))
    return argparse.Namespace(**vars(options) | {"seconds": seconds})


if __name__ == "__main__":
    main()
