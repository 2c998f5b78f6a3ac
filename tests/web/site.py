"""A whole site on a real port: what the tests of the web ask their questions."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field, SecretStr

from atalaia.ambient import Ambient
from atalaia.connections.registry import Registry
from atalaia.connections.session import CheckStep
from atalaia.connectors.connector import Connector
from atalaia.connectors.intake import CONNECTOR as INTAKE
from atalaia.connectors.setup import Setup
from atalaia.deliveries.formats import CloudEventsFormat
from atalaia.desk.people.roles import SCOPES
from atalaia.events.log import EventLog
from atalaia.events.policy import Policies
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox, new_key
from atalaia.settings import Settings
from atalaia.store.connect import open_store
from atalaia.web.app import create_app
from atalaia.web.parts import Parts
from tests.web.toys import PAINT, WASH

EMAIL, PASSWORD = "ana@example.com", "a sentence to remember"


class ToySettings(BaseModel):
    """Settings of a connector that only tests know."""

    url: str = Field(description="Address")
    password: SecretStr = Field(SecretStr(""), description="Password")


async def check_toy(settings: Any, ambient: Ambient) -> list[CheckStep]:
    """Say no in words that hold the secret, as a careless upstream would."""
    secret = settings.password.get_secret_value()
    said = f"401 from {settings.url}: user toy with password {secret} refused"
    return [CheckStep("sign in", "failed", said, "Correct the password.", {"sent": {"password": secret}})]


TOY = Connector("toy", "Toy", ToySettings, None, check=check_toy, world="calls", jobs=(PAINT, WASH))


@dataclass
class Site:
    """A running site."""

    url: str
    app: FastAPI
    parts: Parts
    sessions: list[aiohttp.ClientSession] = field(default_factory=list[aiohttp.ClientSession])

    def client(self, token: str = "", **headers: str) -> aiohttp.ClientSession:
        """Answer a client of its own, with a token if one is given."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        jar = aiohttp.CookieJar(unsafe=True)
        session = aiohttp.ClientSession(self.url, headers=headers, cookie_jar=jar)
        self.sessions.append(session)
        return session

    async def api(self, *scopes: str) -> aiohttp.ClientSession:
        """Answer a client whose token has these scopes, or all."""
        _, secret = await self.parts.tokens.make("test", scopes or tuple(SCOPES))
        return self.client(secret)

    async def person(self, role: str = "admin", email: str = EMAIL) -> None:
        """Make somebody who may sign in."""
        await self.parts.people.create(email, "Ana", role, PASSWORD)

    async def browser(self, role: str = "admin", email: str = EMAIL) -> Browser:
        """Answer a signed-in browser of a fresh person."""
        await self.person(role, email)
        browser = Browser(self.client(Accept="text/html"))
        async with browser.http.post("/sign-in", data={"email": email, "password": PASSWORD}) as answer:
            assert answer.status == 200, await answer.text()
        return browser

    async def connection(self, connector: str = "intake", **settings: Any) -> str:
        """Set a connection up; answer its id."""
        setup = Setup(
            self.parts.registry,
            self.parts.ambient,
            self.parts.secretbox,
            self.parts.connectors,
            self.parts.formats,
        )
        read = setup.read(connector, settings)
        made = await self.parts.store.write(lambda tx: setup.create(tx, connector, "Door", read, by="test"))
        return made.id


@dataclass
class Browser:
    """A browser that reads the token of its pages and sends it with each form, as people's do."""

    http: aiohttp.ClientSession

    async def csrf(self, page: str = "/settings/me") -> str:
        """Answer the token on a page."""
        async with self.http.get(page) as answer:
            text = await answer.text()
        found = re.search(r'name="csrf" value="([^"]+)"', text)
        assert found is not None, text[:2000]
        return found.group(1)

    async def post(
        self, path: str, data: Mapping[str, str] | None = None, **headers: str
    ) -> aiohttp.ClientResponse:
        """Send a form with the token."""
        form = {"csrf": await self.csrf(), **(data or {})}
        return await self.http.post(path, data=form, headers=headers)


@asynccontextmanager
async def running(
    folder: Path, ambient: Ambient, database_url: str = "", *, more: Sequence[Connector] = (), **settings: Any
) -> AsyncIterator[Site]:
    """Run a site with its own database until the block ends. more: connectors beside the usual ones."""
    settings = {"requests_per_minute": 100_000, "data_dir": folder, **settings}
    given = Settings(**settings)
    store = await open_store(database_url, folder)
    connectors = {"intake": INTAKE, "toy": TOY, **{one.name: one for one in more}}
    box = SecretBox([new_key()])
    parts = Parts(
        settings=given,
        ambient=ambient,
        store=store,
        log=EventLog(store, ambient, Policies({}, {})),
        registry=Registry({name: one.settings for name, one in connectors.items()}, box),
        secretbox=box,
        redactor=Redactor(given.secret_values()),
        connectors=connectors,
        formats={"cloudevents": CloudEventsFormat()},
    )
    app = create_app(parts)
    try:
        async with serving(app) as url:
            site = Site(url, app, parts)
            try:
                yield site
            finally:
                for session in site.sessions:
                    await session.close()
    finally:
        await store.close()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app on a free port; answer its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="none", proxy_headers=False)
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]  # pytest keeps its own
    task = asyncio.create_task(server.serve([listener]))
    while not server.started and not task.done():
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        live = getattr(app.state, "live", None)
        if live is not None:
            live.end_streams()
        server.should_exit = True
        await task
        listener.close()


class _no_signals:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
