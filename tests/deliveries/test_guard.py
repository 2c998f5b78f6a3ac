"""The SSRF guard: a corpus of addresses, a sink that listens, and not one connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from atalaia.ambient import Ambient
from atalaia.deliveries.formats import Outgoing
from atalaia.deliveries.guard import Guard, Refusal
from atalaia.deliveries.targets.target import Attempt, Forbidden, Secrets, Unreachable
from atalaia.deliveries.targets.webhook import WebhookPool, WebhookTarget
from atalaia.errors import ConfigError, Refused, UpstreamError

ADDRESSES = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a00:1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1",
    "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
# Spellings that one reader or another takes for 127.0.0.1, 10.0.0.1 or 169.254.169.254.
HOSTS = [
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0x7f.1",
    "0", "0.0.0.0", "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "167772161", "0xa9fea9fe",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]", "[fe80::1%25lo]", "127.0.0.1%00.example.com",
    "①②⑦.⓪.⓪.①", "127。0。0。1",
]  # fmt: skip


def refusal(guard: Guard, address: str, port: int) -> str:
    """Answer why this may not be dialled, "" when it may."""
    try:
        guard.check_address(address, port)
    except Refusal as no:
        return str(no)
    return ""


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_special_address_may_be_dialled(address: str):
    with pytest.raises(Refusal):
        Guard().check_address(address, 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_dialled(address: str):
    assert refusal(Guard(), address, 443) == ""


@pytest.mark.parametrize("port", [22, 25, 5432, 5672, 6379, 11211])
def test_ports_of_other_protocols_are_refused_unless_allowed_one_by_one(port: int):
    with pytest.raises(Refusal, match="another protocol"):
        Guard(["8.8.8.0/24"]).check_port("8.8.8.8", port)
    assert Guard([f"8.8.8.8:{port}"]).check_port("8.8.8.8", port) is None


@pytest.mark.parametrize(
    ("allow", "address", "port"),
    [
        ("10.0.0.0/8", "10.9.8.7", 8080),
        ("10.1.2.3", "10.1.2.3", 1),
        ("10.1.2.3:8080", "10.1.2.3", 8080),
        ("[::1]:8080", "::1", 8080),
        ("::1", "::1", 80),
        ("fd00::/8", "fd12::1", 80),
    ],
)
def test_what_is_allowed_may_be_dialled(allow: str, address: str, port: int):
    assert refusal(Guard([allow]), address, port) == ""
    assert refusal(Guard(), address, port) != "", "it is the list that allows it"


def test_an_allowed_port_allows_no_other():
    with pytest.raises(Refusal):
        Guard(["10.1.2.3:8080"]).check_address("10.1.2.3", 8081)


@pytest.mark.parametrize("wrong", ["", "10.0.0.0/64", "host:0", "host:99999", "a/b", ":80"])
def test_an_allow_list_that_means_nothing_is_refused(wrong: str):
    with pytest.raises(ConfigError, match="allow_private_targets"):
        Guard([wrong])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "http://user:pass@example.com/",
        "https://user@example.com/", "http:///path", "http://exa mple.com/", "http://example.com\\@127.0.0.1/",
        "http://example.com:0/", "http://example.com:99999/", "http://[::1/", "javascript:alert(1)",
        "//example.com/",
        "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::ffff:10.0.0.1]/",
        "http://example.com:25/", "http://8.8.8.8:6379/",
    ],
)  # fmt: skip
def test_an_address_of_forbidden_shape_is_refused_before_it_is_kept(url: str):
    with pytest.raises(ConfigError, match=r"target\.url"):
        Guard().check_url(url)


class Sink:
    """Listens on 127.0.0.1 and ::1 and counts whoever connects."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        first = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = first.sockets[0].getsockname()[1]
        self._servers.append(first)
        try:
            self._servers.append(await asyncio.start_server(self._accept, "::1", self.port))
        except OSError:
            pass  # a machine without IPv6

    def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def stop(self) -> None:
        for server in self._servers:
            server.close()


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    await sink.start()
    yield sink
    await sink.stop()


async def _send(url: str, guard: Guard, resolver: AbstractResolver | None = None) -> UpstreamError | None:
    pool = WebhookPool(guard, Ambient())
    if resolver is not None:
        connector: Any = pool.session.connector
        connector._resolver = resolver
    target = WebhookTarget(pool, {"url": url, "timeout_s": 5}, Secrets())
    try:
        await target.send("", Outgoing("", "id-1", b"{}"), Attempt(1, 1, 1, "a.b", "k", 0))
    except UpstreamError as error:
        return error
    finally:
        await pool.close()
    return None


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_a_private_host_reaches_the_sink(host: str, sink: Sink):
    error = await _send(f"http://{host}:{sink.port}/", Guard())

    assert isinstance(error, Forbidden | Unreachable)
    assert sink.connections == 0


class Rebinding(AbstractResolver):
    """Answers a public address first and the sink's ever after."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked += 1
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
)
async def test_a_name_that_resolves_to_a_private_address_is_refused_at_the_dial(address: str, sink: Sink):
    resolver = Rebinding(address)

    error = await _send(f"http://rebind.example.com:{sink.port}/", Guard(), resolver)

    assert isinstance(error, Forbidden), error
    assert (resolver.asked, sink.connections) == (1, 0)


async def test_a_name_that_changes_its_answer_after_the_look_gains_nothing(sink: Sink):
    guard = Guard()
    guard.check_url(f"http://rebind.example.com:{sink.port}/")  # when it was configured all was well

    error = await _send(f"http://rebind.example.com:{sink.port}/", guard, Rebinding("127.0.0.1"))

    assert isinstance(error, Forbidden)
    assert sink.connections == 0


async def test_a_redirect_into_the_network_is_not_followed(sink: Sink):
    async def redirect(_: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{sink.port}/")

    runner = web.ServerRunner(web.Server(redirect))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    error = await _send(f"http://127.0.0.1:{port}/", Guard([f"127.0.0.1:{port}"]))

    assert isinstance(error, Refused)
    assert "redirect" in str(error)
    assert sink.connections == 0
    await runner.cleanup()


async def test_proxy_variables_of_the_environment_are_not_read(sink: Sink, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{sink.port}")

    error = await _send("http://198.51.100.1:8080/", Guard())

    assert isinstance(error, Forbidden)
    assert sink.connections == 0


async def test_an_allowed_name_may_lead_inside(sink: Sink):
    assert await _send(f"http://localhost:{sink.port}/", Guard([f"localhost:{sink.port}"])) is None
    assert sink.connections == 1


def test_the_library_still_asks_us_for_each_socket():
    """The guard stands on `socket_factory`; an `aiohttp` without it must not go unseen."""
    assert "socket_factory" in (aiohttp.TCPConnector.__init__.__doc__ or "") or (
        "socket_factory" in aiohttp.TCPConnector.__init__.__code__.co_varnames
    )
