"""A bare stream of changes, as the baseline of `bench wall`; run as a process of its own.

`python -m atalaia.bench.bare_stream RATE`: tells RATE changes a second as server-sent events, each with the
moment it was made; no log, no tables, nothing drawn.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiohttp import web


async def serve(rate: float) -> None:
    """Run until ended."""

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        began, done = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - began) * rate)
            for number in range(done, due):
                data = json.dumps({"seq": number, "at_ms": time.time() * 1000})
                await answer.write(f"id: {number}\nevent: truths\ndata: {data}\n\n".encode())
            done = due
            await asyncio.sleep(0.005)

    app = web.Application()
    app.router.add_get("/live", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1])))
