"""Set up, change and remove connections, with the subscriptions that come with them; each is a fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.registry import Configured, Registry, Sealer
from atalaia.connectors.connector import Connector
from atalaia.deliveries.formats import Format
from atalaia.deliveries.subscription import (
    change_subscription,
    create_subscription,
    delete_subscription,
    list_subscriptions,
)
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact


@dataclass(frozen=True)
class Setup:
    """What setting up needs; `by` in its methods names the person or token that asked."""

    registry: Registry
    ambient: Ambient
    box: Sealer
    connectors: Mapping[str, Connector]
    formats: Mapping[str, Format]

    def read(self, connector: str, given: Mapping[str, Any], *, before: BaseModel | None = None) -> BaseModel:
        """Read settings as a form or an API call gives them; an empty secret keeps the one before.

        Errors: `ConfigError` naming each wrong field, the kind of its value and the remedy, never the value.
        """
        model = self.connector(connector).settings
        values = dict(given)
        for name, field in model.model_fields.items():
            if before is not None and "Secret" in str(field.annotation) and not values.get(name):
                values[name] = getattr(before, name)
        try:
            return model.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    def connector(self, name: str) -> Connector:
        """Answer a connector by name. Errors: `ConfigError`."""
        found = self.connectors.get(name)
        if found is None:
            raise ConfigError(
                f"connector “{name}” does not exist. Known: {', '.join(sorted(self.connectors))}."
            )
        return found

    def create(
        self, tx: Connection, connector: str, name: str, settings: BaseModel, *, by: str, desired: str = "on"
    ) -> Configured:
        """Save a connection and what is delivered of it."""
        now = to_ms(self.ambient.clock.now())
        identity = self.ambient.ids.new()
        made = self.registry.create(tx, identity, connector, name, settings, now, desired=desired)
        self._bring_subscriptions(tx, made, now)
        data = {"name": name, "connector": connector, "by": by}
        self._tell(tx, Fact("connection.created", identity, now, data))
        return made

    def change(
        self,
        tx: Connection,
        identity: str,
        *,
        by: str,
        name: str | None = None,
        settings: BaseModel | None = None,
        desired: str | None = None,
    ) -> Configured:
        """Change what is given. Errors: `ConfigError` when there is no such connection."""
        before = self._get(tx, identity)
        now = max(to_ms(self.ambient.clock.now()), before.changed_ms + 1)
        self.registry.change(tx, identity, now, name=name, settings=settings, desired=desired)
        after = self._get(tx, identity)
        self._bring_subscriptions(tx, after, now)
        fields = _changed(before, after)
        self._tell(
            tx, Fact("connection.changed", identity, now, {"name": after.name, "fields": fields, "by": by})
        )
        return after

    def delete(self, tx: Connection, identity: str, *, by: str) -> None:
        """Take a connection out of use, with the subscriptions it brought; its events and calls stay."""
        before = self._get(tx, identity)
        now = to_ms(self.ambient.clock.now())
        for subscription in list_subscriptions(tx, managed_by=identity):
            delete_subscription(tx, self.ambient, subscription.id)
        self.registry.delete(tx, identity, now)
        self._tell(tx, Fact("connection.deleted", identity, now, {"name": before.name, "by": by}))

    def _bring_subscriptions(self, tx: Connection, made: Configured, now: int) -> None:
        """Make or refresh the subscriptions that the connector's settings ask for."""
        declare = self.connectors[made.connector].subscriptions
        wanted = {one["name"]: one for one in (declare(made.settings) if declare else [])}
        existing = {one.name: one for one in list_subscriptions(tx, managed_by=made.id)}
        for name, one in wanted.items():
            given = _bound(one, made.id)
            if name in existing:
                change_subscription(
                    tx, self.ambient, self.box, existing[name].id, given, formats=self.formats
                )
                continue
            created = create_subscription(
                tx, self.ambient, self.box, given, formats=self.formats, managed_by=made.id
            )
            data = {"name": name, "by": f"connection {made.name}"}
            self._tell(tx, Fact("subscription.created", created.subscription.id, now, data))

    def _get(self, tx: Connection, identity: str) -> Configured:
        found = self.registry.get(tx, identity)
        if found is None:
            raise ConfigError("There is no such connection. It may have been deleted.")
        return found

    def _tell(self, tx: Connection, fact: Fact) -> None:
        append_facts(tx, self.ambient, "setup", [fact])


def _bound(declared: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """Fill in the connection's id, which the connector could not know when it declared the subscription."""
    target = dict(declared["target"])
    if target.get("servers_from") == "connection":
        target["servers_from"] = f"connection:{identity}"
    return {**declared, "target": target, "filter": {**declared.get("filter", {}), "connection": identity}}


def _changed(before: Configured, after: Configured) -> list[str]:
    fields = ["name"] if before.name != after.name else []
    fields += ["desired"] if before.desired != after.desired else []
    for name in type(after.settings).model_fields:
        old, new = getattr(before.settings, name, None), getattr(after.settings, name)
        if _plain(old) != _plain(new):
            fields.append(name)
    return fields


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _explain(error: ValidationError) -> str:
    lines: list[str] = []
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"]) or "settings"
        said = one["msg"].removeprefix("Value error, ")
        lines.append(f"{name} holds a {type(one['input']).__name__} that does not fit: {said}.")
    return "\n".join(lines)
