"""What nats.py must be able to do over WebSocket."""

import asyncio
import sys

import nats


async def main(url):
    nc = await nats.connect(url, allow_reconnect=False)
    other = await nats.connect(url, allow_reconnect=False)
    sub = await other.subscribe("numbers")
    await other.flush()
    for i in range(1000):
        await nc.publish("numbers", str(i).encode())
    for i in range(1000):
        msg = await sub.next_msg(timeout=10)
        assert msg.data == str(i).encode()

    async def echo(msg):
        await msg.respond(msg.data)

    await other.subscribe("echo", cb=echo)
    await other.flush()
    large = bytes(i * 31 % 251 for i in range(900_000))
    answer = await nc.request("echo", large, timeout=10)
    assert answer.data == large
    await nc.drain()
    await other.close()


asyncio.run(main(sys.argv[1]))
