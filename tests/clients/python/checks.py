"""The checks of tests/clients, with nats-py."""

import asyncio
import sys

import nats
from nats.errors import NoRespondersError, TimeoutError


async def settle(nc, other):
    """Waits until all subscriptions of `other` so far are known where `nc` publishes.

    The PING of nats-py's flush() may overtake a SUB that its flusher has not written yet. But
    a subscription made after the others is in force after them.
    """
    subject = other.new_inbox()
    sub = await other.subscribe(subject)
    while True:
        await nc.publish(subject, b"")
        try:
            await sub.next_msg(0.02)
            break
        except TimeoutError:
            pass
    await sub.unsubscribe()


async def publish(nc, other):
    sub = await other.subscribe("numbers")
    await settle(nc, other)
    for i in range(1000):
        await nc.publish("numbers", b"%d" % i)
    for i in range(1000):
        assert (await sub.next_msg(10)).data == b"%d" % i


async def wildcards(nc, other):
    one = await other.subscribe("w.*.x")
    many = await other.subscribe("w.>")
    await settle(nc, other)
    for subject in ("w.a.x", "w.a.b.x", "w", "w.a"):
        await nc.publish(subject, subject.encode())
    await nc.publish("w.end.x", b"")
    seen = [[], []]
    for sub, list_ in zip((one, many), seen):
        while (msg := await sub.next_msg(10)).subject != "w.end.x":
            list_.append(msg.subject)
    assert seen == [["w.a.x"], ["w.a.x", "w.a.b.x", "w.a"]], seen


async def request(nc, other):
    async def double(msg):
        await msg.respond(msg.data * 2)

    await other.subscribe("double", cb=double)
    await settle(nc, other)
    answers = await asyncio.gather(
        *(nc.request("double", b"%d." % i, timeout=10) for i in range(100))
    )
    assert [a.data for a in answers] == [b"%d.%d." % (i, i) for i in range(100)]


async def queue(nc, other):
    got = []
    done = asyncio.Event()

    async def take(msg):
        got.append(msg.data)
        if len(got) == 300:
            done.set()

    for client in (nc, other, other):
        await client.subscribe("jobs", queue="workers", cb=take)
        await settle(nc, client)
    for i in range(300):
        await nc.publish("jobs", b"%d" % i)
    await asyncio.wait_for(done.wait(), 10)
    await nc.flush()
    await other.flush()
    assert sorted(got) == sorted(b"%d" % i for i in range(300))


async def headers(nc, other):
    sub = await other.subscribe("headed")
    await settle(nc, other)
    await nc.publish("headed", b"body", headers={"Key": "Value", "Other": "1"})
    msg = await sub.next_msg(10)
    assert (msg.data, msg.headers) == (b"body", {"Key": "Value", "Other": "1"})


async def no_responders(nc, _):
    try:
        await nc.request("nobody", b"", timeout=10)
    except NoRespondersError:
        return
    raise AssertionError("somebody answered")


async def drain(nc, other):
    got = []

    async def take(msg):
        got.append(msg.data)

    sub = await other.subscribe("drained", cb=take)
    await settle(nc, other)
    for i in range(500):
        await nc.publish("drained", b"%d" % i)
    await nc.flush()
    # A round trip through the other connection: what was sent before is on its way there.
    await nc.request("double", b"", timeout=10)
    await sub.drain()
    assert got == [b"%d" % i for i in range(500)], len(got)


async def reconnect(nc, other):
    sub = await other.subscribe("after")
    await settle(nc, other)
    print("restart", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for _ in (nc, other):
        await asyncio.wait_for(reconnected.get(), 10)
    await settle(nc, other)
    await nc.publish("after", b"back")
    assert (await sub.next_msg(10)).data == b"back"


# One entry for each connection that came back.
reconnected = asyncio.Queue()


async def on_reconnect():
    reconnected.put_nowait(None)


async def on_error(_):
    """Keeps the errors of the restart off standard error."""


async def main(url):
    options = {
        "reconnect_time_wait": 0.05,
        "max_reconnect_attempts": -1,
        "reconnected_cb": on_reconnect,
        "error_cb": on_error,
    }
    nc = await nats.connect(url, **options)
    other = await nats.connect(url, **options)
    for check in (
        publish,
        wildcards,
        request,
        queue,
        headers,
        no_responders,
        drain,
        reconnect,
    ):
        await check(nc, other)
        print("ok", check.__name__.replace("_", " "), flush=True)
    await other.close()
    await nc.drain()


asyncio.run(main(sys.argv[1]))
