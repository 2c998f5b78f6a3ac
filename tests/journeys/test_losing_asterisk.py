"""The line to Asterisk, Asterisk itself and the hub fail in the middle of calls; all calls are told."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from atalaia.store.ownership import TTL_S
from tests.journeys.bus import Conversation
from tests.journeys.calls import compare, set_out, told
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Place
from tests.journeys.truth import facts, gaps_of, is_live, is_settled, open_calls, state_of
from tests.journeys.waiting import until
from tests.journeys.world import connection_settings, write_configuration
from tests.peers.asterisk import Asterisk
from tests.peers.fixtures import ProxyMaker
from tests.peers.proxy import TcpProxy
from tests.peers.rabbitmq import RabbitMQ

SESSIONS, CUTS_EACH = 10, 4


async def test_the_connection_cut_forty_times_without_a_close_frame_loses_no_call(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tcp_proxy: ProxyMaker, tmp_path: Path
) -> None:
    # Ten sessions hear the same calls and each is cut four times: pauses grow while a session is flapping.
    place = make_place()
    try:
        names, connections, result = await _cut_forty_times(asterisk, rabbitmq, place, tcp_proxy, tmp_path)
    except pytest.fail.Exception:
        if await asyncio.to_thread(asterisk.answers):
            raise
        # Rarely this Asterisk itself stops answering under the cuts, for good. That says nothing of the hub.
        place.close()
        place = make_place()
        await asyncio.to_thread(lambda: (asterisk.heal(), rabbitmq.heal()))
        names, connections, result = await _cut_forty_times(asterisk, rabbitmq, place, tcp_proxy, tmp_path)

    assert result["ok"], result["phones"]
    found = await told(rabbitmq)
    for name, connection in zip(names, connections, strict=True):
        mine = [one for one in found if one.first["extra"]["server"] == name]
        assert compare(mine, result["expect"]) == ([], []), name
        await _check_gaps(place, connection, mine, CUTS_EACH)


async def _cut_forty_times(
    asterisk: Asterisk, rabbitmq: RabbitMQ, place: Place, tcp_proxy: ProxyMaker, tmp_path: Path
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Play calls while sessions are cut; answer the sessions' names and connections, and what was played."""
    etc = write_configuration(tmp_path / "etc", rabbitmq)
    proxies = [await tcp_proxy(asterisk.ari_url) for _ in range(SESSIONS)]
    names = [f"voip{number}" for number in range(SESSIONS)]
    connections = await place.furnish(
        lambda furnisher, tx: [
            furnisher.connection(
                tx,
                "asterisk",
                name,
                **connection_settings(
                    asterisk, etc, server=name, url=f"http://127.0.0.1:{proxy.port}", ami_port=None
                ),
            )
            for name, proxy in zip(names, proxies, strict=True)
        ]
    )
    await place.worker().start()
    for connection in connections:
        await is_live(place, connection)

    seed = random.randrange(10**6)
    print(f"seed {seed}")
    calls = asterisk.start_call("many", count=24, rate=1.5, ring=0.7, talk=24)
    await until(lambda: open_calls(place), "the first call is open")
    await asyncio.gather(
        *[
            _cut_often(place, connection, proxy, random.Random(f"{seed}:{connection}"))
            for connection, proxy in zip(connections, proxies, strict=True)
        ]
    )
    result = await calls.wait()
    for connection in connections:  # live once more after the last cut, not still live before it is noticed
        await until(
            lambda connection=connection: _times_live(place, connection, CUTS_EACH + 1, CUTS_EACH),
            "the session is live after its last cut",
            every_s=0.2,
            within_s=60,
        )
    await is_settled(place)
    return names, connections, result


async def _cut_often(place: Place, connection: str, proxy: TcpProxy, dice: random.Random) -> None:
    """Cut at moments of chance; the second cut may come while what lives is still being read."""
    for number in range(1, CUTS_EACH + 1):
        read = number - 1 if number != 2 else 0
        await until(
            lambda number=number, read=read: _times_live(place, connection, number, read),
            f"the session is live for the {number}. time",
            every_s=0.2,
            within_s=60,
        )
        await asyncio.sleep(dice.uniform(0, 1.5))  # a moment of its own, not a wait for something
        proxy.cut()


