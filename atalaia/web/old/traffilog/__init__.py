"""The API of the older telematics software, both generations, on the hub's own parts. Contract §12.

Which address does what here, and what is stricter: docs/reference/old-clients.md.
"""

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
