"""The configured connections: settings in the open, secrets sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import Connection, insert, select, update

from atalaia.errors import ConfigError
from atalaia.store.bell import LEASES
from atalaia.store.bulk import fetch_rows
from atalaia.store.store import ring_after
from atalaia.store.tables import connections


class Sealer(Protocol):
    """Encrypts what must not lie open in the database."""

    def seal(self, text: str) -> str: ...

    def open(self, text: str) -> str: ...


@dataclass(frozen=True)
class Configured:
    """One configured connection; `settings` is the connector's model, secrets included."""

    id: str
    connector: str
    name: str
    settings: BaseModel
    desired: str  # on, off
    created_ms: int
    changed_ms: int


class Version(NamedTuple):
    """What tells whether a connection that was read before is still the same."""

    connector: str
    changed_ms: int


@dataclass(frozen=True)
class Registry:
    """Reads and writes connections within a transaction."""

    models: Mapping[str, type[BaseModel]]  # connector name -> settings model
    sealer: Sealer

    def create(
        self,
        tx: Connection,
        identity: str,
        connector: str,
        name: str,
        settings: BaseModel,
        now_ms: int,
        *,
        desired: str = "on",
    ) -> Configured:
        """Save a new connection. The caller appends `connection.created`."""
        opened, sealed = self._split(settings)
        row = {
            "id": identity, "connector": connector, "name": name, "settings": opened, "secrets": sealed,
            "desired": desired, "created_ms": now_ms, "changed_ms": now_ms, "deleted_ms": None,
        }  # fmt: skip
        tx.execute(insert(connections).values(row))
        ring_after(tx, LEASES)
        return Configured(identity, connector, name, settings, desired, now_ms, now_ms)

    def change(
        self,
        tx: Connection,
        identity: str,
        now_ms: int,
        *,
        name: str | None = None,
        settings: BaseModel | None = None,
        desired: str | None = None,
    ) -> None:
        """Change what is given; running sessions are restarted by whoever owns the connection."""
        values: dict[str, Any] = {"changed_ms": now_ms}
        if name is not None:
            values["name"] = name
        if desired is not None:
            values["desired"] = desired
        if settings is not None:
            values["settings"], values["secrets"] = self._split(settings)
        tx.execute(update(connections).where(connections.c.id == identity).values(values))
        ring_after(tx, LEASES)

    def delete(self, tx: Connection, identity: str, now_ms: int) -> None:
        """Take a connection out of use; its events stay in the log."""
        tx.execute(
            update(connections).where(connections.c.id == identity).values(deleted_ms=now_ms, desired="off")
        )
        ring_after(tx, LEASES)

    def get(self, tx: Connection, identity: str) -> Configured | None:
        """Answer one connection that is not deleted."""
        query = select(connections).where(connections.c.id == identity, connections.c.deleted_ms.is_(None))
        row = tx.execute(query).first()
        return self._read(row) if row else None

    def readable(self, tx: Connection, identities: Sequence[str]) -> dict[str, Configured]:
        """Answer those of these connections whose settings can be read, by id."""
        query = select(connections).where(
            connections.c.id.in_(identities), connections.c.deleted_ms.is_(None)
        )
        found: dict[str, Configured] = {}
        for row in tx.execute(query):
            with suppress(ConfigError):
                found[row.id] = self._read(row)
        return found

    def all(self, tx: Connection) -> list[Configured]:
        """Answer every connection that is not deleted, in the order of their names."""
        query = select(connections).where(connections.c.deleted_ms.is_(None)).order_by(connections.c.name)
        return [self._read(row) for row in tx.execute(query)]

    def versions(self, tx: Connection) -> dict[str, Version]:
        """Answer the versions of all that are not deleted, by id: of thousands, few have changed."""
        query = "select id, connector, changed_ms from connections where deleted_ms is null"
        rows = fetch_rows(tx, "id, connector, changed_ms", query)
        return {row[0]: Version(row[1], row[2]) for row in rows}

    def _read(self, row: Any) -> Configured:
        values = json.loads(row.settings) | json.loads(self.sealer.open(row.secrets))
        model = self.models.get(row.connector)
        if model is None:
            raise ConfigError(
                f"The connection “{row.name}” uses the connector “{row.connector}”, "
                "which this version does not have."
            )
        try:
            settings = model.model_validate(values)
        except ValidationError as error:
            # Pydantic's own text shows the values, which may be secrets: name the fields only.
            wrong = ", ".join(str(one["loc"][0]) for one in error.errors() if one["loc"])
            raise ConfigError(
                f"The settings of the connection “{row.name}” are not valid any more ({wrong}). "
                "Correct and save them."
            ) from None
        return Configured(
            row.id, row.connector, row.name, settings, row.desired, row.created_ms, row.changed_ms
        )

    def _split(self, settings: BaseModel) -> tuple[str, str]:
        opened: dict[str, Any] = {}
        secret: dict[str, Any] = {}
        for name, value in settings.model_dump(mode="python").items():
            plain = _revealed(value)
            # A field that holds a secret anywhere is sealed as a whole.
            (secret if plain != value else opened)[name] = plain
        return json.dumps(opened, default=str), self.sealer.seal(json.dumps(secret))


def _revealed(value: Any) -> Any:
    """Answer the value with every secret in it as plain text, for sealing."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: _revealed(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_revealed(one) for one in cast("list[Any]", value)]
    return value