async def _times_live(place: Place, connection: str, number: int, read: int) -> bool:
    """Answer whether it was live so often, and the gaps before are closed but for the one of an early cut."""
    told = [one["type"] for one in await facts(place, "connection.live", "gap.") if one["key"] == connection]
    behind = told[max(0, len(told) - 1 - told[::-1].index("connection.live")) :] if read else ["gap.closed"]
    return told.count("connection.live") >= number and "gap.closed" in behind


async def _check_gaps(place: Place, connection: str, found: list[Conversation], count: int) -> None:
    """The gap records say how many there were and what was recovered in them."""
    records = await gaps_of(place, connection)
    assert len(records) == count
    assert all(one["closed_ms"] and one["to_ms"] >= one["from_ms"] for one in records), records
    # A session that is cut while it still reads what lives leaves its gap to the next one.
    closed = [one for one in await facts(place, "gap.closed") if one["key"] == connection]
    assert 1 <= len(closed) <= count
    recovered = [one["data"]["recovered"] for one in closed]
    assert sum(one["calls_closed"] for one in recovered) == sum(one.is_forceclosed for one in found)
    rebuilt = [one for one in found if one.first["extra"]["recovered"]]
    assert sum(one["calls_rebuilt"] for one in recovered) == len(rebuilt)


