"""A hub whose many sessions another worker keeps, for `bench wall`; run as a process of its own.

`python -m atalaia.bench.wall_hub FOLDER RATE ON_SCREEN`: the folder holds connections. It writes their states
as their keepers would, serves the screens, and from SIGUSR1 on changes RATE states a second, one transaction
each: half of them of the first ON_SCREEN connections, which are in trouble and so stand on the first page.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from sqlalchemy import Connection, insert

from atalaia.clock import to_ms
from atalaia.collector import spare_the_collector
from atalaia.connections.queries import list_briefs
from atalaia.connections.truth import Truth
from atalaia.connectors import CONNECTORS
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.desk.people.tokens import Tokens
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.serve import Hub, running
from atalaia.settings import load_settings
from atalaia.store.tables import connection_states, leases, planes
from atalaia.store.upsert import upsert
from atalaia.web.host import listen, serving, until_told

SERVERS = 40
HOUR_MS = 3_600_000
SAID = "The page has messages that no webhook brought."


async def serve(folder: Path, rate: float, on_screen: int) -> None:
    """Run until told to end."""
    settings = load_settings(data_dir=folder, port=0)
    begun = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begun.set)
    async with running(settings, CONNECTORS) as hub:
        # First of all that is written, so that this worker finds the leases taken.
        ids = await hub.store.write(lambda tx: _settle(tx, hub, on_screen))
        _, token = await Tokens(hub.store, hub.ambient).make("bench", ["connections:read", "events:read"])
        async with serving(hub, listen("127.0.0.1", 0), lambda _: None) as url:
            changing = asyncio.create_task(_change(hub, ids, rate, on_screen, begun))
            sys.stdout.write(json.dumps({"url": url, "token": token}) + "\n")
            sys.stdout.flush()
            spare_the_collector()  # as `atalaia up` does
            await until_told()
            changing.cancel()


def _settle(tx: Connection, hub: Hub, on_screen: int) -> list[str]:
    """Write what is known of each connection; answer their ids by name."""
    briefs = sorted(list_briefs(tx), key=lambda one: one.name)
    now = to_ms(hub.ambient.clock.now())
    kept = [
        {"name": f"connection:{one.id}", "owner": "another", "epoch": 1, "expires_ms": now + HOUR_MS,
         "taken_ms": now}
        for one in briefs
    ]  # fmt: skip
    tx.execute(insert(leases), kept)
    states = [_state(one.id, place, place < on_screen, now) for place, one in enumerate(briefs)]
    tx.execute(insert(connection_states), states)
    seen = [
        {"connection": one.id, "plane": plane.name, "state": "proven", "claim": "CONNECTED",
         "evidence": '{"claim": "CONNECTED"}', "seen_ms": now, "checked_ms": now}
        for one in briefs
        for plane in CONNECTOR.planes
    ]  # fmt: skip
    tx.execute(insert(planes), seen)
    return [one.id for one in briefs]


def _state(identity: str, place: int, trouble: bool, now: int) -> dict[str, Any]:
    return {
        "connection": identity, "state": "suspect" if trouble else "live", "since_ms": now, "attempt": 1,
        "reason": SAID if trouble else "", "evidence": "{}", "epoch": 1, "until_ms": None, "heard_ms": now,
        "kind": Truth.DEAF if trouble else Truth.NONE, "server": f"http://wppconnect-{place % SERVERS}:21465",
    }  # fmt: skip


async def _change(hub: Hub, ids: list[str], rate: float, on_screen: int, begun: asyncio.Event) -> None:
    """Change states at a steady rate, each as its keeper does."""
    await begun.wait()
    random, clock = Random(1), hub.ambient.clock
    screen = cycle(range(on_screen))
    turns: dict[int, int] = {}
    began, done = clock.monotonic(), 0
    async with asyncio.TaskGroup() as together:
        while True:
            due = int((clock.monotonic() - began) * rate)
            for _ in range(due - done):
                place = next(screen) if done % 2 else random.randrange(on_screen, len(ids))
                turn = turns[place] = turns.get(place, 0) + 1
                together.create_task(_write(hub, ids[place], place, turn, trouble=place < on_screen))
                done += 1
            await clock.sleep(0.005)


async def _write(hub: Hub, identity: str, place: int, turn: int, *, trouble: bool) -> None:
    now = to_ms(hub.ambient.clock.now())
    state = "suspect" if trouble or turn % 2 else "live"
    kind = (Truth.HUNG if turn % 2 else Truth.DEAF) if trouble else Truth.UNPROVEN if turn % 2 else Truth.NONE
    row = _state(identity, place, trouble, now) | {"state": state, "kind": kind}
    data = {"name": f"Canal {place:05d}", "connector": "wppconnect", "kind": kind, "reason": row["reason"],
            "attempt": 1, "epoch": 1, "evidence": {"claim": "CONNECTED"}}  # fmt: skip

    def work(tx: Connection) -> None:
        facts = [Fact(f"connection.{state}", identity, now, data)]
        append_facts(tx, hub.ambient, "keeper", facts, connection=identity, epoch=1)
        upsert(tx, connection_states, row, ("connection",))

    await hub.store.write(work)


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(serve(Path(given[0]), float(given[1]), int(given[2])))
