"""The portal for the old clients' questions: our account, held as jobs hold it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar, cast

from fastapi import Request

from atalaia.clock import to_ms, within
from atalaia.connections.registry import Configured
from atalaia.connectors.traffilog.portal import people
from atalaia.connectors.traffilog.portal.client import Portal, account_of, section_of
from atalaia.connectors.traffilog.portal.people import Client
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.errors import ConfigError, StoreUnavailable, UpstreamError
from atalaia.jobs.section import hold
from atalaia.store.sealed import get_value, set_value
from atalaia.web.old.traffilog.common import OldRefusal
from atalaia.web.parts import Parts, parts_of

T = TypeVar("T")

# A job that reads everything may hold the account for minutes; nobody at a screen waits that long.
PATIENCE_S = 90.0
CLIENTS_FOR_S = 300.0


@dataclass
class Cache:
    """Lists of companies by connection, each with the monotonic second until which it is believed."""

    clients: dict[str, tuple[float, list[Client]]] = field(
        default_factory=dict[str, tuple[float, list[Client]]]
    )


async def ask_portal(parts: Parts, connection: Configured, work: Callable[[Portal], Awaitable[T]]) -> T:
    """Answer what `work` finds with our account of the portal.

    Errors: `OldRefusal` 409 without a portal; 502 `portal_busy`, or what the portal says.
    """
    settings = cast("TraffilogSettings", connection.settings)
    if not settings.portal_url:
        raise OldRefusal(409, "not_configured", detail="The telematics connection has no portal.")

    name, account, box = section_of(settings), account_of(settings), parts.secretbox

    async def use() -> T:
        async with hold(parts.store, parts.ambient, name):
            with suppress(ConfigError):  # sealed with a key that is gone
                account.take_over(await parts.store.read(lambda tx: get_value(tx, box, name)))
            mark = account.mark()
            try:
                async with Portal(settings, account, parts.ambient) as portal:
                    return await work(portal)
            finally:
                if account.mark() != mark:
                    text, now = account.to_text(), to_ms(parts.ambient.clock.now())
                    await parts.store.write(
                        lambda tx: set_value(tx, box, name, text, by="old clients", now_ms=now)
                    )

    try:
        return await within(parts.ambient.clock, PATIENCE_S, use())
    except TimeoutError:
        raise OldRefusal(502, "portal_busy", detail="The portal's account is in use.") from None
    except StoreUnavailable:
        raise
    except UpstreamError as error:
        raise OldRefusal(502, "portal_down", detail=parts.redactor.text(str(error))) from None


async def companies(request: Request, connection: Configured) -> tuple[list[Client], bool]:
    """Answer the portal's companies, and whether they were known already; believed for five minutes.

    Errors: as `ask_portal`.
    """
    parts = parts_of(request)
    cache: Cache = request.app.state.old_clients
    now = parts.ambient.clock.monotonic()
    known = cache.clients.get(connection.id)
    if known is not None and known[0] > now:
        return known[1], True
    found = await ask_portal(parts, connection, people.clients)
    cache.clients[connection.id] = (now + CLIENTS_FOR_S, found)
    return found, False
