"""The routers of the old clients' addresses, in their order."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.old.traffilog import (
    admin,
    auth,
    can_probes,
    catalogs,
    clients,
    events,
    gone,
    installations,
    jobs,
    photos,
    scheme_builder,
    session_token,
    worker,
)

# In this order: fixed words in a path come before ids.
ROUTERS: tuple[APIRouter, ...] = (
    gone.routes,
    worker.routes,
    jobs.routes,
    scheme_builder.routes,
    session_token.routes,
    installations.routes,
    can_probes.routes,
    clients.routes,
    auth.routes,
    events.routes,
    photos.routes,
    admin.routes,
    catalogs.routes,
)
