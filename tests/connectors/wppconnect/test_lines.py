"""Sessions of one place share sockets, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from atalaia.clock import SystemClock
from atalaia.connectors.wppconnect.calls import AT_ONCE, Busy, Calls, NoAnswer, Place
from atalaia.connectors.wppconnect.lines import shared_client
from atalaia.errors import InDoubt, Unavailable


@dataclass
class Upstream:
    """A server that counts sockets, keeps what it was sent, and answers `/slow` when it is told to."""

    url: str = ""
    sockets: set[int] = field(default_factory=set[int])
    keys: list[str] = field(default_factory=list[str])
    cookies: int = 0
    waiting: int = 0
    most_waiting: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    full: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.sockets.add(request.transport.get_extra_info("peername")[1])
        self.keys.append(request.headers.get("Authorization", ""))
        self.cookies += len(request.cookies)
        answer = web.json_response({"status": True})
        answer.set_cookie("who", self.keys[-1])
        return answer

    async def slow(self, request: web.Request) -> web.Response:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self.waiting == AT_ONCE:
            self.full.set()
        await self.go_on.wait()
        self.waiting -= 1
        return web.json_response({"status": True})


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    one = Upstream()
    app = web.Application()
    app.router.add_get("/", one.take)
    app.router.add_get("/slow", one.slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


def calls(upstream: Upstream, key: str) -> Calls:
    place = Place(upstream.url, "server")
    return Calls(place, SystemClock(), {"Authorization": key}, connect_s=10, tls_verify=True)


async def test_two_sessions_use_one_socket_each_under_its_own_key(upstream: Upstream):
    async with calls(upstream, "first") as one, calls(upstream, "second") as two:
        for session in (one, two, one):
            assert (await session.ask("GET", "/", within_s=10)).ok

    assert len(upstream.sockets) == 1
    assert upstream.keys == ["first", "second", "first"]
    assert upstream.cookies == 0


async def test_the_client_is_closed_when_the_last_session_leaves_and_made_anew_for_the_next(
    upstream: Upstream,
):
    async with shared_client(upstream.url, tls_verify=True) as first:
        async with shared_client(upstream.url, tls_verify=True) as second:
            assert second is first
        assert not first.closed
    assert first.closed

    async with shared_client(upstream.url, tls_verify=True) as third:
        assert third is not first


async def test_a_certificate_that_is_not_checked_is_no_matter_of_other_sessions(upstream: Upstream):
    async with (
        shared_client(upstream.url, tls_verify=True) as strict,
        shared_client(upstream.url, tls_verify=False) as lax,
    ):
        assert strict is not lax


async def test_a_session_whose_calls_hang_does_not_hold_up_another(upstream: Upstream):
    async with (
        calls(upstream, "hung") as hung,
        calls(upstream, "well") as well,
        asyncio.TaskGroup() as together,
    ):
        for _ in range(AT_ONCE + 4):
            together.create_task(hung.ask("GET", "/slow", within_s=60))
        await asyncio.wait_for(upstream.full.wait(), 20)

        assert (await well.ask("GET", "/", within_s=20)).ok
        upstream.go_on.set()

    assert upstream.most_waiting == AT_ONCE


class Late(SystemClock):
    """The clock of a process that gets no time: what should last ten seconds is noticed after a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        self._passed += seconds + 50


async def test_a_hub_that_is_late_itself_takes_nothing_for_hung(upstream: Upstream):
    late = Calls(Place(upstream.url, "server"), Late(), {}, connect_s=5, tls_verify=True)
    async with late:
        with pytest.raises(Unavailable, match="too busy") as caught:
            await late.ask("GET", "/slow", within_s=10)
        assert not isinstance(caught.value, NoAnswer)
        with pytest.raises(InDoubt):
            await late.ask("GET", "/slow", within_s=10, acts=True)
    upstream.go_on.set()


class Stumbling(SystemClock):
    """Time limits of this clock are noticed five seconds too late, as in a process that has no time."""

    _lost_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._lost_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self._lost_s += seconds + 5


async def test_an_answer_that_this_hub_had_no_time_for_says_nothing_of_the_other_side(upstream: Upstream):
    place = Place(upstream.url, "server")
    async with Calls(place, Stumbling(), {}, connect_s=10, tls_verify=True) as one:
        with pytest.raises(Busy):
            await one.ask("GET", "/slow", within_s=10)
    upstream.go_on.set()
