"""Bad input from end to end: clear words, nothing lost, and hearing goes on as far as possible."""

from __future__ import annotations

import asyncio
import random
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from atalaia.store.tables import HEARD, events
from tests.journeys.conftest import PlaceMaker
from tests.journeys.ledger import Ledger, entry
from tests.journeys.simulated import DESTINY, ORIGIN, PASSWORD, Stage, stage
from tests.journeys.truth import alerts_of, facts, is_live, is_settled, open_calls, state_of
from tests.journeys.waiting import until
from tests.peers.ground import ROOT

WHOLE = ["open", "oncall", "closed"]


async def test_unreadable_huge_and_unknown_frames_are_kept_and_the_call_goes_on(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    async with stage(make_place, tmp_path) as hub:
        call = hub.simulator.begin("answered", ORIGIN, DESTINY, ring_s=0.3, talk_s=3)
        await until(lambda: open_calls(hub.place), "the call is open")
        for fault in ("garbage", "huge-frame", "unknown-event", "unknown-state"):
            await hub.simulator.faults.start(fault)
        await call
        await is_settled(hub.place)

        assert hub.statuses() == [WHOLE]
        heard = await _heard(hub)
        assert "asterisk.ChannelTeleported" in heard
        assert "asterisk.unreadable" in heard
        assert max(heard["asterisk.ChannelVarset"]) > 10_000_000
        assert await facts(hub.place, "connection.lost") == []
        # The log can be looked at and exported all the same.
        rows = (await hub.api("/events?type=asterisk.*&limit=200"))["items"]
        assert rows


async def _heard(hub: Stage) -> dict[str, list[int]]:
    """Answer the sizes of the heard events by type."""
    query = select(events.c.type, func.length(events.c.body)).where(events.c.family == HEARD)
    found: dict[str, list[int]] = {}
    for row in await hub.place.read(lambda tx: list(tx.execute(query))):
        found.setdefault(row[0], []).append(row[1])
    return found


async def test_a_broken_line_of_the_configuration_is_named_by_file_and_line_and_skipped(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    async with stage(make_place, tmp_path) as hub:
        file = hub.etc / "endpoints_pjsip.def"
        lines = file.read_text().splitlines()
        lines.insert(3, "#include pjsip/1121099.pjsip ; Endpoint:1121099 TYPE:apto PW:no-client")
        file.write_text("\n".join(lines) + "\n")

        (alert,) = await until(lambda: _alerts(hub, "endpoints_pjsip.def"), "the line is complained of")
        assert "line 4" in str(alert) or ":4" in str(alert), alert
        steps = await _check(hub)
        (step,) = [one for one in steps if one["name"] == "Configuration"]
        assert "endpoints_pjsip.def" in str(step) and "4" in str(step)
        # Everybody else is known as before.
        await hub.simulator.call("answered", ORIGIN, DESTINY, ring_s=0.2, talk_s=0.5)
        await is_settled(hub.place)
        assert hub.statuses() == [WHOLE]

        file.write_text("\n".join(lines[:3] + lines[4:]) + "\n")
        await until(lambda: _no_alert(hub), "the complaint is over")


async def _alerts(hub: Stage, word: str) -> list[dict[str, Any]]:
    found = (await hub.api("/alerts"))["items"]
    return [one for one in found if word in str(one) and not one.get("resolved_at")]


async def _no_alert(hub: Stage) -> bool:
    return not [one for one in await alerts_of(hub.place) if one["resolved_ms"] is None]


async def _check(hub: Stage) -> list[dict[str, Any]]:
    asked = {
        "connector": "asterisk",
        "connection": hub.connection,
        "settings": (await hub.api(f"/connections/{hub.connection}/settings"))["settings"],
    }
    return await hub.api("/connections/check", "POST", asked)


async def test_a_wrong_password_asks_a_person_and_goes_on_once_it_is_corrected(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    async with stage(make_place, tmp_path, live=False, password="test-only-wrong") as hub:

        async def needs_person() -> bool:
            return await state_of(hub.place, hub.connection) == "needs_person"

        await until(needs_person, "it asks a person")
        (fact,) = await facts(hub.place, "connection.needs_person")
        assert "password" in fact["data"]["ask"].lower()
        seen = await hub.api(f"/connections/{hub.connection}")
        assert seen["state"] == "needs_person"
        assert "test-only-wrong" not in str(seen)
        (step,) = [one for one in await _check(hub) if one["outcome"] == "failed"]
        assert "password" in (step["said"] + step["todo"]).lower()

        await hub.api(f"/connections/{hub.connection}", "PATCH", {"settings": {"password": PASSWORD}})
        await is_live(hub.place, hub.connection)
        await hub.simulator.call("answered", ORIGIN, DESTINY, ring_s=0.2, talk_s=0.5)
        await is_settled(hub.place)
        assert hub.statuses() == [WHOLE]


async def test_a_full_disk_refuses_senders_and_loses_nothing_it_has_acknowledged(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    async with stage(make_place, tmp_path) as hub:
        ledger = Ledger(hub.token, hub.intake, lambda: [hub.worker.url])
        dice = random.Random(1)
        senders = [
            asyncio.create_task(ledger.send_on(f"key-{number}", random.Random(dice.random())))
            for number in range(6)
        ]
        await until(lambda: ledger.total > 30, "events are taken")

        _let_files_grow(hub, by_bytes=200_000)
        await until(lambda: ledger.refused > 5, "senders are told that nothing is taken")
        call = hub.simulator.begin("answered", ORIGIN, DESTINY, ring_s=0.3, talk_s=1)
        await call  # begins and ends while nothing can be written down
        before = ledger.total
        _let_files_grow(hub, by_bytes=None)

        await until(lambda: ledger.total > before + 30, "events are taken again")
        for sender in senders:
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
        await until(lambda: hub.statuses() == [WHOLE], "what was heard meanwhile is written down")
        await is_settled(hub.place)
        seen = [one.json() for one in hub.receiver.messages]
        ledger.check("webhook", [entry(one) for one in seen if one["type"] == "intake.ledger.entry"])
        assert "disk" in hub.place.logs()


def _let_files_grow(hub: Stage, by_bytes: int | None) -> None:
    """Let no file of the hub grow beyond so much more than the largest is, as a full disk does."""
    _, hard = resource.prlimit(hub.worker.pid, resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in hub.place.folder.iterdir())
    soft = hard if by_bytes is None else largest + by_bytes
    resource.prlimit(hub.worker.pid, resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_second_process_on_the_same_database_file_refuses_and_says_why(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    await place.worker().start()

    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "atalaia", "up", "--port", "0", "--data-dir", str(place.folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert second.returncode == 1
    assert str(place.folder) in second.stderr and "another" in second.stderr.lower(), second.stderr
    assert "Traceback" not in second.stderr


async def test_an_application_name_taken_by_another_client_is_one_alarm(
    make_place: PlaceMaker, tmp_path: Path
) -> None:
    async with stage(make_place, tmp_path) as hub:
        await hub.simulator.faults.start("replaced")
        await until(lambda: facts(hub.place, "alert.resolved"), "the session came back under a new name")
        await is_live(hub.place, hub.connection)

        told = [one["type"] for one in await facts(hub.place, "alert.")]
        assert told == ["alert.raised", "alert.resolved"]
        assert [(one["cause"], one["times"]) for one in await alerts_of(hub.place)] == [
            (f"asterisk.replaced:{hub.connection}", 1)
        ]
