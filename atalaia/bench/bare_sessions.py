"""A bare prober and a bare door, as the baseline of `bench sessions`; run as a process of its own.

`python -m atalaia.bench.bare_sessions SERVER KEY PORT PROBE_S COUNT`: asks status and check of each session
every PROBE_S seconds and keeps the answers' words; answers webhooks on PORT with 200 and counts them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import quote

import aiohttp
import uvloop
from aiohttp import web

ASKED = ("status-session", "check-connection-session")


async def probe(http: aiohttp.ClientSession, key: str, name: str, first_s: float, every_s: float) -> None:
    """Ask about one session for ever. first_s: when to begin, so that not all are asked at once."""
    await asyncio.sleep(first_s)
    async with http.post(f"/api/{name}/{quote(key, safe='')}/generate-token") as answer:
        headers = {"Authorization": f"Bearer {(await answer.json())['token']}"}
    while True:
        for route in ASKED:
            async with http.get(f"/api/{name}/{route}", headers=headers) as answer:
                await answer.json()
        await asyncio.sleep(every_s)


async def serve(server: str, key: str, port: int, every_s: float, count: int) -> None:
    """Run until ended."""

    async def hook(request: web.Request) -> web.Response:
        json.loads(await request.read())
        return web.json_response({"success": True})

    app = web.Application(client_max_size=2**27)
    app.router.add_post("/hooks/{connection}/{token}", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server, connector=connector) as http, asyncio.TaskGroup() as together:
        for place in range(count):
            first_s = every_s * place / count
            together.create_task(probe(http, key, f"load{place:05d}", first_s, every_s))
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(serve(given[0], given[1], int(given[2]), float(given[3]), int(given[4])))
