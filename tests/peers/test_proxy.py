"""The proxy does to connections what networks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.peers.fixtures import ProxyMaker


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[str]:
    """A server that answers every line with itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except OSError:
            pass  # the proxy cut it
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    return await reader.readline()


async def test_bytes_pass_both_ways_and_are_counted(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    assert await ask(reader, writer, b"hello\n") == b"hello\n"
    assert (proxy.accepted, proxy.connections, proxy.bytes_up, proxy.bytes_down) == (1, 1, 6, 6)

    writer.close()
    await proxy.wait_for_connections(0)


async def test_a_cut_is_a_reset_and_not_an_end_of_file(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await ask(reader, writer, b"hello\n")

    assert proxy.cut() == 1

    with pytest.raises(ConnectionResetError):
        await reader.readline()
    await proxy.wait_for_connections(0)
    writer.close()


async def test_what_comes_during_a_pause_arrives_after_it(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await ask(reader, writer, b"hello\n")

    proxy.pause()
    writer.write(b"still there?\n")
    await writer.drain()
    assert proxy.bytes_down == 6

    proxy.resume()
    assert await reader.readline() == b"still there?\n"
    writer.close()


async def test_what_is_swallowed_never_arrives(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await ask(reader, writer, b"hello\n")

    proxy.swallow()
    writer.write(b"lost\n")
    while proxy.bytes_up < 11:
        await asyncio.sleep(0)
    proxy.pass_on()

    assert await ask(reader, writer, b"kept\n") == b"kept\n"
    writer.close()


async def test_a_refusing_proxy_resets_new_connections_only(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)
    old_reader, old_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await ask(old_reader, old_writer, b"hello\n")

    proxy.refuse()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.readline()

    assert await ask(old_reader, old_writer, b"still\n") == b"still\n"
    writer.close()
    old_writer.close()


async def test_a_url_is_led_through_the_proxy_with_its_login_and_path(echo: str, tcp_proxy: ProxyMaker):
    proxy = await tcp_proxy(echo)

    assert proxy.url("amqp://me:secret@broker:5672/vhost") == f"amqp://me:secret@127.0.0.1:{proxy.port}/vhost"
    assert proxy.url("http://pbx/ari") == f"http://127.0.0.1:{proxy.port}/ari"
