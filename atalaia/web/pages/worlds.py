"""The screens of what the hub does: now, connections, calls, events, deliveries, alerts, system, search."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.pages import (
    alert,
    alerts,
    call,
    calls,
    catalog_import,
    catalog_sync,
    catalogs,
    connection_setup,
    connections,
    deliveries,
    events,
    gaps,
    installation,
    installation_new,
    installations,
    job,
    job_export,
    job_new,
    jobs,
    now,
    search,
    subscription_setup,
    system,
    vehicle,
    vehicles,
)

# The order matters where an address could be an id: `/connections/new` before `/connections/{connection}`.
ROUTERS: tuple[APIRouter, ...] = (
    now.routes,
    connection_setup.routes,
    connections.routes,
    calls.routes,
    call.routes,
    events.routes,
    gaps.routes,
    subscription_setup.routes,
    deliveries.routes,
    jobs.routes,
    job_export.routes,
    job_new.routes,
    job.routes,
    vehicles.routes,
    vehicle.routes,
    installations.routes,
    installation_new.routes,
    installation.routes,
    catalog_import.routes,
    catalog_sync.routes,
    catalogs.routes,
    alerts.routes,
    alert.routes,
    system.routes,
    search.routes,
)
