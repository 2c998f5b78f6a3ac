"""Secrets go in at every door; none comes out in logs, screens, answers, exports or plain columns."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, select

from atalaia.store.tables import HEARD, events, metadata
from simulators.asterisk.world import Rabbit
from tests.journeys.conftest import PlaceMaker
from tests.journeys.simulated import DESTINY, ORIGIN, Stage, stage
from tests.journeys.truth import facts
from tests.journeys.waiting import until
from tests.peers.rabbitmq import RabbitMQ

ARI, MQ, HEADER = "canary-ari-7f3a91", "canary-mq-55c0de", "canary-header-9b21e4"
DATABASE, USERINFO, BEARER = "canary-database-1d77", "canary-userinfo-a2f0", "canary-bearer-c3e8"
SIGNED_IN = "canary-person-4f6b-long-enough"
CANARIES = (ARI, MQ, HEADER, DATABASE, USERINFO, BEARER, SIGNED_IN)
PAGES_MOST = 150
LINK = re.compile(r'(?:href|hx-get|src)="(/[^"#]*)"')


async def test_no_secret_comes_out_anywhere(
    rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    broker = Rabbit("127.0.0.1", rabbitmq.port, "atalaia", MQ)
    async with stage(
        make_place, tmp_path, secret=ARI, rabbit=broker, webhook={"headers": {"X-Api-Key": HEADER}}
    ) as hub:
        await _put_secrets_in(hub)
        hub.receiver.answer = lambda _: 500  # its failures are told, with what was sent
        await hub.simulator.call("answered", ORIGIN, DESTINY, ring_s=0.2, talk_s=0.5)
        # The upstream says our own password aloud, and another one by a name that tells.
        hub.simulator.pbx.event("ChannelUserevent", eventname="said", userevent={"note": f"it is {ARI}"})
        await until(lambda: hub.place.read(_was_heard), "the frame with our password is heard")
        await hub.simulator.faults.start("wrong-password")
        await until(lambda: facts(hub.place, "connection.needs_person"), "the password is refused")
        await until(lambda: facts(hub.place, "target.opened"), "a target is down")

        found = {f"log: {line[:400]}" for line in hub.place.logs().splitlines() if _leaks(line)}
        found |= await _leaks_of_the_api(hub)
        found |= await _leaks_of_the_screens(hub)
        found |= await hub.place.read(_leaks_of_the_tables)
        assert not found


def _was_heard(tx: Connection) -> bool:
    query = select(events.c.seq).where(events.c.family == HEARD, events.c.body.contains(ARI))
    return tx.execute(query.limit(1)).first() is not None


def _leaks(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


async def _put_secrets_in(hub: Stage) -> None:
    """Go through the doors that refuse: what they say must not repeat what they got."""
    url = hub.worker.url
    asked = [
        ({"url": f"http://atalaia:{USERINFO}@127.0.0.1:1", "user": "a", "password": ARI, "server": "x"}),
        (
            {
                "url": hub.simulator.url, "user": "atalaia", "password": f"{ARI}", "server": "x",
                "source": "database",
                "database_url": f"mysql+pymysql://asterisk:{DATABASE}@127.0.0.1:1/asterisk",
            }
        ),
    ]  # fmt: skip
    headers = {"Authorization": f"Bearer {hub.token}"}
    async with aiohttp.ClientSession() as session:
        for settings in asked:
            body = {"connector": "asterisk", "settings": settings}
            async with session.post(f"{url}/api/connections/check", json=body, headers=headers) as answer:
                assert not _leaks(await answer.text())
        wrong = {"Authorization": f"Bearer {BEARER}"}
        for path in ("/api/events", f"/api/intake/{hub.intake}"):
            async with session.post(f"{url}{path}?token={BEARER}", json={}, headers=wrong) as answer:
                assert answer.status in (401, 405) and not _leaks(await answer.text())


async def _leaks_of_the_api(hub: Stage) -> set[str]:
    """Read everything that can be read without knowing more than ids of the first lists."""
    found: set[str] = set()
    headers = {"Authorization": f"Bearer {hub.token}"}
    paths = [
        "/events?limit=200", "/events/export", "/events/types", "/events/counts", "/calls?limit=200",
        "/calls/export", "/endpoints?limit=200", "/connections", "/connectors", "/alerts", "/gaps",
        "/subscriptions", "/deliveries?limit=200", "/system", "/system/parked", "/openapi.json",
        f"/connections/{hub.connection}", f"/connections/{hub.connection}/settings",
    ]  # fmt: skip
    async with aiohttp.ClientSession(headers=headers) as session:
        for one in (await hub.api("/events?limit=200"))["items"]:
            paths += [f"/events/{one['seq']}", f"/events/{one['seq']}/body"]
        for one in (await hub.api("/deliveries?limit=20"))["items"]:
            paths += [f"/deliveries/{one['id']}", f"/deliveries/{one['id']}/attempts"]
        for path in paths:
            async with session.get(f"{hub.worker.url}/api{path}") as answer:
                text = await answer.text()
                assert answer.status == 200, f"{path}: {answer.status} {text[:300]}"
                found |= {f"GET /api{path}: {canary}" for canary in _leaks(text)}
        async with session.get(f"{hub.worker.url}/metrics") as answer:
            found |= {f"/metrics: {canary}" for canary in _leaks(await answer.text())}
    return found


async def _leaks_of_the_screens(hub: Stage) -> set[str]:
    """Sign in as the first administrator and follow every link within the hub."""
    found: set[str] = set()
    seen: set[str] = set()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        form = {"email": "a@example.test", "name": "A", "password": SIGNED_IN, "again": SIGNED_IN}
        async with session.post(hub.worker.sign_in, data=form) as answer:
            assert answer.status == 200, await answer.text()
        waiting = deque(["/"])
        while waiting and len(seen) < PAGES_MOST:
            path = waiting.popleft()
            if path in seen or path.startswith(("/static", "/live", "/sign-out")):
                continue
            seen.add(path)
            async with session.get(f"{hub.worker.url}{path}") as answer:
                if "text" not in answer.content_type and "json" not in answer.content_type:
                    continue
                text = await answer.text()
            found |= {f"page {path}: {canary}" for canary in _leaks(text)}
            waiting.extend(link.replace("&amp;", "&") for link in LINK.findall(text))
    assert len(seen) > 20, seen
    return found


def _leaks_of_the_tables(tx: Connection) -> set[str]:
    """Look into every column; only what the upstream itself said is kept as it came."""
    found: set[str] = set()
    for table in metadata.sorted_tables:
        query: Any = select(table)
        if table is events:
            query = query.where(events.c.family != HEARD)
        for row in tx.execute(query):
            for name, value in row._mapping.items():
                if isinstance(value, str):
                    found |= {f"{table.name}.{name}: {canary}" for canary in _leaks(value)}
    return found
