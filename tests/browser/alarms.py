"""One cause that many suffer from, a channel that took a notice of it and one that does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from atalaia.clock import to_ms
from atalaia.connections.queries import names
from atalaia.desk.alerts import acts
from atalaia.desk.alerts.channels import Policy, create_channel
from atalaia.desk.people.model import HUB
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.serve import Hub
from atalaia.store.alert_tables import alert_notices, incidents

REASON = "The consumer answered HTTP 503."


async def furnish(hub: Hub) -> dict[str, str]:
    """Answer the ids of an alert, of a flapping one that is over, and of a channel."""
    ids = await hub.store.write(lambda tx: _channels(tx, hub))
    await hub.store.write(lambda tx: _alerts(tx, hub))
    query = select(incidents.c.id, incidents.c.grouping).where(incidents.c.grouping.in_(("server", "disk")))

    async def look() -> dict[str, str] | None:
        found = {row.grouping: row.id for row in await hub.store.read(lambda tx: list(tx.execute(query)))}
        return found if len(found) == 2 else None

    from tests.browser.house import until

    found = await until(look)
    await hub.store.write(lambda tx: _notices(tx, hub, found["server"], ids))
    await hub.store.write(lambda tx: _silences(tx, hub, found["disk"]))
    shown = {"channel": ids["channel"], "channel_phone": ids["phone"]}
    return {"alert": found["server"], "alert_over": found["disk"], **shown}


def _channels(tx: Connection, hub: Hub) -> dict[str, str]:
    def make(name: str, place: str = "jsons://127.0.0.1:1/x", **policy: Any) -> str:
        given: Any = {"name": name, "place": place, "hint": "JSON", "by": HUB}
        return create_channel(tx, hub.ambient, hub.secretbox, policy=Policy(**policy), **given).id

    night = make("Plantão", quiet_from="22:00", quiet_to="06:30", severity="urgent", connections=("nobody",))
    phone = make("Celular do plantão", place="session://nobody/5511955500109", connections=("nobody",))
    return {"channel": night, "broken": make("Grupo da portaria", connections=("nobody",)), "phone": phone}


def _silences(tx: Connection, hub: Hub, alert: str) -> None:
    """One of a connection that is over before its time, and one of an alert that is over."""
    given: Any = {"until_ms": to_ms(hub.ambient.clock.now()) + 3_600_000, "by": HUB}
    door = next(iter(names(tx)))
    made = acts.silence_connection(tx, hub.ambient, door, reason="troca do roteador", **given)
    acts.unsilence(tx, hub.ambient, made.id, by=HUB)
    acts.silence(tx, hub.ambient, alert, reason="manutenção do portal", **given)


def _alerts(tx: Connection, hub: Hub) -> None:
    now = to_ms(hub.ambient.clock.now())
    detail = {"known": REASON, "evidence": {"reason": REASON, "attempt": 7}, "todo": "Correct the address."}
    facts = [
        Fact("alert.raised", f"target:k{n}:", now + n, {
            "title": f"Portal {n} does not take deliveries.", "detail": detail, "grouping": "server",
            "severity": "urgent",
        })
        for n in range(40)
    ]  # fmt: skip
    disk = {"title": "Deliveries of Portal were given up.", "detail": {}, "grouping": "disk"}
    facts += [
        Fact(f"alert.{what}", "dead:none", now + n, disk)
        for n, what in enumerate(("raised", "resolved", "raised", "resolved"))
    ]
    append_facts(tx, hub.ambient, "demo", facts)


def _notices(tx: Connection, hub: Hub, alert: str, ids: dict[str, str]) -> None:
    now = to_ms(hub.ambient.clock.now())
    row: dict[str, Any] = {
        "incident": alert, "kind": "raised", "number": 0,
        "title": "Alerta: 40 destinos não aceitam entregas",
        "body": REASON, "severity": "urgent", "members": 40, "epoch": 0, "again": False, "created_ms": now,
    }  # fmt: skip
    sent = {
        "id": "n1",
        "channel": ids["channel"],
        "state": "sent",
        "attempts": 1,
        "error": "",
        "done_ms": now,
    }
    passed = {
        "id": "n3", "channel": ids["phone"], "state": "passed", "attempts": 1, "done_ms": now,
        "error": "It would have to go by the session that it is about.",
    }  # fmt: skip
    waits = {
        "id": "n2", "channel": ids["broken"], "state": "pending", "attempts": 3, "done_ms": None,
        "error": "It was not taken within 40 s.", "next_ms": now + 3_600_000,
    }  # fmt: skip
    tx.execute(insert(alert_notices), [{**row, **sent, "next_ms": None}])
    tx.execute(insert(alert_notices), [{**row, **passed, "next_ms": None}])
    tx.execute(insert(alert_notices), [{**row, **waits}])
