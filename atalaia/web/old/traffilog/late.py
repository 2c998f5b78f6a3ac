"""Loads the old clients' addresses at the first call of one: most hubs have no such clients."""

from __future__ import annotations

from fastapi import FastAPI

from atalaia.web.old.traffilog.cors import OldOrigins

# With what their paths begin. Nothing of the hub's own begins so but the pages of events, which have numbers.
PREFIXES = (
    "/api/admin", "/api/auth", "/api/can-probes", "/api/clients", "/api/installations", "/api/jobs",
    "/api/monitor", "/api/photos", "/api/scheme-builder", "/api/session", "/api/worker",
)  # fmt: skip
# The old WhatsApp gateway's.
GATEWAY = (
    "/api/available-sessions", "/api/channels", "/api/media/", "/api/messages", "/api/webhooks",
    "/api/whatsapp/",
)  # fmt: skip
_ALIAS = "/contact/pn-lid/"
_EVENTS = "/events/"


class OldAddresses:
    """Where the old clients' routes belong among those of an app, and whether they are there yet."""

    def __init__(self, app: FastAPI, origins: OldOrigins) -> None:
        self._app = app
        self._origins = origins
        self._place = len(app.router.routes)
        self._loaded = False

    def meant_by(self, path: str) -> bool:
        """Answer whether a path may be one of them."""
        if path.startswith((*PREFIXES, *GATEWAY)) or _ALIAS in path:
            return True
        return path.startswith(_EVENTS) and not path[len(_EVENTS) :].isdecimal()

    def load(self) -> None:
        """Put their routes in, once."""
        if self._loaded:
            return
        self._loaded = True
        from atalaia.web.old.gateway import channels, messages, webhook
        from atalaia.web.old.traffilog.portal import Cache
        from atalaia.web.old.traffilog.routes import ROUTERS as TELEMATICS

        # In this order: fixed words in a path come before ids.
        routers = (*TELEMATICS, webhook.routes, messages.routes, channels.routes)

        self._app.state.old_clients = Cache()
        found = [route for router in routers for route in router.routes]
        self._app.router.routes[self._place : self._place] = found
        self._app.state.routers = (*routers, *self._app.state.routers)
        self._origins.learn(routers)
