"""`atalaia people`: who may sign in, and a way back in when nobody can."""

from __future__ import annotations

from typing import Annotated

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    Json,
    console,
    print_json,
    print_table,
    settings_of,
    with_store,
)
from atalaia.desk.people.people import People
from atalaia.desk.people.rows import list_people
from atalaia.desk.people.sessions import Sessions
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="People and one-time sign-in links.", no_args_is_help=True)


@app.command("list")
def list_(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, config: Config = None, as_json: Json = False
) -> None:
    """List who may sign in."""
    settings = settings_of(data_dir, database_url, config)
    found = with_store(settings, lambda store: store.read(list_people))
    rows = [
        {"email": one.email, "name": one.name, "role": one.role, "disabled": one.disabled_ms is not None}
        for one in found
    ]
    if as_json:
        print_json(rows)
        return
    empty = "Nobody yet. Start the hub: it prints a link that makes the first administrator."
    print_table(["e-mail", "name", "role", "disabled"], [list(row.values()) for row in rows], empty)


@app.command("link")
def link(
    email: Annotated[str, typer.Argument(help="Whose link; leave out for the first administrator.")] = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Print a one-time link that signs somebody in, also when the password is lost."""
    settings = settings_of(data_dir, database_url, config)
    secret = with_store(settings, lambda store: _link(store, settings, email))
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    console.print(f"{base}/link/{secret}", markup=False, soft_wrap=True)


async def _link(store: Store, settings: Settings, email: str) -> str:
    ambient = Ambient()
    people = People(store, ambient, settings, Sessions(store, ambient, settings))
    if email:
        return await people.link_for(email)
    secret = await people.first_link()
    if secret is None:
        raise typer.BadParameter("There is an administrator already. Say whose link: people link E-MAIL")
    return secret
