"""What goes wrong is told apart, said in words, and ends the session with the right kind of error."""

from __future__ import annotations

import asyncio
import socket

import pytest

from atalaia.errors import Fenced, Refused, Unavailable
from tests.connectors.asterisk.session.rig import Rig


async def test_a_wrong_password_needs_a_person(rig: Rig) -> None:
    rig.begin(password="another")

    error, _ = await rig.end()

    assert isinstance(error, Refused)
    assert "ari.conf" in error.ask
    assert "another" not in str(error) + error.ask
    assert rig.port.planes["rest"][:2] == ("failing", "denied")
    assert rig.port.heard == []


async def test_ari_that_is_not_loaded_yet_is_waited_for(rig: Rig) -> None:
    await rig.sim.faults.start("not-loaded")
    rig.begin()

    error, _ = await rig.end()

    assert isinstance(error, Unavailable)
    assert rig.port.planes["rest"][:2] == ("failing", "starting")


async def test_a_wrong_prefix_looks_like_starting_and_names_the_prefix(rig: Rig) -> None:
    rig.begin(prefix="asterisk")

    error, _ = await rig.end()

    assert "check the prefix" in str(error)


async def test_a_502_is_waited_out(rig: Rig) -> None:
    await rig.sim.faults.start("bad-gateway")
    rig.begin()

    error, _ = await rig.end()

    assert isinstance(error, Unavailable)
    assert "HTTP 502" in str(error)


async def test_a_closed_port_is_down(rig: Rig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rig.begin(url=f"http://127.0.0.1:{port}")

    error, _ = await rig.end()

    assert isinstance(error, Unavailable)
    assert "connection refused" in str(error)
    assert rig.port.planes["socket"][:2] == ("failing", "down")


async def test_a_server_that_speaks_no_http_is_not_taken_for_asterisk(rig: Rig) -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
        rig.begin(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        error, _ = await rig.end()

    assert isinstance(error, Unavailable)


async def test_https_to_a_plain_port_needs_a_person(rig: Rig) -> None:
    rig.begin(url=f"https://127.0.0.1:{rig.sim.port}")

    error, _ = await rig.end()

    assert isinstance(error, Refused)
    assert "TLS" in str(error)


@pytest.mark.parametrize("fault", ["drop", "restart", "stop"])
async def test_a_broken_socket_ends_the_session_at_once(rig: Rig, fault: str) -> None:
    await rig.connect()

    await rig.sim.faults.start(fault)
    error, took_s = await rig.end()

    assert isinstance(error, Unavailable)
    assert took_s <= 1
    last = rig.port.bodies("control")[-1]
    assert (last["control"], last["code"]) == ("disconnected", 1006)
    assert last["cause"] == str(error)


async def test_stopping_asterisk_gracefully_keeps_the_last_events(rig: Rig) -> None:
    await rig.connect()
    rig.sim.begin("answered", "1121001", "1121002", ring_s=1.0, talk_s=60.0)
    await rig.clock.run_for(3)

    await rig.sim.faults.start("stop")
    await rig.end()

    assert rig.port.types()[-1] == "control"
    assert "ChannelDestroyed" in rig.port.types()


async def test_a_lost_lease_ends_the_session_without_another_word(rig: Rig) -> None:
    await rig.connect()
    rig.port.failing = Fenced("Another worker owns the connection.")
    await rig.sim.faults.start("unknown-event")

    session = rig.session
    assert session is not None
    await rig.spin(session.done)

    assert isinstance(session.exception(), Fenced)


async def test_being_told_to_stop_closes_the_socket_and_says_so(rig: Rig) -> None:
    await rig.connect()
    session = rig.session
    assert session is not None

    session.cancel()
    await rig.spin(session.done)

    assert session.cancelled()
    assert rig.port.controls() == ["connected", "snapshot", "closed"]
    await rig.spin(lambda: rig.sim.state()["connections"] == [])


async def test_doubt_is_told_and_taken_back_when_rest_fails_for_a_while(rig: Rig) -> None:
    await rig.connect()
    rig.sim.faults.gate.answer = 502  # a proxy in between fails, the socket stays

    await rig.run_until(lambda: rig.port.told[-1][0] == "suspect", at_most_s=30)
    assert "HTTP 502" in rig.port.told[-1][1]
    rig.sim.faults.gate.answer = 0
    await rig.run_until(lambda: rig.port.told[-1][0] == "live", at_most_s=30)

    assert rig.port.planes["rest"][0] == "proven"
    assert rig.port.controls() == ["connected", "snapshot"]
