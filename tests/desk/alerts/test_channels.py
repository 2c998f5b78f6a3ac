"""Channels: their addresses stay secret, their hours are their own, and what they take arrives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP
from sqlalchemy import select

from atalaia.clock import to_ms
from atalaia.desk.alerts.channels import Policy, change_channel, quiet_until, read_policy, secrets_of
from atalaia.desk.alerts.sending import AppriseWay, Message
from atalaia.desk.people.model import NotAllowed
from atalaia.store.alert_tables import alert_channels
from tests.desk.alerts.rig import ANA, Desk

HERE = ("127.0.0.0/8",)
MESSAGE = Message("n1", "Alert: it burns", "Since noon.\nWhat to do: água.", "urgent")


@asynccontextmanager
async def receiver(status: int = 200) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """Answer host:port of a web server and what it was posted."""
    got: list[tuple[dict[str, str], Any]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.json()))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        await runner.cleanup()


class Box:
    """An SMTP server's hands: keeps what was mailed."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Any]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@asynccontextmanager
async def mail() -> AsyncIterator[tuple[int, Box]]:
    """Answer the port of an SMTP server and what it took."""
    box = Box()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], box
    finally:
        server.close()


async def test_a_web_hook_gets_the_words_the_urgency_and_the_id_of_the_notice():
    async with receiver() as (host, got):
        sent = await AppriseWay(HERE).send(f"json://{host}/hook", MESSAGE)
    assert sent.ok and sent.service == "JSON"
    [(headers, body)] = got
    assert (body["title"], body["message"], body["type"]) == (MESSAGE.title, MESSAGE.body, "failure")
    assert headers["X-Atalaia-Notice"] == "n1"


async def test_a_mail_arrives_with_accents():
    async with mail() as (port, box):
        place = f"mailto://127.0.0.1:{port}?from=hub@example.com&to=ops@example.com&mode=insecure&format=text"
        sent = await AppriseWay(HERE).send(place, MESSAGE)
    assert sent.ok, sent.said
    [(to, message)] = box.mails
    assert to == ["ops@example.com"]
    parts = [part for part in message.walk() if part.get_content_type() == "text/plain"]
    assert "água" in parts[0].get_payload(decode=True).decode()
    assert message["X-Atalaia-Notice"] == "n1"


async def test_a_refusal_is_said_in_a_sentence():
    async with receiver(500) as (host, _):
        sent = await AppriseWay(HERE).send(f"json://{host}/hook", MESSAGE)
    assert not sent.ok and "500" in sent.said


async def test_nobody_there_is_said_without_the_password():
    sent = await AppriseWay(HERE).send(
        "mailto://me:a-long-password@127.0.0.1:1?from=a@example.com&to=b@example.com&mode=insecure", MESSAGE
    )
    assert not sent.ok and "refused" in sent.said and "a-long-password" not in sent.said


async def test_our_own_network_is_not_dialled_unless_it_was_allowed():
    async with receiver() as (host, got):
        sent = await AppriseWay().send(f"json://localhost:{host.partition(':')[2]}/hook", MESSAGE)
    assert not sent.ok and "not a public address" in sent.said and got == []


async def test_a_place_that_never_answers_is_given_up():
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    stop = asyncio.Event()
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sent = await AppriseWay(HERE, limit_s=3).send(f"json://127.0.0.1:{port}/", MESSAGE)
    stop.set()
    server.close()
    assert not sent.ok and "within 3 s" in sent.said


async def test_addresses_are_read_before_they_are_kept():
    way = AppriseWay()
    assert (
        await way.look("tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/42/")
    ).service == "Telegram"
    assert not (await way.look("nonsense")).ok
    assert not (await way.look("tgram://short/")).ok
    assert not (await way.look("syslog://")).ok


async def test_through_the_whole_desk_an_alert_reaches_a_web_hook_exactly_once(desk: Desk):
    desk.ways["apprise"] = AppriseWay(HERE)
    async with receiver() as (host, got):
        await desk.channel(place=f"json://{host}/hook")
        await desk.raised("disk", "The disk is full.")
        await desk.pass_s(60)
        await desk.resolved("disk")
        await desk.pass_s(200)
    assert [body["title"] for _, body in got] == ["Alert: The disk is full", "Resolved: The disk is full"]
    assert len({headers["X-Atalaia-Notice"] for headers, _ in got}) == 2


async def test_the_address_is_encrypted_and_in_no_fact(desk: Desk):
    place = "tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/42/"
    made = await desk.channel(place=place)
    other = "json://user:swordfish@example.com/"
    await desk.store.write(
        lambda tx: change_channel(tx, desk.ambient, desk.box, made.id, by=ANA, place=other, hint="JSON")
    )
    row = await desk.store.read(lambda tx: tx.execute(select(alert_channels)).one())
    facts = await desk.facts("alert.channel_created", "alert.channel_changed")
    everything = " ".join(str(column) for column in row) + json.dumps([one.body for one in facts])
    assert "abcdef" not in everything and "swordfish" not in everything
    assert json.loads(facts[1].body)["fields"] == ["place"]
    assert desk.box.open(row.sealed) == other


def test_what_of_an_address_is_secret():
    token = "123456789:abcdefghijklmnopqrstuvwxyz0123456789"
    assert token in secrets_of(f"tgram://{token}/42/")
    found = secrets_of("mailto://me:pass%20word@smtp.example.com?to=ops@example.com")
    assert "pass word" in found and "smtp.example.com" not in found
    assert "T1JJ3T3L2ABCD" in secrets_of("slack://T1JJ3T3L2ABCD/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/")


def at(hour: int, minute: int = 0, day: int = 10) -> int:
    return to_ms(datetime(2026, 6, day, hour, minute, tzinfo=UTC))


@pytest.mark.parametrize(
    ("begins", "ends", "now", "until"),
    [
        ("", "", at(3), None),
        ("22:00", "07:00", at(21, 59), None),
        ("22:00", "07:00", at(22), at(7, day=11)),
        ("22:00", "07:00", at(3), at(7)),
        ("22:00", "07:00", at(7), None),
        ("12:00", "13:30", at(12, 15), at(13, 30)),
        ("12:00", "13:30", at(13, 30), None),
        ("08:00", "08:00", at(8), None),
    ],
)
def test_quiet_hours(begins: str, ends: str, now: int, until: int | None):
    assert quiet_until(Policy(zone="UTC", quiet_from=begins, quiet_to=ends), now) == until


def test_quiet_hours_follow_the_clock_on_the_wall_also_when_it_is_turned():
    # Berlin goes from +2 to +1 on 2026-10-25.
    policy = Policy(zone="Europe/Berlin", quiet_from="22:00", quiet_to="07:00")
    began = to_ms(datetime(2026, 10, 24, 21, tzinfo=UTC))
    assert quiet_until(policy, began) == to_ms(datetime(2026, 10, 25, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"severity": "loud"}, "severity"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"quiet_from": "22:00"}, "quiet_to"),
        ({"quiet_from": "25:00", "quiet_to": "07:00"}, "quiet_from"),
        ({"language": "tlh"}, "language"),
        ({"repeat_min": -1}, "repeat_min"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_its_field(given: dict[str, Any], field: str):
    with pytest.raises(NotAllowed) as refused:
        read_policy(given)
    assert refused.value.field == field
