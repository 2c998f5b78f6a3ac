"""`atalaia people`: who may sign in, and a way back in when nobody can."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    Json,
    print_rows,
    say,
    time_of,
    with_settings,
    with_store,
)
from atalaia.desk.people.people import People
from atalaia.desk.people.rows import find_person, list_people
from atalaia.desk.people.sessions import Sessions
from atalaia.errors import ConfigError
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="People and one-time sign-in links.", no_args_is_help=True)


@app.command("list")
@with_settings
def list_(settings: Settings, as_json: Json = False) -> None:
    """List who may sign in."""
    found = with_store(settings, lambda store: store.read(list_people))
    rows: list[dict[str, Any]] = [
        {
            "email": one.email,
            "name": one.name,
            "role": one.role,
            "disabled": one.disabled_ms is not None,
            "invited": not one.has_password,
            "seen_at": time_of(one.seen_ms),
        }
        for one in found
    ]
    print_rows(
        rows,
        ["e-mail", "name", "role", "last seen", ""],
        lambda row: [
            row["email"], row["name"], row["role"], row["seen_at"] or "never",
            _state(row["disabled"], row["invited"]),
        ],
        "Nobody yet. Start the hub: it prints a link that makes the first administrator.",
        as_json=as_json,
    )  # fmt: skip


@app.command("link")
@with_settings
def link(
    settings: Settings,
    email: Annotated[str, typer.Argument(help="Whose link; leave out for the first administrator.")] = "",
    new_password: Annotated[
        bool,
        typer.Option(
            "--new-password", help="End the old password and all sessions; the link asks for a new one."
        ),
    ] = False,
) -> None:
    """Print a one-time link that signs somebody in, also when the password is lost."""
    secret = with_store(settings, lambda store: _link(store, settings, email, new_password))
    say(_url(settings, secret))


@app.command("invite")
@with_settings
def invite(
    settings: Settings,
    email: Annotated[str, typer.Argument(help="The new person's e-mail address.")],
    name: Annotated[str, typer.Argument(help="The name shown to the others.")],
    role: Annotated[
        str,
        typer.Option(
            help="viewer looks, technician installs units, agent also sends again, admin does everything."
        ),
    ] = "viewer",
) -> None:
    """Add a person and print the one-time link with which they set their password."""

    async def work(store: Store) -> str:
        _, secret = await _people(store, settings).invite(email, name, role, by=BY)
        return secret

    say(_url(settings, with_store(settings, work)))


async def _link(store: Store, settings: Settings, email: str, new_password: bool) -> str:
    people = _people(store, settings)
    if email and new_password:
        found = await store.read(lambda tx: find_person(tx, email))
        if found is None:
            raise ConfigError(
                f"There is nobody with the e-mail address {email}. See bin/atalaia people list."
            )
        return await people.invite_again(found[0].id, by=BY)
    if email:
        return await people.link_for(email, by=BY)
    secret = await people.first_link()
    if secret is None:
        raise ConfigError("There is an administrator already. Say whose link: bin/atalaia people link E-MAIL")
    return secret


def _people(store: Store, settings: Settings) -> People:
    ambient = Ambient()
    return People(store, ambient, settings, Sessions(store, ambient, settings))


def _url(settings: Settings, secret: str) -> str:
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    return f"{base}/welcome/{secret}"


def _state(disabled: bool, invited: bool) -> str:
    return "disabled" if disabled else "invited, no password yet" if invited else ""
