"""Loads the screens and the API at the first call of one: a hub that nobody asks does not need them."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from starlette.routing import BaseRoute

API = "/api/"
# What is neither a screen nor the API; everything else may be a screen.
PREFIXES = ("/health", "/hooks/", "/live", "/metrics", "/static/", "/favicon.ico")


class LateRoutes:
    """Where these routes belong among those of an app, and which are there yet.

    with_pages: whether the screens are loaded, too; otherwise the app has pages of its own.
    """

    def __init__(self, app: FastAPI, before: BaseRoute, *, with_pages: bool) -> None:
        self._app = app
        self._before = before
        self._waiting = {"api", "pages"} if with_pages else {"api"}

    def load_for(self, path: str) -> None:
        """Put those routes in that a path may mean."""
        if path.startswith(API):
            self.load("api")
        elif not path.startswith(PREFIXES):
            self.load("pages")

    def load(self, what: Literal["api", "pages"]) -> None:
        """Put routes in, once."""
        if what not in self._waiting:
            return
        self._waiting.discard(what)
        if what == "api":
            from atalaia.web.api.routers import ROUTERS as API_ROUTERS

            routers = API_ROUTERS
        else:
            from atalaia.web.pages import ROUTERS as PAGE_ROUTERS

            routers = PAGE_ROUTERS
        routes = self._app.router.routes
        place = routes.index(self._before)
        # `include_router` would build each of them a second time
        routes[place:place] = [route for router in routers for route in router.routes]
        self._app.state.routers = (*self._app.state.routers, *routers)
