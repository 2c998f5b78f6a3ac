"""One connection kept alive in plain sight: every transition is a fact, every loss a gap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from atalaia.clock import to_ms
from atalaia.connections import keeper as module
from atalaia.connections.session import Plane
from atalaia.connections.state import Live, Suspect
from atalaia.errors import Fenced, Refused, StoreUnavailable, Unavailable
from atalaia.events.model import Heard
from tests.connections.rig import Rig, Rough, data, of, take_over, until, until_flushed

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))


def heard(n: int = 1) -> Heard:
    return Heard("x.Y", "k", START, "{}", f"{n}")


async def test_a_connection_is_lost_and_found_in_plain_sight(rig: Rig):
    session = await rig.live()
    await rig.clock.run_for(10)
    session.falls(Unavailable("Nobody answers at ws://upstream."))
    await rig.state("waiting")
    row = await rig.row()
    await rig.clock.run_for(4)
    again = await rig.upstream.opened(2)
    await rig.state("opening")
    await again.lives()
    await rig.state("live")

    facts = await rig.facts()
    assert [fact.type for fact in facts] == [
        "connection.opening", "connection.live", "connection.lost", "connection.waiting", "gap.opened",
        "connection.opening", "connection.live",
    ]  # fmt: skip
    assert {fact.key for fact in facts} == {fact.connection for fact in facts} == {"c1"}
    assert (row["state"], row["reason"]) == ("waiting", "Nobody answers at ws://upstream.")
    assert (row["since_ms"], row["until_ms"]) == (START + 10_000, START + 14_000)
    assert [data(fact)["attempt"] for fact in facts if "attempt" in data(fact)] == [1, 1, 1, 1, 2, 2]
    waiting = data(facts[3])
    assert waiting["name"] == "Gate"
    assert waiting["epoch"] == 1
    assert waiting["evidence"]["error"] == "Unavailable"
    assert waiting["evidence"]["canary"]["seen_ms"] == START
    assert session.closed
    assert rig.upstream.at_most == 1


async def test_what_a_session_hears_is_in_the_log_under_its_epoch(rig: Rig):
    session = await rig.live()

    [answer] = await session.port.append([heard()])
    [again] = await session.port.append([heard()])

    assert again.seq == answer.seq
    assert again.duplicate
    assert session.port.connection == "c1"


async def test_refusal_asks_a_person_and_leaves_the_upstream_alone(one: Rig):
    await one.start()
    session = await one.upstream.opened(1)
    session.falls(Refused("The password is wrong.", ask="Correct the password."))
    await one.state("needs_person")
    await one.clock.run_for(300)

    assert len(one.upstream.sessions) == 1
    assert await one.types() == ["connection.opening", "connection.needs_person"]
    said = data((await one.facts())[-1])
    assert (said["reason"], said["ask"]) == ("The password is wrong.", "Correct the password.")


async def test_silence_is_a_loss_and_the_gap_begins_where_everything_was_proven(one: Rig):
    session = await one.live()
    await one.clock.run_for(5)
    await session.proves("canary", "socket")
    for _ in range(3):  # pings go on, but the canary is silent: events may be missing already
        await one.clock.run_for(10)
        await session.proves("socket", "ami")
    await one.clock.run_for(29.9)
    assert isinstance(one.keeper.state, Live)
    await one.clock.run_for(0.2)
    await one.state("waiting")

    [gap] = of(await one.facts(), "gap.opened")
    assert gap["from_ms"] == START + 5_000
    assert gap["cause"] == "Nothing was heard or proven for too long."
    assert gap["planes"] == ["socket", "canary"]
    await until(lambda: session.closed)


async def test_a_login_long_ago_makes_no_gap_longer(one: Rig):
    one.kind = replace(one.kind, planes=(Plane("login", "Login", hearing=False), Plane("socket", "Socket")))
    await one.start()
    session = await one.upstream.opened(1)
    await session.proves("login", "socket")
    await session.port.live()
    await one.state("live")
    await one.clock.run_for(20)
    await session.proves("socket")
    session.falls(Unavailable("gone"))
    await one.state("waiting")

    [gap] = of(await one.facts(), "gap.opened")
    assert (gap["from_ms"], gap["planes"]) == (START + 20_000, ["socket"])


async def test_a_gap_begins_at_the_last_event_that_came_where_events_prove_hearing(one: Rig):
    session = await one.live()
    await one.clock.run_for(20)
    await session.proves("socket")
    await session.port.append([heard(1)], came_ms=START + 19_000)
    await one.clock.run_for(5)
    await session.port.append([heard(2)])  # asked for: it says nothing of what comes by itself
    session.falls(Unavailable("gone"))
    await one.state("waiting")

    [gap] = of(await one.facts(), "gap.opened")
    assert gap["from_ms"] == START + 19_000


async def test_an_event_proves_no_plane_that_needs_a_proof_of_its_own(one: Rig):
    session = await one.live()
    await one.clock.run_for(20)
    await session.port.append([heard(1)], came_ms=START + 20_000)
    await one.clock.run_for(5)
    session.falls(Unavailable("gone"))
    await one.state("waiting")

    [gap] = of(await one.facts(), "gap.opened")
    assert gap["from_ms"] == START  # the socket's
    seen = await one.planes()
    assert "ami" not in seen, "what was never proven is not invented"


async def test_a_closed_sessions_events_prove_nothing_any_more(one: Rig):
    old = await one.live()
    old.falls(Unavailable("gone"))
    await one.state("waiting")
    await one.clock.run_for(4)
    session = await one.upstream.opened(2)
    await session.lives()
    await one.state("live")
    proven_ms = to_ms(one.clock.now())
    await one.clock.run_for(6)
    await old.port.append([heard(1)], came_ms=to_ms(one.clock.now()))
    await session.proves("socket")
    session.falls(Unavailable("gone again"))
    await one.state("waiting")

    assert of(await one.facts(), "gap.opened")[-1]["from_ms"] == proven_ms


async def test_after_a_kill_the_gap_begins_at_the_last_event_that_was_written(rig: Rig):
    session = await rig.live()
    await rig.clock.run_for(5)
    await session.proves("socket")
    await session.port.append([heard(1)], came_ms=START + 4_500)
    await rig.clock.run_for(2)
    await until_flushed(rig, START + 5_000)
    await rig.kill()
    await rig.clock.run_for(60)
    await rig.start()
    await rig.upstream.opened(2)
    await rig.state("opening")

    [gap] = of(await rig.facts(), "gap.opened")
    assert gap["from_ms"] == START + 4_500


async def test_any_event_is_a_sign_of_life(one: Rig):
    session = await one.live()
    for n in range(10):
        await one.clock.run_for(29)
        await session.port.append([heard(n)])
    assert isinstance(one.keeper.state, Live)
    assert one.keeper.state.heard_at == one.clock.now()


async def test_a_session_that_never_becomes_live_does_not_open_for_ever(one: Rig):
    await one.start()
    session = await one.upstream.opened(1)
    await one.state("opening")
    await one.clock.run_for(20)
    await session.proves("socket")  # it talks, but proves nothing that matters
    await one.clock.run_for(11)
    await one.state("waiting")
    await until(lambda: session.closed)

    assert (await one.row())["reason"] == "The session was not proven in time."
    assert "gap.opened" not in await one.types()


async def test_a_long_catch_up_while_opening_is_no_silence(one: Rig):
    await one.start()
    session = await one.upstream.opened(1)
    for n in range(5):
        await one.clock.run_for(20)
        await session.port.append([heard(n)])
    assert await one.types() == ["connection.opening"]
    await session.lives()
    await one.state("live")


async def test_doubt_is_shown_and_taken_back(one: Rig):
    session = await one.live()
    await session.port.suspect("The canary does not sing.", missed=2)
    await one.state("suspect")
    assert isinstance(one.keeper.state, Suspect)
    assert (await one.row())["reason"] == "The canary does not sing."
    await session.port.live()
    await one.state("live")

    kinds = await one.types()
    assert kinds == ["connection.opening", "connection.live", "connection.suspect", "connection.live"]
    assert of(await one.facts(), "connection.suspect")[0]["evidence"]["missed"] == 2


async def test_sessions_that_fall_within_seconds_wait_longer_each_time(one: Rig):
    await one.start()
    for n in range(1, 5):
        session = await one.upstream.opened(n)
        await session.lives()
        await one.state("live")
        session.falls(Unavailable("gone"))
        await one.state("waiting")
        pause = 4 * 2 ** (n - 1)
        row = await one.row()
        assert row["until_ms"] - row["since_ms"] == min(pause, 30) * 1000
        await one.clock.run_for(min(pause, 30))


async def test_a_session_that_returns_is_lost(one: Rig):
    session = await one.live()
    session.falls()
    await one.state("waiting")
    assert (await one.row())["reason"] == "The session ended by itself."


async def test_a_defect_of_a_session_is_loud_and_waited_out(one: Rig):
    session = await one.live()
    with capture_logs() as logs:
        session.falls(ZeroDivisionError("a defect"))
        await one.state("waiting")

    assert "defect of ours" in (await one.row())["reason"]
    assert [entry["event"] for entry in logs if entry.get("exc_info")] == ["session.bug"]


async def test_errors_from_within_a_task_group_are_understood(one: Rig):
    session = await one.live()
    no = Refused("The password is wrong.", ask="Correct it.")
    session.falls(ExceptionGroup("group", [Unavailable("x"), ExceptionGroup("inner", [no])]))
    await one.state("needs_person")

    row = await one.row()
    assert (row["reason"], row["state"]) == ("The password is wrong.", "needs_person")
    assert of(await one.facts(), "connection.needs_person")[0]["ask"] == "Correct it."


async def test_a_defect_within_a_task_group_stays_a_defect(one: Rig):
    session = await one.live()
    session.falls(ExceptionGroup("group", [Unavailable("x"), KeyError("y")]))
    await one.state("waiting")
    assert "defect" in (await one.row())["reason"]


async def test_a_closed_session_is_not_listened_to(one: Rig):
    old = await one.live()
    old.falls(Unavailable("gone"))
    await one.state("waiting")
    await one.clock.run_for(4)
    await one.upstream.opened(2)
    await one.state("opening")

    await old.lives()  # a task it left behind still talks
    old.port.prove("canary", "failing")
    await one.clock.run_for(2)

    assert (await one.row())["state"] == "opening"
    assert (await one.planes())["canary"]["state"] == "proven"


async def test_a_session_that_fails_while_it_is_closed_counts_once(one: Rig):
    session = await one.live()

    def cry() -> None:
        raise OSError("socket is gone")

    session.last_words = cry
    await one.clock.run_for(31)
    await one.state("waiting")
    await one.clock.run_for(4)
    await one.upstream.opened(2)

    assert (await one.types()).count("connection.waiting") == 1


async def test_a_session_that_does_not_end_is_left_behind_loudly(one: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.01)
    stuck = asyncio.Event()

    async def stubborn(settings, port) -> None:
        await port.live()
        while not stuck.is_set():
            try:
                await stuck.wait()
            except asyncio.CancelledError:
                continue

    one.kind = module.Kind(stubborn, (), one.kind.silence)
    await one.start()
    await one.state("live")
    with capture_logs() as logs:
        await one.clock.run_for(31)
        await one.state("waiting")
        await until(lambda: bool(logs))

    assert logs[0]["event"] == "session.does_not_end"
    stuck.set()


# --- gaps of our own -------------------------------------------------------------------------------


async def test_a_killed_hub_opens_the_gap_at_its_next_start(rig: Rig):
    session = await rig.live()
    await rig.clock.run_for(5)
    await session.proves("socket", "ami")
    await rig.clock.run_for(2)
    await until_flushed(rig, START + 5_000)
    await rig.kill()

    await rig.clock.run_for(3_600)
    await rig.start()
    await rig.upstream.opened(2)
    await rig.state("opening")

    [gap] = of(await rig.facts(), "gap.opened")
    assert gap["from_ms"] == START  # the canary's last proof, not the socket's
    assert gap["cause"] == "The hub was not running."


async def test_a_stopped_hub_opens_the_gap_as_it_goes(one: Rig):
    await one.live()
    await one.clock.run_for(5)
    await one.stop()
    await one.clock.run_for(60)
    await one.start()
    await one.upstream.opened(2)
    await one.state("opening")

    assert await one.types() == [
        "connection.opening", "connection.live", "connection.lost", "connection.stopped", "gap.opened",
        "connection.opening",
    ]  # fmt: skip
    assert of(await one.facts(), "gap.opened")[0]["cause"] == "The hub or the owner stopped."
    assert one.upstream.sessions[0].closed


async def test_what_was_never_heard_cannot_be_missed(one: Rig):
    await one.start()
    await one.upstream.opened(1)
    await one.state("opening")
    await one.stop()
    await one.start()
    session = await one.upstream.opened(2)
    session.falls(Unavailable("down"))
    await one.state("waiting")
    await one.kill()
    await one.start()
    await one.upstream.opened(3)
    await one.stop()

    assert "gap.opened" not in await one.types()


async def test_a_hub_that_is_killed_twice_before_it_is_live_again_tells_one_gap(one: Rig):
    await one.live()
    for n in (2, 3):
        await one.kill()
        # The row still says live when it is killed right after the gap was written.
        await one.store.write(
            lambda tx: tx.exec_driver_sql("update connection_states set state = 'live', heard_ms = 5")
        )
        await one.clock.run_for(60)
        await one.start()
        await one.upstream.opened(n)
        await one.state("opening")

    assert len(of(await one.facts(), "gap.opened")) == 1


# --- the store is away, or another worker owns it ----------------------------------------------------


async def test_a_transition_is_written_once_the_store_is_back(one: Rig):
    rough = Rough(one.store)
    one.log.store = rough  # type: ignore[assignment]
    session = await one.live()
    rough.fails = [StoreUnavailable("full")] * 3
    session.falls(Unavailable("gone"))
    await until(lambda: rough.failed > 0)
    while "gap.opened" not in await one.types():
        await one.clock.run_for(1)

    kinds = await one.types()
    assert kinds[2:5] == ["connection.lost", "connection.waiting", "gap.opened"]


async def test_a_session_hears_that_nothing_was_written_and_may_try_again(one: Rig):
    rough = Rough(one.store)
    one.log.store = rough  # type: ignore[assignment]
    session = await one.live()

    rough.fails = [StoreUnavailable("full")]
    with pytest.raises(StoreUnavailable):
        await session.port.append([heard()])
    [answer] = await session.port.append([heard()])

    assert not answer.duplicate


async def test_a_session_that_gives_up_when_nothing_can_be_written_is_no_defect(one: Rig):
    session = await one.live()
    session.falls(StoreUnavailable("The disk is full."))
    await one.state("waiting")
    assert (await one.row())["reason"] == "The hub could not write down what it heard. The disk is full."


async def test_a_keeper_whose_lease_was_taken_ends_at_its_next_transition(rig: Rig):
    session = await rig.live()
    await take_over(rig.store, "other")
    session.falls(Unavailable("gone"))

    assert isinstance(await rig.ended(), Fenced)
    assert await rig.types() == ["connection.opening", "connection.live"]


async def test_a_keeper_whose_lease_was_taken_ends_when_its_session_appends(one: Rig):
    session = await one.live()
    await take_over(one.store, "other")

    with pytest.raises(Fenced) as raised:
        await session.port.append([heard()])
    session.falls(raised.value)

    assert isinstance(await one.ended(), Fenced)
    assert session.closed


async def test_a_keeper_whose_lease_was_taken_ends_when_it_flushes_its_proofs(one: Rig):
    session = await one.live()
    await take_over(one.store, "other")
    await session.proves()
    await one.clock.run_for(1)

    assert isinstance(await one.ended(), Fenced)
    assert session.closed
