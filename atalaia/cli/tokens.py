"""`atalaia tokens`: API tokens for programs, from the machine on which the hub runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    Json,
    now_ms,
    pick,
    print_json,
    print_rows,
    say,
    time_of,
    with_settings,
    with_store,
)
from atalaia.desk.people.model import Token
from atalaia.desk.people.roles import SCOPES
from atalaia.desk.people.rows import list_tokens
from atalaia.desk.people.tokens import Tokens
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="API tokens for programs.", no_args_is_help=True)


@app.command("list")
@with_settings
def list_(settings: Settings, as_json: Json = False) -> None:
    """List tokens with what they may do and when they were last used."""
    rows = [_told(one) for one in with_store(settings, lambda store: store.read(list_tokens))]
    print_rows(
        rows,
        ["name", "scopes", "last used", "state", "id"],
        lambda row: [
            row["name"],
            " ".join(row["scopes"]),
            row["used_at"] or "never",
            row["state"],
            row["id"],
        ],
        "No tokens yet. Make one: bin/atalaia tokens make NAME --scope events:write",
        as_json=as_json,
    )


@app.command("make")
@with_settings
def make(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="What uses it, e.g. portal.")],
    scopes: Annotated[
        list[str], typer.Option("--scope", help=f"May be given several times: {', '.join(SCOPES)}.")
    ],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it ends; else it does not.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it. It cannot be shown again."""
    expires_ms = now_ms() + days * 86_400_000 if days else None

    async def work(store: Store) -> tuple[Token, str]:
        return await Tokens(store, Ambient()).make(name, scopes, by=BY, expires_ms=expires_ms)

    token, secret = with_store(settings, work)
    if as_json:
        print_json([{**_told(token), "token": secret}])
    else:
        say(secret)


@app.command("revoke")
@with_settings
def revoke(
    settings: Settings,
    token: Annotated[str, typer.Argument(help="Name or id of the token.")],
) -> None:
    """Make a token useless. Other workers notice within seconds."""

    async def work(store: Store) -> str:
        living = [one for one in await store.read(list_tokens) if one.revoked_ms is None]
        one = pick(living, token, "token")
        await Tokens(store, Ambient()).revoke(one.id, by=BY)
        return one.name

    say(f"The token “{with_store(settings, work)}” is revoked.")


def _told(one: Token) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "scopes": list(one.scopes),
        "hint": one.hint,
        "created_at": time_of(one.created_ms),
        "expires_at": time_of(one.expires_ms),
        "used_at": time_of(one.used_ms),
        "state": _state(one),
    }


def _state(one: Token) -> str:
    if one.revoked_ms is not None:
        return "revoked"
    return "expired" if one.expires_ms is not None and one.expires_ms <= now_ms() else "good"
