"""`atalaia up`: the hub alone."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
import uvloop
from fastapi import FastAPI

from atalaia import logs
from atalaia.cli.common import Config, DatabaseUrl, DataDir, console, errors, fail, settings_of
from atalaia.collector import spare_the_collector
from atalaia.connectors import CONNECTORS
from atalaia.desk.people.people import People
from atalaia.desk.people.sessions import Sessions
from atalaia.errors import AtalaiaError
from atalaia.redact import Redactor
from atalaia.serve import Hub, running
from atalaia.settings import Settings
from atalaia.web.host import listen, serving, until_told

AsJson = Annotated[bool, typer.Option("--json", help="Say where it is as one JSON object, for scripts.")]


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Start the hub and serve its screens until it is stopped."""
    settings = settings_of(data_dir, database_url, config, host=host, port=port)
    logs.configure(settings, Redactor(settings.secret_values()))
    try:
        uvloop.run(_up(settings, as_json))
    except AtalaiaError as error:
        fail(str(error))


async def _up(settings: Settings, as_json: bool) -> None:
    door = listen(settings.host, settings.port)
    async with running(settings, CONNECTORS) as hub, serving(hub, door, _as_it_is) as url:
        await greet(hub, url, as_json=as_json)
        spare_the_collector()
        await until_told()
        if not as_json:
            errors.print("Stopping …")


async def greet(hub: Hub, url: str, *, as_json: bool, more: dict[str, str] | None = None) -> None:
    """Say where the hub is and, as long as nobody can sign in, with which link."""
    people = People(hub.store, hub.ambient, hub.settings, Sessions(hub.store, hub.ambient, hub.settings))
    secret = await people.first_link()
    base = hub.settings.public_url or url
    link = f"{base}/welcome/{secret}" if secret else ""
    if as_json:
        sys.stdout.write(json.dumps({"url": url, "sign_in": link, **(more or {})}) + "\n")
        sys.stdout.flush()
        return
    console.print(f"Atalaia is at {base}", markup=False, soft_wrap=True)
    if link:
        console.print(f"Sign in (works once): {link}", markup=False, soft_wrap=True)
    for name, value in (more or {}).items():
        console.print(f"{name.replace('_', ' ').capitalize()}: {value}", markup=False, soft_wrap=True)
    console.print("Stop with Ctrl C.", markup=False)


def _as_it_is(_: FastAPI) -> None:
    """Add nothing."""
