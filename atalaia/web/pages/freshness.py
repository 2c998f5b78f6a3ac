"""How fresh each kind of event of a connection is, beside what is usual at this hour of the week."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from atalaia.connections.rhythms import read_rhythm
from atalaia.connections.silence import Fresh, freshness
from atalaia.connectors.connector import Connector
from atalaia.web.i18n import N_

# What connectors call the kinds that they count, see `Connector.rhythms`.
KINDS: Mapping[str, str] = {
    "messages": N_("Messages of others"),
    "acks": N_("Receipts"),
    "own": N_("Own messages"),
    "presence": N_("Presence of contacts"),
    "pages": N_("Page opened or closed"),
    "calls": N_("Calls"),
    "endpoints": N_("States of endpoints"),
    "units": N_("Messages of units"),
    "status": N_("Configuration status of units"),
    "other": N_("Everything else"),
}


def kinds_of(connector: Connector) -> list[str]:
    """Answer what a connector counts; "" is what says nothing of hearing, e.g. our own questions."""
    return [kind for kind in dict.fromkeys(connector.rhythms.values()) if kind]


def fresh_of(
    tx: Connection, connector: Connector | None, connection: str, moment: int, zone: ZoneInfo
) -> list[Fresh]:
    """Answer the kinds that a connector counts, in its order; empty when it counts none."""
    kinds = kinds_of(connector) if connector is not None else []
    return freshness(read_rhythm(tx, connection, moment), kinds, moment, zone) if kinds else []


def verdict(one: Fresh) -> tuple[str, str]:
    """Answer the sign and the word for how fresh a kind is."""
    if one.expected is None:
        return "unknown", N_("not known yet")
    return ("attention", N_("later than usual")) if one.late else ("ok", N_("as usual"))
