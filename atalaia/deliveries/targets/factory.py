"""Opens targets from what subscriptions say of them, and closes what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from atalaia.ambient import Ambient
from atalaia.deliveries.guard import Guard
from atalaia.deliveries.targets.target import Secrets, ServersOf, Target
from atalaia.deliveries.targets.webhook import WebhookPool, WebhookTarget
from atalaia.errors import ConfigError, Refused

if TYPE_CHECKING:
    from atalaia.deliveries.targets.amqp import AmqpPool


async def no_servers(connection: str) -> Sequence[Mapping[str, Any]]:
    """Stand in where no connection brings AMQP servers."""
    raise Refused(
        f"The connection {connection} brings no RabbitMQ servers.", ask="Name servers in the target."
    )


class Targets:
    """Makes targets; those of one process share connections. `open` is a `TargetFactory`."""

    def __init__(self, ambient: Ambient, guard: Guard, servers_of: ServersOf = no_servers) -> None:
        self.guard = guard
        self._servers_of = servers_of
        self._webhooks = WebhookPool(guard, ambient)
        self._ambient = ambient
        self._brokers: AmqpPool | None = None  # the client's library weighs 6 MB: hubs without a bus spare it

    def open(self, config: Mapping[str, Any], secrets: Secrets) -> Target:
        """Answer the target; nothing is dialled yet. Errors: `ConfigError` for an unknown kind."""
        match config.get("kind"):
            case "webhook":
                return WebhookTarget(self._webhooks, config, secrets)
            case "amqp":
                return self._amqp(config, secrets)
            case other:
                raise ConfigError(f"target.kind holds {str(other)[:40]!r}. Write webhook or amqp.")

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse a target that we would never dial, before it is kept. Errors: `ConfigError`."""
        if config.get("kind") == "webhook":
            self.guard.check_url(str(config.get("url", "")))

    async def close(self) -> None:
        """Close every connection of every target."""
        await self._webhooks.close()
        if self._brokers is not None:
            await self._brokers.close()

    def _amqp(self, config: Mapping[str, Any], secrets: Secrets) -> Target:
        from atalaia.deliveries.targets.amqp import AmqpPool, AmqpTarget

        self._brokers = self._brokers or AmqpPool(self._ambient)
        return AmqpTarget(self._brokers, config, secrets, self._servers_of, _name(config, secrets))


def _name(config: Mapping[str, Any], secrets: Secrets) -> str:
    """Tell targets apart that must not share connections: another topology, server or password."""
    whole = [dict(config), dict(secrets.passwords)]
    return hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()
