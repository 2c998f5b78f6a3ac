"""Furnishes a data folder as a hub would have left it, with a secret in every place that may hold one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection, insert, update

from atalaia.ambient import Ambient
from atalaia.clock import SystemClock, to_ms
from atalaia.connections.registry import Registry
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.deliveries.formats import OWN_FORMATS
from atalaia.deliveries.router import Router
from atalaia.deliveries.subscription import create_subscription
from atalaia.desk.calls.fold import Calls
from atalaia.events.gaps import Gaps
from atalaia.events.log import Source, append_facts, append_heard, read_after
from atalaia.events.model import Fact, Heard
from atalaia.events.policy import Policies
from atalaia.ids import SystemIds
from atalaia.reactions.folding import Folding
from atalaia.reactions.runner import catch_up
from atalaia.secretbox import SecretBox
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from atalaia.store.tables import attempts, deliveries, parked

ARI_PASSWORD = "canary-ari-0815"
HEADER = "canary-header-4711"
SIGNING = "whsec_Y2FuYXJ5c2lnbmluZzAxMjM0NTY3ODlhYmNkZWY="
BODY = "canary-body-2342"
CANARIES = (ARI_PASSWORD, HEADER, SIGNING, SIGNING.removeprefix("whsec_"), BODY)
ASTERISK, INTAKE, CONSUMER = "Central telephone", "Portal", "Web system"
CALLS = tuple(f"01a21770-0000-7000-8000-00000000000{n}" for n in range(4))


def furnish(folder: Path, url: str = "http://127.0.0.1:9/hook") -> None:
    """Make the folder. url: where the consumer is."""
    asyncio.run(_furnish(folder, url))


async def _furnish(folder: Path, url: str) -> None:
    store = await open_store("", folder)
    try:
        await _fill(store, folder, url)
    finally:
        await store.close()


async def _fill(store: Store, folder: Path, url: str) -> None:
    ambient = Ambient(clock=SystemClock(), ids=SystemIds(), random=Random(1))
    box = SecretBox.from_file(folder / "secret.key")
    registry = Registry({name: one.settings for name, one in CONNECTORS.items()}, box)
    setup = Setup(registry, ambient, box, CONNECTORS, OWN_FORMATS)
    router = Router(ambient, OWN_FORMATS)

    def work(tx: Connection) -> None:
        settings = {
            "url": "http://127.0.0.1:9",
            "user": "monitor",
            "password": ARI_PASSWORD,
            "server": "voip1",
        }
        asterisk = setup.create(tx, "asterisk", ASTERISK, setup.read("asterisk", settings), by="test")
        setup.create(tx, "intake", INTAKE, setup.read("intake", {}), by="test")
        create_subscription(tx, ambient, box, _consumer(url), formats=OWN_FORMATS)
        _heard(tx, ambient, asterisk.id)
        first = append_facts(tx, ambient, "test", _facts(ambient, asterisk.id), connection=asterisk.id)[0].seq
        router.apply(tx, read_after(tx, first - 1))
        _age(tx, ambient)

    await store.write(work)
    await catch_up([Folding(one, store, ambient) for one in (Calls(), Gaps())])


def _consumer(url: str) -> dict[str, Any]:
    return {
        "name": CONSUMER,
        "target": {"kind": "webhook", "url": url},
        "secrets": {"signing": [{"secret": SIGNING}], "headers": {"X-Admin-Key": HEADER}},
    }


def _heard(tx: Connection, ambient: Ambient, connection: str) -> None:
    body = json.dumps({"type": "ChannelVarset", "variable": "X", "password": BODY})
    one = Heard("asterisk.ChannelVarset", "channel-1", to_ms(ambient.clock.now()), body)
    append_heard(tx, ambient, Policies({}, {}), [(Source(connection), [one])])


def _facts(ambient: Ambient, connection: str) -> list[Fact]:
    now = to_ms(ambient.clock.now())
    gap = {"id": "01a21770-0000-7000-8000-0000000000aa", "from_ms": now - 9_000, "cause": "cut", "planes": []}
    closed = {**gap, "to_ms": now, "checked": {"channels": 3}, "recovered": {"calls": 2}, "lost": "unknown"}
    calls = [
        Fact(
            "call.ended",
            guid,
            now,
            {**_CALL, "callnumber": number, "opened_ms": now - 60_000, "ended_ms": now},
        )
        for number, guid in enumerate(CALLS)
    ]
    return [Fact("gap.opened", connection, now, gap), Fact("gap.closed", connection, now, closed), *calls]


_CALL = {
    "server": "voip1", "client": "112", "vhost": "cliente112", "origin": "1121001", "origin_type": "apto",
    "destiny": "1121002", "destiny_type": "apto", "dialled": "1121002", "channel": "PJSIP/1121001-0",
    "channel_id": "voip1-1.0", "linked_guid": "", "pushed": False, "clicktocall": False, "recovered": "",
    "ring_s": 2, "talk_s": 30, "outcome": "closed", "reason": "", "hangup_by": "origin", "dtmf": "",
    "recording": "", "urlfilename": "", "transferred_to": "", "forceclose": False, "answered_by": "1121002",
    "answered_ms": None, "extra_channel": "",
}  # fmt: skip


def _age(tx: Connection, ambient: Ambient) -> None:
    """Give the deliveries a past: delivered, dead, waiting, pending; a consumer that talks too much."""
    now = to_ms(ambient.clock.now())
    said = f"HTTP 400, password={BODY}"
    states = {1: ("delivered", ""), 2: ("dead", said), 3: ("waiting", said)}
    for number, (state, error) in states.items():
        change = {"state": state, "attempts": 1, "error": error, "done_ms": now, "next_ms": now}
        tx.execute(update(deliveries).where(deliveries.c.id == number).values(change))
    row = {
        "delivery": 2, "number": 1, "started_ms": now, "took_ms": 7, "outcome": "rejected",
        "status": "HTTP 400", "error": said, "response": json.dumps({"token": BODY}),
    }  # fmt: skip
    tx.execute(insert(attempts).values(row))
    bad = {"reaction": "calls", "seq": 2, "key": "k", "error": f"KeyError: token={BODY}", "state": "parked"}
    tx.execute(insert(parked).values({**bad, "parked_ms": now, "settled_ms": None}))
