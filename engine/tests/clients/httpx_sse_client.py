"""Python's httpx-sse as a subscriber. Usage: python httpx_sse_client.py ENGINE"""

import json
import sys

import httpx
from httpx_sse import connect_sse

engine = sys.argv[1]
# Every wait for bytes has this bound, so the script ends.
client = httpx.Client(timeout=60, trust_env=False)


def publish(topic, data, **query):
    answer = client.post(f"{engine}/events/{topic}", content=data.encode(), params=query)
    answer.raise_for_status()
    return answer.json()["id"]


def subscribe(last_event_id=None):
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    return connect_sse(
        client, "GET", f"{engine}/events?topic=t&topic=u", headers=headers
    )


def equal(got, expected):
    if got != expected:
        sys.exit(f"got {got!r} instead of {expected!r}")


def next_event(events):
    """The next one that a browser would dispatch: httpx-sse also gives blocks without data."""
    for event in events:
        if event.data or event.event != "message":
            return event
    sys.exit("the stream ended")


with subscribe() as source:
    source.response.raise_for_status()
    events = source.iter_sse()
    first = next(events)
    equal(first.data, "")
    if not (first.id and 100 <= first.retry <= 200):
        sys.exit(f"no priming id or no reconnection time: {first}")
    for topic, data, query, name in [
        ("t", "plain", {}, "message"),
        ("u", "line\nline\n\nline", {}, "message"),
        ("t", "grüße 🌧 \u2028\u2029\x85\x0b\x0c x", {"event": "tick"}, "tick"),
    ]:
        id = publish(topic, data, **query)
        event = next_event(events)
        equal((event.event, event.data, event.id), (name, data, id))
    last = event.id

# Cut off, it comes back with the last id and gets what it missed, once.
missed = [publish("u", "missed 1"), publish("t", "missed 2")]
with subscribe(last) as source:
    events = source.iter_sse()
    equal([next_event(events).id, next_event(events).id], missed)
    live = publish("t", "live again")
    equal(next_event(events).id, live)

# Away for longer than the history (5 events), it is told so.
for number in range(10):
    publish("t", str(number))
with subscribe(live) as source:
    events = source.iter_sse()
    gap = next_event(events)
    equal((gap.event, json.loads(gap.data)["reason"]), ("gap", "evicted"))
    equal([next_event(events).data for _ in range(5)], ["5", "6", "7", "8", "9"])
