"""A hub made ready to be measured: an intake, a token, and what it delivers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.deliveries.subscription import create_subscription
from atalaia.desk.people.tokens import Tokens
from atalaia.serve import build
from atalaia.settings import load_settings


@dataclass(frozen=True)
class Ground:
    """What was made: the ids of the connections in the order asked for, and a token for all of them."""

    connections: tuple[str, ...]
    token: str


async def prepare(
    folder: Path,
    connections: Sequence[tuple[str, str, BaseModel]],
    subscriptions: Sequence[Mapping[str, Any]] = (),
    *,
    database_url: str | None = None,
) -> Ground:
    """Make a database with these connections (connector, name, settings) and subscriptions, and close it."""
    ambient = Ambient()
    hub = await build(load_settings(data_dir=folder, database_url=database_url), CONNECTORS, ambient)
    setup = Setup(hub.registry, ambient, hub.secretbox, hub.connectors, hub.formats)

    def work(tx: Connection) -> tuple[str, ...]:
        made = [setup.create(tx, kind, name, settings, by="bench").id for kind, name, settings in connections]
        for given in subscriptions:
            create_subscription(tx, ambient, hub.secretbox, given, formats=hub.formats)
        return tuple(made)

    try:
        identities = await hub.store.write(work)
        _, secret = await Tokens(hub.store, ambient).make(
            "bench", ["events:write", "events:read", "system:read"]
        )
    finally:
        await hub.targets.close()
        await hub.store.close()
    return Ground(identities, secret)


def up_words(folder: Path, *more: str) -> list[str]:
    """Answer the words that start a hub on this folder on a free port."""
    return ["atalaia", "up", "--data-dir", str(folder), "--port", "0", "--json", *more]
