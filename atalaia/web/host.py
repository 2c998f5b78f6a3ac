"""Serves the web interface of one running hub until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from atalaia.clock import to_ms
from atalaia.errors import ConfigError
from atalaia.serve import Hub
from atalaia.web.alerting import tongue_of
from atalaia.web.app import create_app
from atalaia.web.parts import Parts


def parts_of_hub(hub: Hub) -> Parts:
    """Answer what the web needs of the hub's parts."""
    return Parts(
        settings=hub.settings,
        ambient=hub.ambient,
        store=hub.store,
        log=hub.log,
        registry=hub.registry,
        secretbox=hub.secretbox,
        redactor=hub.redactor,
        connectors=hub.connectors,
        formats=hub.formats,
        worker=hub.worker,
        started_ms=to_ms(hub.ambient.clock.now()),
        supervisor=hub.supervisor,
        dispatcher=hub.dispatcher,
        targets=hub.targets,
        folds={one.name: one.types for one in hub.projections},
    )


def listen(host: str, port: int) -> socket.socket:
    """Take the address. Errors: `ConfigError` when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"{host}:{port} cannot be used: {error.strerror}. Give another --port (0 takes a free one)."
        ) from None
    return taken


@asynccontextmanager
async def serving(hub: Hub, door: socket.socket, extend: Callable[[FastAPI], None]) -> AsyncGenerator[str]:
    """Serve on `door` until the end of the block; answers the base URL once it answers requests.

    extend: may add routes to the app before it starts, as the demo does.
    """
    hub.notifier.tongues = tongue_of
    app = create_app(parts_of_hub(hub))
    extend(app)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the door believes only the proxies that the settings name
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[door]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if task.done():
        task.result()
    host, port = door.getsockname()[:2]
    try:
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        app.state.live.end_streams()  # browsers that listen would hold the stop up
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the hub stops its parts in order."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def until_told() -> None:
    """Wait for SIGTERM or SIGINT."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, told.set)
    await told.wait()
