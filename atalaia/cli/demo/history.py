"""A plausible yesterday for the demo, so that plots and lists show something from the first second."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from atalaia.events.model import Fact
from atalaia.ids import derived_uuid7
from simulators.asterisk import World

HOUR_MS = 3_600_000
# Calls per hour of the day in São Paulo (UTC-3), midnight first.
DAY = (3, 2, 1, 1, 1, 2, 6, 12, 18, 20, 17, 16, 19, 15, 13, 14, 17, 22, 26, 24, 18, 13, 9, 5)
ZONE_MS = 3 * HOUR_MS
MISSED = ("noanswer", "noanswer", "busy", "cancelled", "offline", "rejected")


def history(world: World, server: str, now_ms: int, random: Random) -> Iterator[Fact]:
    """Answer the facts of the last 24 hours' calls, in order of their opening."""
    number = 0
    start = now_ms - now_ms % HOUR_MS - 23 * HOUR_MS
    for hour in range(23):
        begins = start + hour * HOUR_MS
        count = DAY[((begins - ZONE_MS) // HOUR_MS) % 24]
        for offset in sorted(random.randrange(HOUR_MS) for _ in range(count)):
            number += 1
            yield from _call(world, server, number, begins + offset, random)


def _call(world: World, server: str, number: int, opened: int, random: Random) -> Iterator[Fact]:
    client = random.choice(world.clients)
    phones = world.of(client.code, "apto", "ring-member", "unidade")
    origin, destiny = random.sample(phones, 2)
    ring_s = random.randint(2, 18)
    answered = random.random() < 0.74
    talk_s = int(random.expovariate(1 / 70)) + 4 if answered else 0
    guid = derived_uuid7(opened, f"demo-history:{number}")
    told: dict[str, Any] = {
        "server": server, "client": client.code, "vhost": client.vhost, "callnumber": number,
        "origin": origin.number, "origin_type": origin.kind, "destiny": destiny.number,
        "destiny_type": destiny.kind, "dialled": destiny.number,
        "channel": f"PJSIP/{origin.number}-{number:08x}",
        "channel_id": f"{server}-{opened // 1000}.{number}", "linked_guid": guid, "opened_ms": opened,
        "recovered": "", "pushed": destiny.kind == "unidade", "clicktocall": False, "history": True,
    }  # fmt: skip
    yield Fact("call.opened", guid, opened, told, dedupe=f"{guid}:open")
    if answered:
        up = opened + ring_s * 1000
        told = told | {"answered_by": destiny.number, "answered_ms": up, "ring_s": ring_s}
        told["extra_channel"] = f"PJSIP/{destiny.number}-{number:08x}"
        yield Fact("call.answered", guid, up, told, dedupe=f"{guid}:oncall")
    ended = opened + (ring_s + talk_s) * 1000
    told = told | {
        "ended_ms": ended, "ring_s": ring_s, "talk_s": talk_s, "dtmf": "", "transferred_to": "",
        "outcome": "closed" if answered else "unanswered",
        "reason": "" if answered else random.choice(MISSED),
        "hangup_by": random.choice(("origin", "destiny")) if answered else "", "forceclose": False,
    }  # fmt: skip
    yield Fact("call.ended", guid, ended, told, dedupe=f"{guid}:{told['outcome']}")
