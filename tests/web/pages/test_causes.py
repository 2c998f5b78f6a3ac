"""Why a telematics connection is not heard: each cause by its name, with its remedy, in both languages."""

from __future__ import annotations

import asyncio
import html
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.reach import LOST_TODO, REMEDY, Cause
from atalaia.store.tables import connection_states
from simulators.traffilog import TraffilogSimulator
from tests.connections.rig import take_over
from tests.connectors.traffilog.live.rig import make_simulator, passing, settings_for
from tests.web.site import Browser, Site, running

Trouble = Callable[["Scene"], Awaitable[dict[str, Any]]]


class Scene:
    """A hub's pages, one kept connection, and the upstream that misbehaves."""

    def __init__(self, site: Site, sim: TraffilogSimulator, clock: HeldClock, stack: AsyncExitStack) -> None:
        self.site, self.sim, self.clock, self.stack = site, sim, clock, stack
        self.connection = ""
        self.browsers: dict[str, Browser] = {}

    async def connect(self, **changes: Any) -> None:
        """Set the connection up and keep it, as a worker does."""
        settings = settings_for(self.sim, **changes)
        given = settings.model_dump() | {"password": settings.password.get_secret_value()}
        given.pop("portal_password")
        self.connection = await self.site.connection("traffilog", **given)
        parts = self.site.parts
        assert CONNECTOR.run_session is not None
        configured = await parts.store.read(lambda tx: parts.registry.get(tx, self.connection))
        assert configured is not None
        kind = Kind(CONNECTOR.run_session, CONNECTOR.planes, CONNECTOR.silence)
        lease = await take_over(parts.store, identity=self.connection)
        pace = Pace(first_s=600, most_s=600, jitter=0)
        task = asyncio.create_task(Keeper(configured, kind, lease, parts.log, parts.ambient, pace).run())
        self.stack.push_async_callback(self._end, task)

    async def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await passing(self.clock, task.done)

    async def comes_to(self, *states: str) -> None:
        """Let time pass until the connection is in one of these states, and that is written down."""
        c = connection_states.c
        query = select(c.state).where(c.connection == self.connection)

        async def watch() -> None:
            while await self.site.parts.store.read(lambda tx: tx.scalar(query)) not in states:
                await asyncio.sleep(0.005)

        watching = asyncio.create_task(watch())
        await passing(self.clock, watching.done)

    async def page(self, language: str) -> str:
        """Answer the words about the truth on the connection's page, without marks."""
        if (browser := self.browsers.get(language)) is None:
            browser = await self.site.browser(email=f"{language.lower()}@example.com")
            await browser.post("/settings/me", {"language": language, "zone": "UTC"})
            self.browsers[language] = browser
        async with browser.http.get(f"/connections/{self.connection}") as answer:
            whole = await answer.text()
        found = re.search(r'<div id="truth".*?</section>', whole, re.DOTALL)
        assert found is not None, whole
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


async def unknown_name(_: Scene) -> dict[str, Any]:
    return {"api_url": "http://no-such-host.invalid/appengine_3"}


async def no_way(scene: Scene) -> dict[str, Any]:
    """A port whose queue is full answers nothing at all, as behind a firewall."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    scene.stack.callback(full.close)
    for _ in range(2):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(full.getsockname())
        scene.stack.callback(caller.close)
    return {"api_url": f"http://127.0.0.1:{full.getsockname()[1]}/appengine_3"}


async def closed_port(scene: Scene) -> dict[str, Any]:
    await scene.sim.close_ports()
    return {}


async def no_tls(scene: Scene) -> dict[str, Any]:
    return {"socket_url": scene.sim.ws_url.replace("ws://", "wss://")}


async def hangs_up(scene: Scene) -> dict[str, Any]:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    scene.stack.callback(server.close)
    return {"api_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/appengine_3"}


async def wrong_password(_: Scene) -> dict[str, Any]:
    return {"password": "not-this-one"}


async def empty_login(scene: Scene) -> dict[str, Any]:
    await scene.sim.faults.start("login-empty", times=100)
    return {}


async def foreign_origin(_: Scene) -> dict[str, Any]:
    return {"origin": "https://elsewhere.example.test"}


async def forbidden_frame(scene: Scene) -> dict[str, Any]:
    await scene.sim.faults.start("forbidden", times=100)
    return {}


async def silence(scene: Scene) -> dict[str, Any]:
    await scene.sim.faults.start("drop-answer", times=100)
    return {}


ASK_PASSWORD = "Check the name and the password of this connection."
CASES: dict[str, tuple[Trouble, str, str, str]] = {
    # trouble, chip, said in English, remedy in English
    "dns": (unknown_name, "name (DNS)", "no-such-host.invalid is not known here.", REMEDY[Cause.DNS]),
    "route": (no_way, "route or VPN", "does not answer at all: no route,", REMEDY[Cause.ROUTE]),
    "tcp": (closed_port, "port (TCP)", "(connection refused).", REMEDY[Cause.TCP]),
    "tls": (no_tls, "certificate (TLS)", "does not speak TLS with us.", REMEDY[Cause.TLS]),
    "http": (hangs_up, "HTTP", "broke the connection without an answer.", REMEDY[Cause.HTTP]),
    "password": (wrong_password, "login", "The login was refused (1", ASK_PASSWORD),
    "login": (empty_login, "login", "The login answered with an empty body", REMEDY[Cause.LOGIN]),
    "websocket": (foreign_origin, "WebSocket", "refused the WebSocket with HTTP 403.", REMEDY[Cause.SOCKET]),
    "frame": (forbidden_frame, "our frame", "accept this session any more (403", REMEDY[Cause.FRAME]),
    "mute": (silence, "open but mute", "was not answered within 20 s.", REMEDY[Cause.MUTE]),
}  # fmt: skip


@pytest.fixture
async def scene(tmp_path: Path, ambient: Ambient, clock: HeldClock) -> AsyncIterator[Scene]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site, AsyncExitStack() as stack:
        sim = make_simulator(clock)
        await sim.start()
        stack.push_async_callback(sim.stop)
        yield Scene(site, sim, clock, stack)


@pytest.mark.parametrize("case", CASES)
async def test_each_cause_has_its_own_words_and_its_remedy_in_both_languages(scene: Scene, case: str):
    trouble, chip, words, remedy = CASES[case]
    await scene.connect(**await trouble(scene))
    await scene.comes_to("waiting", "needs_person")

    english, portuguese = await scene.page("en"), await scene.page("pt_BR")

    for told in (chip, words, remedy):
        assert told in english, (told, english)
    for told in (words, remedy):
        assert told not in portuguese, portuguese
    assert scene.sim.upstream.failures == []


async def test_while_the_next_try_opens_the_last_failure_is_still_told(scene: Scene):
    await scene.connect(**await closed_port(scene))
    await scene.comes_to("waiting")
    await scene.sim.open_ports()
    await scene.sim.faults.start("login-hangs", times=1)
    await scene.comes_to("opening")
    assert "The last try ended:" in await scene.page("en")

    await scene.comes_to("live")
    told = await scene.page("en")
    assert "Nothing accepts connections" not in told

    await scene.sim.faults.start("drop")
    await scene.comes_to("waiting")
    told = await scene.page("en")
    assert "The upstream closed the socket (1006)." in told and LOST_TODO in told
    assert "Last heard unknown" not in told
