"""All modules of the JSON API. Health is there from the start, the others with the first call; see `late`."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.api import (
    alert_desk,
    alerts,
    calls,
    catalogs,
    chats,
    chats_send,
    connections,
    deliveries,
    events,
    installations,
    jobs,
    pairing,
    people,
    photos,
    system,
    vehicles,
)

ROUTERS: tuple[APIRouter, ...] = (
    events.routes,
    calls.routes,
    connections.routes,
    pairing.routes,
    deliveries.routes,
    jobs.routes,
    jobs.asking,
    vehicles.routes,
    installations.routes,
    photos.routes,
    catalogs.routes,
    chats.routes,
    chats_send.routes,
    alerts.routes,
    alert_desk.routes,
    people.routes,
    system.routes,
)
