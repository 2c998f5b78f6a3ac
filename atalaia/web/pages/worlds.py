"""The screens of what the hub does: now, connections, calls, events, deliveries, alerts, system, search."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.pages import (
    alerts,
    call,
    calls,
    connection_setup,
    connections,
    deliveries,
    events,
    now,
    search,
    subscription_setup,
    system,
)

# The order matters where an address could be an id: `/connections/new` before `/connections/{connection}`.
ROUTERS: tuple[APIRouter, ...] = (
    now.routes,
    connection_setup.routes,
    connections.routes,
    calls.routes,
    call.routes,
    events.routes,
    subscription_setup.routes,
    deliveries.routes,
    alerts.routes,
    system.routes,
    search.routes,
)
