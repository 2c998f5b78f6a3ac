"""What an operator may choose: how calm an alert must be, how long to try, which connections to silence."""

from __future__ import annotations

import pytest

from atalaia.clock import HeldClock
from atalaia.desk.alerts.acts import silence_connection, unsilence
from atalaia.desk.alerts.channels import Policy, read_policy
from atalaia.desk.alerts.damping import Damping
from atalaia.desk.alerts.queries import Silence, list_silences
from atalaia.desk.people.model import NotAllowed
from atalaia.store.store import Store
from tests.desk.alerts.rig import ANA, Desk

HOUR_S = 3600


async def hush(desk: Desk, connection: str, hours: float = 4) -> Silence:
    until = desk.now() + round(hours * HOUR_S * 1_000)
    return await desk.store.write(
        lambda tx: silence_connection(
            tx, desk.ambient, connection, reason="maintenance", until_ms=until, by=ANA
        )
    )


async def test_a_channel_chooses_how_long_an_alert_must_stand_before_it_is_told(desk: Desk):
    await desk.channel("patient", "json://patient/", hold_s=600)
    await desk.channel("hasty", "json://hasty/", hold_s=0)
    await desk.raised("disk")
    await desk.turn()
    assert [place for place, _ in desk.pigeon.sent] == ["json://hasty/"]
    await desk.pass_s(610, every_s=60)
    assert [place for place, _ in desk.pigeon.sent] == ["json://hasty/", "json://patient/"]


async def test_a_channel_chooses_for_how_long_it_is_tried(desk: Desk):
    await desk.channel(retry_h=2)
    desk.pigeon.refuse = "no"
    await desk.raised("disk")
    await desk.pass_s(4 * HOUR_S, every_s=900)
    [notice] = [one for one in await desk.notices() if one.title == "Alert: disk is wrong"]
    assert notice.state == "failed" and notice.done_ms is not None
    assert 2 * HOUR_S * 1_000 <= notice.done_ms - notice.created_ms <= 3 * HOUR_S * 1_000


async def test_a_hub_chooses_when_an_alert_is_over_and_when_it_flaps(store: Store, clock: HeldClock):
    desk = await Desk(store, clock, damping=Damping(calm_ms=0, flap_turns=2, flap_ms=600_000)).start()
    await desk.channel()
    await desk.raised("disk")
    await desk.pass_s(40)
    await desk.resolved("disk")
    await desk.pass_s(10)
    assert desk.pigeon.titles() == ["Alert: disk is wrong", "Resolved: disk is wrong"]
    desk.notifier.lost("")


async def test_a_hub_chooses_after_how_long_an_open_gap_is_an_alert(store: Store, clock: HeldClock):
    desk = await Desk(store, clock, open_ms=60_000).start()
    await desk.connection("pbx", "waiting", reason="Nothing answers.")
    await desk.gap("pbx")
    await desk.pass_s(45, every_s=15)
    assert await desk.alerts("open") == []
    await desk.pass_s(30, every_s=15)
    assert [one.kind for one in await desk.alerts("open")] == ["open"]
    desk.notifier.lost("")


async def test_nobody_is_told_of_a_connection_that_is_silenced_until_the_silence_ends(desk: Desk):
    await desk.channel()
    await desk.connection("pbx", name="Gate")
    made = await hush(desk, "pbx")
    await desk.raised("asterisk.mute:pbx", "Gate is mute.", connection="pbx")
    await desk.raised("disk")
    await desk.pass_s(60)
    assert desk.pigeon.titles() == ["Alert: disk is wrong"]
    [silenced] = await desk.alerts("silenced")
    assert silenced.title == "Gate is mute." and silenced.silence == made
    assert [one.title for one in await desk.alerts("open")] == ["disk is wrong."]
    await desk.store.write(lambda tx: unsilence(tx, desk.ambient, made.id, by=ANA))
    await desk.pass_s(30)
    assert desk.pigeon.titles()[1:] == ["Alert: Gate is mute"]


async def test_an_alert_of_several_connections_is_told_unless_all_that_suffer_are_silenced(desk: Desk):
    await desk.channel()
    for name in ("a", "b"):
        await desk.connection(name, "needs_person", reason="The QR code has to be scanned.")
    await hush(desk, "a")
    await desk.pass_s(60)
    assert desk.pigeon.titles() == ["Alert: 2 connections need a person"]
    await hush(desk, "b", hours=1)
    [alert] = await desk.alerts("silenced")
    assert alert.silence and alert.silence.connection == "b"
    await desk.pass_s(2 * HOUR_S, every_s=600)
    assert [one.state for one in await desk.alerts()] == ["raised"]


async def test_all_silences_are_listed_those_in_force_first(desk: Desk):
    for name in ("a", "b", "c"):
        await desk.connection(name)
    short, long, ended = [await hush(desk, name, hours) for name, hours in (("a", 1), ("b", 9), ("c", 9))]
    await desk.store.write(lambda tx: unsilence(tx, desk.ambient, ended.id, by=ANA))
    await desk.pass_s(2 * HOUR_S, every_s=3_600)
    found = await desk.store.read(lambda tx: list_silences(tx, desk.now()))
    assert found[0].id == long.id and {one.id for one in found[1:]} == {short.id, ended.id}
    in_force = await desk.store.read(lambda tx: list_silences(tx, desk.now(), in_force=True))
    assert [one.id for one in in_force] == [long.id]


async def test_a_silence_is_about_a_connection_that_is_there_and_leaves_a_fact_of_it(desk: Desk):
    with pytest.raises(NotAllowed):
        await hush(desk, "nobody")
    await desk.connection("pbx")
    await hush(desk, "pbx")
    assert [one.key for one in await desk.facts("alert.silenced")] == ["pbx"]


@pytest.mark.parametrize(
    ("field", "value"), [("hold_s", -1), ("hold_s", 3_601), ("retry_h", 0), ("retry_h", 169)]
)
def test_hours_and_seconds_that_make_no_sense_are_refused(field: str, value: int):
    with pytest.raises(NotAllowed) as refused:
        read_policy({field: value})
    assert refused.value.field == field
    assert getattr(read_policy({}), field) == getattr(Policy(), field)
