"""The session against a real Asterisk with real SIP calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.connectors.asterisk import CONNECTOR
from atalaia.connectors.asterisk.session import run_session
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.errors import Unavailable
from tests.connectors.asterisk.session.rig import MemoryPort
from tests.peers.asterisk import Asterisk
from tests.peers.fixtures import ProxyMaker

LIMIT_S = 15.0


class Real:
    """A session with a real Asterisk, in real time."""

    def __init__(self, asterisk: Asterisk) -> None:
        self.asterisk = asterisk
        self.port = MemoryPort(Ambient(random=Random()))
        self.session: asyncio.Task[None] | None = None

    def settings(self, **changes: Any) -> AsteriskSettings:
        values: dict[str, Any] = {
            "url": self.asterisk.ari_url,
            "user": self.asterisk.user,
            "password": self.asterisk.password,
            "server": "voip1",
            "ami_host": self.asterisk.ami[0],
            "ami_port": self.asterisk.ami[1],
            "etc_folder": str(self.asterisk.etc_dir),
            "recordings_folder": str(self.asterisk.recordings_dir),
        }
        return AsteriskSettings.model_validate(values | changes)

    async def connect(self, **changes: Any) -> None:
        self.session = asyncio.create_task(run_session(self.settings(**changes), self.port))
        await self.until(lambda: "snapshot" in self.port.controls())

    async def until(self, true: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something that the session hears; its end is an error."""
        async with asyncio.timeout(seconds):
            while not true():
                assert self.session is not None
                if self.session.done():
                    self.session.result()
                await asyncio.sleep(0.01)

    async def end(self) -> Exception:
        """Wait until the session ends by itself, and answer why."""
        assert self.session is not None
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait((self.session,))
        error = self.session.exception()
        assert isinstance(error, Exception)
        return error

    async def close(self) -> None:
        if self.session is not None:
            self.session.cancel()
            await asyncio.gather(self.session, return_exceptions=True)


@pytest_asyncio.fixture
async def real(asterisk: Asterisk) -> AsyncIterator[Real]:
    real = Real(asterisk)
    yield real
    await real.close()


async def test_a_real_call_is_heard_from_beginning_to_end(real: Real) -> None:
    await real.connect()
    await real.asterisk.play("answered", ring=0.5, talk=1)
    await real.until(lambda: real.port.types().count("ChannelDestroyed") == 2)

    types = real.port.types()
    assert types[:2] == ["directory", "control"]
    assert types.count("ChannelCreated") == 2
    assert "Dial" in types
    assert "unreadable" not in types
    assert {name: state for name, (state, _, _) in real.port.planes.items()} == {
        "socket": "proven", "canary": "proven", "rest": "proven", "events": "proven", "ami": "proven",
    }  # fmt: skip


async def test_asterisk_16_is_heard_alike(asterisk16: Asterisk) -> None:
    real = Real(asterisk16)
    try:
        await real.connect()
        await asterisk16.play("answered", ring=0.5, talk=1)
        await real.until(lambda: real.port.types().count("ChannelDestroyed") == 2)
    finally:
        await real.close()

    assert real.port.bodies("rest")[0]["body"]["system"]["version"].startswith("16.")
    assert "unreadable" not in real.port.types()


async def test_what_lives_is_read_after_a_connect(real: Real) -> None:
    call = real.asterisk.start_call("answered", ring=0.5, talk=6)
    async with aiohttp.ClientSession() as http:
        await _until_talking(http, real.asterisk)
    await real.connect()
    answers = {body["path"]: body["body"] for body in real.port.bodies("rest")}
    await call.wait()

    caller = next(one for one in answers["/channels"] if one["dialplan"]["app_name"] == "Dial")
    wav = caller["channelvars"]["MIXMONITOR_FILENAME"]
    assert answers[f"/channels/{caller['id']}/variable?variable=DIALSTATUS"]["value"] == "ANSWER"
    assert len(answers["/bridges"][0]["channels"]) == 2
    assert any(wav.endswith("/" + name) for name in real.port.bodies("recordings")[0])
    assert {"1121001", "1121002"} <= {one["resource"] for one in answers["/endpoints"]}


async def _until_talking(http: aiohttp.ClientSession, asterisk: Asterisk) -> None:
    login = aiohttp.encode_basic_auth(asterisk.user, asterisk.password)
    async with asyncio.timeout(30):
        while True:
            async with http.get(f"{asterisk.ari_url}/bridges", headers={"Authorization": login}) as answer:
                if any(len(bridge["channels"]) == 2 for bridge in await answer.json()):
                    return
            await asyncio.sleep(0.05)


async def test_a_cut_without_a_close_frame_is_noticed_and_the_next_session_is_live(
    real: Real, tcp_proxy: ProxyMaker
) -> None:
    proxy = await tcp_proxy(real.asterisk.ari_url)
    for _ in range(5):
        real.port.heard.clear()
        await real.connect(url=proxy.url(real.asterisk.ari_url))
        proxy.cut()
        error = await real.end()
        assert isinstance(error, Unavailable)
        assert real.port.bodies("control")[-1]["code"] == 1006


async def test_a_stalled_network_is_left(real: Real, tcp_proxy: ProxyMaker) -> None:
    proxy = await tcp_proxy(real.asterisk.ari_url)
    await real.connect(url=proxy.url(real.asterisk.ari_url))

    proxy.swallow()

    assert isinstance(await real.end(), Unavailable)


async def test_a_hung_asterisk_is_left_and_called_hung(real: Real) -> None:
    await real.connect()

    real.asterisk.pause()

    assert "is hung" in str(await real.end())


async def test_a_killed_asterisk_ends_the_session(real: Real) -> None:
    await real.connect()

    await asyncio.to_thread(real.asterisk.crash)

    assert "broke without a close frame" in str(await real.end())


async def test_a_second_client_with_our_name_ends_the_session(real: Real) -> None:
    await real.connect()
    app = real.port.bodies("control")[0]["app"]
    login = aiohttp.encode_basic_auth(real.asterisk.user, real.asterisk.password)
    url = f"{real.asterisk.ari_url}/events?app={app}&subscribeAll=true"

    async with (
        aiohttp.ClientSession(headers={"Authorization": login}) as http,
        http.ws_connect(url),
    ):
        assert "took the events away" in str(await real.end())

    assert "ApplicationReplaced" in real.port.types()


@pytest.mark.parametrize(("user", "rights"), [("monitor", False), ("observer", True)])
async def test_the_check_and_the_session_accept_both_kinds_of_users(
    real: Real, user: str, rights: bool
) -> None:
    login = {"user": user, "password": f"test-only-{'ari' if user == 'monitor' else user}"}
    check = CONNECTOR.check
    assert check is not None
    steps = {step.name: step for step in await check(real.settings(**login), real.port.ambient)}
    await real.connect(**login)

    failed = {name: step.said for name, step in steps.items() if step.outcome == "failed"}
    assert failed == {}
    assert steps["Rights"].evidence["read_only"] is rights
    assert real.port.told[0] == ("live", "True" if rights else "")
    assert "test-only" not in json.dumps(
        [(step.said, step.todo, dict(step.evidence)) for step in steps.values()]
    )
