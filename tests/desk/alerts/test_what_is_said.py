"""Each alert says what is known, since when, by which evidence, what to do; its end, how long it was."""

from __future__ import annotations

from sqlalchemy import Connection

from atalaia.clock import rfc3339
from atalaia.deliveries.told import alert_raised
from atalaia.desk.alerts.queries import Incident
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from tests.desk.alerts.rig import Desk

MINUTE_S = 60


async def every_kind(desk: Desk) -> dict[str, Incident]:
    """Let each kind of trouble that the hub looks for itself come, and a destination go down."""
    await desk.connection("a", "needs_person", name="Gate", reason="The password was refused.")
    await desk.connection("b", "waiting", name="Yard", reason="Nothing answers.")
    await desk.gap("b")
    await desk.connection("c", name="Shop")
    gap = {"id": "g1", "from_ms": desk.now() - 5_000, "cause": "cut", "planes": ["socket"]}
    await desk.tell(Fact("gap.opened", "c", desk.now(), gap), connection="c")
    closed = {"to_ms": desk.now(), "checked": {"calls": 3}, "recovered": {"calls": 2}, "lost": "yes"}
    await desk.tell(Fact("gap.closed", "c", desk.now(), closed), connection="c")
    await desk.worker("w9", "box-1", gone=True)
    await desk.tell(Fact("worker.lost", "w9", desk.now(), {"host": "box-1", "pid": 7, "seen_ms": desk.now()}))
    down = alert_raised(
        "target:s1:", "The shop does not take deliveries.", desk.now(), known="It does not take deliveries.",
        evidence={"error": "HTTP 503", "failures": 5}, todo="Look at the consumer.",
    )  # fmt: skip

    def write(tx: Connection) -> None:
        append_facts(tx, desk.ambient, "deliveries", [down])

    await desk.store.write(write)
    await desk.pass_s(17 * MINUTE_S, every_s=MINUTE_S)
    return {one.kind: one for one in await desk.alerts("open")}


async def test_each_kind_says_what_is_known_since_when_by_which_evidence_and_what_to_do(desk: Desk):
    await desk.channel()
    began = desk.now()
    found = await every_kind(desk)
    assert set(found) == {"person", "open", "gap", "worker", "target"}
    for kind, alert in found.items():
        assert alert.detail["known"] and alert.detail["todo"] and alert.detail["evidence"], kind
        assert alert.since_ms <= began, kind
    bodies = {message.title: message.body for _, message in desk.pigeon.sent}
    assert len(bodies) == 5
    for title, body in bodies.items():
        assert body.startswith("Since ") and "What to do: " in body and "Evidence: " in body, title


async def test_not_heard_is_since_the_gap_began_not_since_it_was_raised(desk: Desk):
    await desk.channel()
    began = desk.now()
    alert = (await every_kind(desk))["open"]
    assert alert.since_ms == began and alert.opened_ms >= began + 15 * MINUTE_S * 1_000
    closed = {"to_ms": desk.now(), "lost": "no"}
    await desk.connection("b", name="Yard")
    gone = Fact("gap.closed", "b", desk.now(), closed | {"id": "g-b"})
    await desk.tell(gone, connection="b")
    await desk.pass_s(5 * MINUTE_S, every_s=MINUTE_S)
    [body] = [message.body for _, message in desk.pigeon.sent if message.title.startswith("Resolved: Yard")]
    assert "after 17 min" in body or "after 18 min" in body


async def test_what_comes_back_is_since_it_was_raised(desk: Desk):
    detail = {"since": rfc3339(desk.now() - 3_600_000)}
    await desk.raised("disk", detail=detail)
    await desk.turn()
    assert (await desk.alerts())[0].since_ms == desk.now() - 3_600_000
    await desk.resolved("disk")
    await desk.pass_s(20)
    await desk.raised("disk", detail=detail)
    await desk.turn()
    [alert] = await desk.alerts()
    assert alert.turns == 2 and alert.since_ms == alert.opened_ms


async def test_a_since_that_is_no_time_is_when_it_was_raised(desk: Desk):
    await desk.raised("disk", detail={"since": "noon"})
    await desk.turn()
    [alert] = await desk.alerts()
    assert alert.since_ms == alert.opened_ms
