"""A RabbitMQ of our own for the length of a bench, as the baseline to be measured against."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika

from atalaia.bench.common import percentile, say

_BIN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_NAME = "RabbitMQ quorum queue, persistent messages, publisher confirms"


def is_installed() -> bool:
    """Answer whether this machine has RabbitMQ's server."""
    return _BIN.exists()


async def quorum_publishes(size: int, *, in_flight: int, seconds: float) -> dict[str, Any]:
    """Publish confirmed messages of `size` bytes to a quorum queue; answer figures, or why there are none."""
    if not is_installed():
        return {"name": _NAME, "not_run": "rabbitmq-server is not installed"}
    try:
        async with broker() as url:
            took, count, duration = await _publish(url, size, in_flight, seconds)
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
        return {"name": _NAME, "not_run": f"{type(error).__name__}: {error}"}
    return {
        "name": _NAME,
        "in_flight": in_flight,
        "events_per_s": round(count / duration),
        "p50_ms": round(percentile(took, 0.5) * 1000, 2),
        "p99_ms": round(percentile(took, 0.99) * 1000, 2),
    }


async def _publish(url: str, size: int, in_flight: int, seconds: float) -> tuple[list[float], int, float]:
    took: list[float] = []
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue("bench", durable=True, arguments={"x-queue-type": "quorum"})
        body, end = b"x" * size, time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, queue.name)
                took.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*[one() for _ in range(in_flight)])
        return took, len(took), time.perf_counter() - began


@asynccontextmanager
async def broker(*vhosts: str) -> AsyncGenerator[str]:
    """Run a RabbitMQ on free ports with data of its own and these vhosts; answers its URL."""
    folder = Path(tempfile.mkdtemp(prefix="atalaia-bench-rabbit-"))
    port, distribution, mapper = _free_port(), _free_port(), _free_port()
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\n")
    (folder / "plugins").write_text("[].\n")
    env = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"bench-{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    say("baseline: starting a RabbitMQ")
    process = await asyncio.create_subprocess_exec(
        str(_BIN), env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        await _wait_for_port(port)
        for vhost in vhosts:
            await _ctl(env, "add_vhost", vhost)
            await _ctl(env, "set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stop = await asyncio.create_subprocess_exec(
            "epmd", "-port", str(mapper), "-kill",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await stop.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _ctl(env: dict[str, str], *words: str) -> None:
    command = str(_BIN.with_name("rabbitmqctl"))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(command, *words, env=env, stdout=quiet, stderr=quiet)
    if await process.wait():
        raise OSError(f"rabbitmqctl {words[0]} failed")


async def _wait_for_port(port: int) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.2)
            continue
        writer.close()
        return
    raise TimeoutError("RabbitMQ did not open its port within a minute")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
