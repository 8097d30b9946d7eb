"""PyPI's mercure-publisher and pymercure, and httpx-sse, on a Mercure hub.

Usage: python mercure_client.py HUB_ORIGIN KEY PROXY_ORIGIN

PROXY_ORIGIN is the hub behind a proxy that sends chunks: what subscribes by `requests`, as pymercure
does, waits for 128 bytes where there are none.
"""

import asyncio
import queue
import sys

import httpx
import jwt
from httpx_sse import connect_sse
from mercure_publisher import AsyncMercurePublisher, MercureConfig, MercurePublisher
from mercure_publisher.exceptions import MercurePublishError
from pymercure.consumer import Consumer
from pymercure.message import Message
from pymercure.publisher.sync import SyncPublisher

HUB = f"{sys.argv[1]}/.well-known/mercure"
KEY = sys.argv[2]
# Every wait for bytes has this bound, so the script ends.
client = httpx.Client(timeout=60, trust_env=False)


def equal(got, expected):
    if got != expected:
        sys.exit(f"got {got!r} instead of {expected!r}")


def config(topics):
    return MercureConfig(hub_url=HUB, publisher_jwt_key=KEY, publish_topics=topics)


def subscribe(topics, granted, last_event_id=None):
    token = jwt.encode({"mercure": {"subscribe": granted}}, KEY, algorithm="HS256")
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    params = [("topic", topic) for topic in topics]
    return connect_sse(client, "GET", HUB, params=params, headers=headers)


BOOKS = "https://example.com/books/{id}"
ONE, TWO = "https://example.com/books/1", "https://example.com/books/2"

# mercure-publisher makes its tokens itself, with an end, and publishes what httpx-sse reads.
with MercurePublisher(config([BOOKS]), client) as publisher:
    with subscribe([BOOKS], [ONE]) as source:
        equal(source.response.status_code, 200)
        events = source.iter_sse()
        for arguments, options, expected in [
            ((ONE, {"title": "grüße"}), {}, ("message", '{"title": "gr\\u00fc\\u00dfe"}')),
            ((ONE, "two\nlines"), {"type": "tick"}, ("tick", "two\nlines")),
            ((ONE, "private"), {"private": True, "id": "urn:own:1"}, ("message", "private")),
            (([TWO, ONE], "both"), {"private": True, "retry": 1500}, ("message", "both")),
        ]:
            id = publisher.publish(*arguments, **options)
            event = next(events)
            equal((event.event, event.data, event.id), (*expected, id))
        equal(event.retry, 1500)
        publisher.publish(TWO, "not for it", private=True)
        last = publisher.publish(TWO, "public")
        equal(next(events).data, "public")

    # Cut off, it comes back with the last id and gets what it missed and may see.
    missed = publisher.publish(ONE, "missed", private=True)
    publisher.publish(TWO, "not for it", private=True)
    with subscribe([BOOKS], [ONE], last) as source:
        equal(source.response.headers["Last-Event-ID"], last)
        events = source.iter_sse()
        equal(next(events).id, missed)
        live = publisher.publish(ONE, "live")
        equal(next(events).id, live)

    try:
        publisher.publish("https://example.com/users/1", "x")
        sys.exit("a publish that the token does not grant was taken")
    except MercurePublishError as error:
        equal((error.status_code, error.response_body), (401, "Unauthorized\n"))


async def publish_async(data):
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        return await AsyncMercurePublisher(config(["*"]), client).publish("a", data)


# pymercure subscribes in a thread of its own, to what is public, and publishes.
received = queue.Queue()
consumer = Consumer(f"{sys.argv[3]}/.well-known/mercure", ["a", BOOKS], received.put)
consumer.daemon = True
consumer.start_consumption()
token = jwt.encode({"mercure": {"publish": ["*"]}}, KEY, algorithm="HS256")
old = SyncPublisher(HUB, token)
for publish, data in [
    (lambda data: old.publish(Message(["a"], data, message_id="m1")), "by pymercure"),
    (lambda data: asyncio.run(publish_async(data)), "by mercure-publisher"),
    (lambda data: old.publish(Message([ONE, "b"], data, event_type="tick")), "to two topics"),
]:
    id = publish(data)
    message = received.get(timeout=60)
    equal((message.data, message.message_id), (data, id))
equal(message.event_type, "tick")
