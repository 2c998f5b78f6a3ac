"""Webhooks against real servers: every kind of answer, every kind of break."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

from atalaia.ambient import Ambient
from atalaia.clock import SystemClock
from atalaia.deliveries.formats import Outgoing
from atalaia.deliveries.guard import Guard
from atalaia.deliveries.targets.target import Attempt, Busy, Secrets, Sent, Target, Unreachable, witness
from atalaia.deliveries.targets.webhook import WebhookPool, WebhookTarget
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable, UpstreamError
from tests.peers.fixtures import ProxyMaker

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
MESSAGE = Outgoing("", "evt-1", b'{"a":"\xc3\xa9"}', "application/cloudevents+json", headers={"x-more": "1"})
ATTEMPT = Attempt(5, 2, 77, "call.ended", "call-1", 0)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class World:
    """One server whose handler each test sets, and a pool to call it with."""

    def __init__(self) -> None:
        self.pool = WebhookPool(Guard(["127.0.0.0/8"]), Ambient(clock=SystemClock()))
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self.url = ""

    async def serve(self, handler: Handler) -> str:
        async def noted(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.requests.append((headers, await request.read()))
            return await handler(request)

        self.runner = web.ServerRunner(web.Server(noted), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hook?x=1"
        return self.url

    def target(self, url: str = "", **more: object) -> Target:
        secrets = Secrets(((SECRET, None),), {"authorization": "Bearer canary-93"})
        return WebhookTarget(self.pool, {"url": url or self.url, "timeout_s": 5, **more}, secrets)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.pool.close()
    if world.url:
        await world.runner.cleanup()


def answering(status: int, text: str = "", **headers: str) -> Handler:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return handler


async def _error(target: Target) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await target.send("", MESSAGE, ATTEMPT)
    return caught.value


async def test_the_request_is_what_standard_webhooks_ask_for(world: World):
    await world.serve(answering(200, "thanks"))

    sent = await world.target(headers={"x-tenant": "112"}).send("", MESSAGE, ATTEMPT)

    assert sent == Sent("HTTP 200", "thanks")
    [(headers, body)] = world.requests
    assert body == MESSAGE.body
    assert Webhook(SECRET).verify(body, headers) == {"a": "é"}
    assert headers["webhook-id"] == "evt-1"
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["x-more"] == "1"
    assert headers["x-tenant"] == "112"
    assert headers["authorization"] == "Bearer canary-93"
    assert headers["user-agent"].startswith("Atalaia/")
    assert "x-replay" not in headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected), (401, Refused), (403, Refused), (404, Rejected), (405, Rejected), (408, Unavailable),
        (409, Unavailable), (410, Refused), (413, Rejected), (422, Rejected), (425, Unavailable),
        (429, Unavailable), (301, Refused), (302, Refused), (307, Refused), (500, Unavailable),
        (501, Unavailable), (502, Unavailable), (503, Unavailable), (504, Unavailable),
    ],
)  # fmt: skip
async def test_each_status_says_who_acts_next(world: World, status: int, kind: type[UpstreamError]):
    headers = {"location": "http://127.0.0.1:1/"} if 300 <= status < 400 else {}
    await world.serve(answering(status, "said so", **headers))

    error = await _error(world.target())

    assert type(error) is kind
    assert f"HTTP {status}" in str(error)
    assert witness(error) == (f"HTTP {status}", "said so")
    assert len(world.requests) == 1


async def test_a_pause_that_is_asked_for_is_kept(world: World):
    await world.serve(answering(429, **{"retry-after": "120"}))
    error = await _error(world.target())
    assert isinstance(error, Busy)
    assert error.retry_after_s == 120


@pytest.mark.parametrize("text", ["soon", "-1", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_pause_nobody_can_read_is_no_pause(world: World, text: str):
    await world.serve(answering(503, **{"retry-after": text}))
    assert type(await _error(world.target())) is Unavailable


async def test_a_long_answer_is_read_a_little_and_secrets_in_it_are_hidden(world: World):
    await world.serve(answering(500, "you sent Bearer canary-93\n" + "x" * 5_000_000))

    error = await _error(world.target())

    _, response = witness(error)
    assert response.startswith("you sent *** x")
    assert len(response) <= 4096


async def test_a_compressed_bomb_is_not_unpacked(world: World):
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"content-encoding": "gzip"})

    await world.serve(handler)
    sent = await world.target().send("", MESSAGE, ATTEMPT)
    assert len(sent.response) <= 4096


async def test_an_endless_answer_ends_at_the_limit(world: World):
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"more and more ")
        except ConnectionResetError:
            return answer

    await world.serve(handler)
    sent = await world.target().send("", MESSAGE, ATTEMPT)
    assert sent.status == "HTTP 200"


async def test_a_consumer_that_does_not_answer_leaves_doubt(world: World):
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    await world.serve(handler)
    error = await _error(world.target(timeout_s=1))
    assert type(error) is InDoubt
    assert str(error) == "127.0.0.1 did not answer within 1 s."


async def test_nobody_listening_means_the_whole_target(world: World):
    error = await _error(world.target("http://127.0.0.1:65534/"))
    assert type(error) is Unreachable
    assert str(error).startswith("No connection to 127.0.0.1:65534: ")


async def test_a_name_that_does_not_exist_means_the_whole_target(world: World):
    error = await _error(world.target("http://no-such-host.invalid/"))
    assert type(error) is Unreachable
    assert "was not found" in str(error)


async def test_plain_http_behind_https_means_the_whole_target(world: World):
    await world.serve(answering(200))
    error = await _error(world.target(world.url.replace("http:", "https:")))
    assert type(error) is Unreachable
    assert "secure" in str(error)


async def test_a_connection_that_was_closed_while_idle_costs_no_attempt(world: World, tcp_proxy: ProxyMaker):
    await world.serve(answering(204))
    proxy = await tcp_proxy(world.url)
    target = world.target(proxy.url(world.url))
    await target.send("", MESSAGE, ATTEMPT)

    proxy.cut()

    assert (await target.send("", MESSAGE, ATTEMPT)).status == "HTTP 204"


async def test_connections_are_used_again(world: World, tcp_proxy: ProxyMaker):
    await world.serve(answering(200, "a body to read to its end"))
    proxy = await tcp_proxy(world.url)
    target = world.target(proxy.url(world.url))
    for _ in range(10):
        await target.send("", MESSAGE, ATTEMPT)
    assert proxy.accepted == 1


async def test_the_test_of_a_target_tells_each_step(world: World):
    await world.serve(answering(204))
    steps = await world.target().test("")
    assert [(step.name, step.state) for step in steps] == [("address", "ok"), ("ping", "ok")]
    assert b"atalaia.ping" in world.requests[0][1]

    forbidden = await world.target("http://10.0.0.1/").test("")
    assert [(step.name, step.state) for step in forbidden] == [("address", "failed")]

    away = await world.target("http://127.0.0.1:65534/").test("")
    assert [(step.name, step.state) for step in away] == [("address", "ok"), ("ping", "failed")]
    assert all(step.remedy for step in [*away, *forbidden] if step.state == "failed")
