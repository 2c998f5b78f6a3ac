"""Webhooks against real servers: every kind of answer, every kind of break."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import uvloop
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
        except ConnectionError:
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


@contextlib.asynccontextmanager
async def _answering_bytes(*parts: bytes, close: bool = True) -> AsyncGenerator[str]:
    """Serve the same bytes to every request: consumers that speak HTTP badly, or hardly."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(MESSAGE.body))
            for part in parts:
                writer.write(part)
                await writer.drain()
            if close:
                writer.close()
                return

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], "ok"),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil the end"], "until the end"),
        ([b"HTTP/1.0 200 OK\r\n\r\nold"], "old"),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], "ok"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"], "x"),
        ([b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"], "x"),
        ([b"HT", b"TP/1.1 2", b"04 No Content\r\n\r", b"\n"], ""),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\ncut"], "cut"),
    ],
)
async def test_every_way_to_end_an_answer_is_understood(world: World, parts: list[bytes], said: str):
    async with _answering_bytes(*parts) as url:
        assert (await world.target(url).send("", MESSAGE, ATTEMPT)).response == said


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b""], "closed the connection without an answer"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "is not HTTP/1.1"),
        ([b"\x00\xff" * 100], "is not HTTP/1.1"),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 400_000], "its head is too long"),
        ([b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000], "its head is too long"),
        ([b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"], ""),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_of_this_attempt(
    world: World, parts: list[bytes], said: str
):
    async with _answering_bytes(*parts) as url:
        error = await _error(world.target(url))
        assert type(error) is Unavailable
        assert said in str(error)


@pytest.mark.parametrize("more", [b"HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 50"])
async def test_what_comes_unasked_after_an_answer_ends_the_connection(world: World, more: bytes):
    """A second answer in the same breath must not become the answer to the next request."""
    twice = b"HTTP/1.1 204 No Content\r\n\r\n" + more
    async with _answering_bytes(twice, close=False) as url:
        target = world.target(url)
        for _ in range(3):
            assert (await target.send("", MESSAGE, ATTEMPT)).status == "HTTP 204"


async def test_nothing_in_a_message_breaks_out_of_its_header(world: World):
    await world.serve(answering(204))
    odd = Outgoing("", "id\r\nx-injected: 1", b"{}", headers={"x-event-key": "a\nb: c\x00é"})
    await world.target().send("", odd, ATTEMPT)
    [(headers, _)] = world.requests
    assert "x-injected" not in headers
    assert "b" not in headers
    assert headers["webhook-id"] == "id x-injected: 1"


async def test_the_loop_that_the_product_runs_on_is_served_too(world: World):
    await world.serve(answering(204))
    target = world.target()

    async def on_uvloop() -> Sent:
        sent = await target.send("", MESSAGE, ATTEMPT)
        await world.pool.close()
        return sent

    assert (await asyncio.to_thread(uvloop.run, on_uvloop())).status == "HTTP 204"
