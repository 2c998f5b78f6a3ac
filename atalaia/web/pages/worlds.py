"""The screens of what the hub does: now, connections, calls, events, deliveries, alerts, system, search."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.pages import call, calls, connection_setup, connections, events, now

# The order matters where an address could be an id: `/connections/new` before `/connections/{connection}`.
ROUTERS: tuple[APIRouter, ...] = (
    now.routes,
    connection_setup.routes,
    connections.routes,
    calls.routes,
    call.routes,
    events.routes,
)