async def test_a_hub_on_sqlite_that_slept_longer_than_its_leases_keeps_its_session(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    connection, worker = await set_out(place, asterisk, rabbitmq, tmp_path)
    calls = asterisk.start_call("many", count=6, rate=2, ring=1, talk=6)
    await until(lambda: _have_begun(place, 3), "some calls have begun")

    worker.pause()
    await asyncio.sleep(TTL_S + 4)  # this is how long it sleeps
    worker.resume()

    result = await calls.wait()
    await is_settled(place)
    assert result["ok"], result["phones"]
    assert compare(await told(rabbitmq), result["expect"]) == ([], [])
    assert await gaps_of(place) == []
    kinds = [one["type"] for one in await _facts_of(place, connection, "connection.")]
    assert "connection.lost" not in kinds and kinds.count("connection.opening") == 1, kinds


async def test_a_hub_that_sleeps_ten_seconds_under_four_hundred_calls_tells_them_all(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    # What happens in ten seconds must fit into the socket's buffers, about 5,500 events. Beyond that Asterisk
    # 22.10.1 cuts the slow reader and can lock itself up for good in doing so, see contract section 1.1.
    place = make_place()
    connection, worker = await set_out(place, asterisk, rabbitmq, tmp_path)
    calls = asterisk.start_call("load", calls=400, count=200, rate=40, ring=0.5, talk=25)
    await until(lambda: _have_begun(place, 395), "nearly all of 400 calls have begun", within_s=60)

    worker.pause()
    await asyncio.sleep(10)  # this is how long it sleeps
    worker.resume()

    result = await calls.wait()
    await is_live(place, connection)
    await is_settled(place)
    assert result["ok"], result["phones"]
    found = await told(rabbitmq)
    assert compare(found, result["expect"], tolerance=2) == ([], [])
    assert all(one["closed_ms"] for one in await gaps_of(place))


async def _have_begun(place: Place, count: int) -> bool:
    return len(await facts(place, "call.opened")) >= count


async def _more_calls_than(place: Place, count: int) -> bool:
    return await open_calls(place) > count


async def test_a_hung_asterisk_is_called_hung_and_its_calls_go_on_when_it_wakes(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    connection, _ = await set_out(place, asterisk, rabbitmq, tmp_path)
    calls = asterisk.start_call("many", count=10, rate=10, ring=0.5, talk=8)
    await until(lambda: _answered(place, 10), "ten calls are answered")

    asterisk.pause()
    try:
        waiting = await until(
            lambda: _facts_of(place, connection, "connection.waiting"), "the hang is noticed"
        )
        hung = await until(lambda: _reasons(place, connection, "hung"), "it is called hung")
    finally:
        asterisk.resume()

    result = await calls.wait()
    await is_live(place, connection)
    await is_settled(place)
    assert waiting and hung
    assert result["ok"], result["phones"]
    # How long the phones talked depends on when Asterisk woke; nobody is lost and nobody is told twice.
    records = [{**one, "callduration": None} for one in result["expect"]]
    found = await told(rabbitmq)
    assert compare(found, records, tolerance=2) == ([], [])
    assert all(one["closed_ms"] for one in await gaps_of(place))


async def _facts_of(place: Place, connection: str, *types: str) -> list[dict[str, Any]]:
    return [one for one in await facts(place, *types) if one["key"] == connection]


async def _reasons(place: Place, connection: str, word: str) -> list[str]:
    said = [one["data"].get("reason", "") for one in await _facts_of(place, connection, "connection.")]
    return [one for one in said if word in one.lower()]


async def test_a_killed_asterisk_closes_its_calls_at_the_moment_the_line_broke(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    connection, _ = await set_out(place, asterisk, rabbitmq, tmp_path)
    # More calls than are waited for: a phone on a busy machine may lose the first word of one.
    talking = asterisk.start_call("many", count=9, rate=10, ring=0.3, talk=110)
    await until(lambda: _answered(place, 6), "six calls are answered", within_s=100)
    before = await open_calls(place)
    ringing = asterisk.start_call("no-answer", origin="1131001", to="1131002")
    await until(lambda: _more_calls_than(place, before), "one more call rings", within_s=100)

    await asyncio.to_thread(asterisk.crash)
    broke_ms = time.time() * 1000
    talking.end()
    ringing.end()
    await until(lambda: _is_not_live(place, connection), "the loss is noticed")
    await asyncio.to_thread(asterisk.start)
    await is_live(place, connection)
    await is_settled(place)

    found = await told(rabbitmq)
    answered = [one for one in found if one.statuses[-1] == "closed"]
    vain = [one for one in found if one.statuses[-1] == "unanswered"]
    assert len(answered) >= 6 and vain, [str(one) for one in found]
    assert len(answered) + len(vain) == len(found) == len(await facts(place, "call.opened"))
    assert all(one.is_forceclosed and one.last["extra"]["recovered"] for one in found)
    assert all(abs(one.last["extra"]["ended_ms"] - broke_ms) < 3000 for one in found)
    assert all(one.last["extra"]["reason"] == "lost" for one in vain)
    (gap,) = await gaps_of(place)
    assert gap["closed_ms"]

    # Channel names begin again at 0; the new calls are not mixed up with the old ones.
    again = await asterisk.play("answered", origin="1131001", to="1131002", ring=0.5, talk=1)
    await is_settled(place)
    assert compare(await told(rabbitmq), again["expect"]) == ([], [])


async def _answered(place: Place, count: int) -> bool:
    return len(await facts(place, "call.answered")) >= count


async def _is_not_live(place: Place, connection: str) -> bool:
    return await state_of(place, connection) not in ("live", "suspect")


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_hub_that_ends_in_the_middle_of_calls_goes_on_where_it_was(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path, how: str
) -> None:
    place = make_place()
    connection, worker = await set_out(place, asterisk, rabbitmq, tmp_path)
    short = asterisk.start_call("answered", origin="1131001", to="1131002", ring=0.5, talk=3)
    asterisk.start_call("many", count=10, rate=10, ring=0.5, talk=100)
    await until(lambda: _answered(place, 11), "eleven calls are answered")

    if how == "kill":
        worker.kill()
    else:
        await worker.stop()
    ended = await short.wait()  # this call ends while nobody listens
    asterisk.start_call("answered", origin="1131003", to="1131004", ring=0.5, talk=100)  # and this one begins
    await until(lambda: "11 active calls" in asterisk.cli("core show channels count"), "it is up")
    await worker.start()
    await is_live(place, connection)
    await until(lambda: _answered(place, 12), "the twelfth call is known")
    asterisk.cli("channel request hangup all")
    await is_settled(place)

    found = await told(rabbitmq)
    (alone,) = [one for one in found if one.first["origin"] == "1131001"]
    assert compare([alone], ended["expect"]) == ([], [])
    assert [one for one in found if one.is_forceclosed] == [alone]
    assert len(found) == 12 and all(one.statuses[-1] == "closed" for one in found), [
        str(one) for one in found
    ]
    assert {one.first["origin"] for one in found if one.first["extra"]["recovered"]} == {"1131003"}
    (gap,) = [one for one in await gaps_of(place, connection) if one["closed_ms"]]
    recovered = (await facts(place, "gap.closed"))[-1]["data"]["recovered"]
    assert (recovered["calls_closed"], recovered["calls_continued"], recovered["calls_rebuilt"]) == (1, 10, 1)
    assert gap["to_ms"] > gap["from_ms"]
