"""A consumer for `bench deliver`, in a process of its own: verifies signatures, notes when each event came.

First line of its standard output: {"url", "figures"}. `GET figures` answers
{"arrived": {id: Unix seconds}, "out_of_order": n, "repeated": n, "refused": n}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import orjson
import uvloop
from aiohttp import web

from atalaia.deliveries.receiver import Received, Receiver


async def main(secret: str) -> None:
    """Receive until the process is ended."""
    arrived: dict[str, float] = {}
    last: dict[str, str] = {}
    figures = {"out_of_order": 0}

    def note(message: Received) -> None:
        if message.problem or message.repeated:
            return
        event = message.json()
        arrived[event["id"]] = time.time()
        if last.get(event["subject"], "") > event["id"]:
            figures["out_of_order"] += 1
        last[event["subject"]] = event["id"]

    receiver = Receiver([secret], keep=1, on_received=note)

    async def answer(_: web.Request) -> web.Response:
        told = {"arrived": arrived, "repeated": receiver.repeated, "refused": receiver.refused, **figures}
        return web.Response(body=orjson.dumps(told), content_type="application/json")

    async def clear(_: web.Request) -> web.Response:
        arrived.clear()
        last.clear()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/figures", answer)
    app.router.add_post("/clear", clear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    url = await receiver.start()
    sys.stdout.write(json.dumps({"url": url, "figures": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
