"""The web application: routes, the door in front of them, and what runs beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from atalaia.connections.registry import Configured, Registry, Version
from atalaia.deliveries.subscription import list_subscriptions, open_secrets
from atalaia.desk.alerts.channels import learn_channels
from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.events.model import Event
from atalaia.store.bell import LEASES
from atalaia.version import VERSION
from atalaia.web import assets, hooks, intake, problems, render
from atalaia.web.access import TokenCache, Who, forbidden, require, who_of
from atalaia.web.api import health as health_api
from atalaia.web.door import Door
from atalaia.web.health import Health
from atalaia.web.hooks import Hooks
from atalaia.web.i18n import View
from atalaia.web.intake import Intake
from atalaia.web.late import LateRoutes
from atalaia.web.limits import Limiter
from atalaia.web.live import Live, Renderer, may_follow
from atalaia.web.old.traffilog import common as old_common
from atalaia.web.old.traffilog.cors import Cors, OldOrigins
from atalaia.web.old.traffilog.late import OldAddresses
from atalaia.web.parts import Parts
from atalaia.web.problems import MEDIA_TYPE, ProblemDetails, invalid

log = structlog.get_logger(__name__)

TOPIC_CHARS_MAX = 80
TOPICS_MAX = 30


class App(FastAPI):
    """FastAPI with a shorter way for the intake: its own layers cost as much as the event itself."""

    intake: Intake | None = None
    hooks: Hooks | None = None
    old: OldAddresses | None = None
    late: LateRoutes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.intake is not None and scope["type"] == "http" and scope["path"].startswith(intake.PREFIX):
            scope["app"] = self
            await self.intake(scope, receive, send)
            return
        if self.hooks is not None and scope["type"] == "http" and scope["path"].startswith(hooks.PREFIX):
            scope["app"] = self
            await self.hooks(scope, receive, send)
            return
        if self.old is not None and scope["type"] == "http" and self.old.meant_by(scope["path"]):
            self.old.load()
        if self.late is not None and scope["type"] == "http":
            self.late.load_for(scope["path"])
        await super().__call__(scope, receive, send)


def create_app(parts: Parts, routers: Iterable[APIRouter] | None = None) -> FastAPI:
    """Answer the application over these parts.

    routers: the pages; None = all there are. They and the API are loaded at their first call. State for
    routes and templates: `parts`, `ambient`, `zone`, `worlds`, `health` (one word), `live`, `token_cache`,
    `sign_in_limiter`.
    """
    app = App(
        title="Atalaia",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=True,
    )
    cache = TokenCache(parts.tokens, parts.ambient)
    live = Live(parts)
    live.draw("truths", _drawn_truths(parts))
    health = Health(
        parts, lambda word: live.announce("health", lambda language: _draw_health(word, language))
    )
    app.state.parts = parts
    app.state.ambient = parts.ambient
    app.state.zone = parts.settings.zone
    app.state.worlds = ()
    app.state.learned = {}
    app.state.more_worlds = ()  # what somebody added to the app, as the demo does
    app.state.health = health.word
    app.state.health_service = health
    app.state.live = live
    app.state.token_cache = cache
    app.state.sign_in_limiter = Limiter(parts.ambient.clock, parts.settings.sign_ins_per_minute)
    problems.install(app)
    old_common.install(app)
    first = (health_api.routes, _own_routes(app))
    app.state.routers = (*first, *(routers or ()))
    for router in first:
        app.router.routes.extend(router.routes)
    origins = OldOrigins(parts.settings.old_origins)
    app.old = OldAddresses(app, origins)
    for router in routers or ():
        app.router.routes.extend(router.routes)
    static = assets.static_routes()
    app.router.routes.extend(static)
    app.late = LateRoutes(app, static[0], with_pages=routers is None)
    app.openapi = lambda: _openapi(app)
    app.add_middleware(Door, parts=parts, cache=cache, origins=origins)
    app.add_middleware(Cors, allowed=origins)
    app.intake = Intake(parts, cache)
    app.hooks = Hooks(parts)
    return app


def _drawn_truths(parts: Parts) -> Renderer:
    def draw(event: Event, language: str) -> str | None:
        from atalaia.web.pages.wall_many import draw_truth  # somebody looks at it, so it is there already

        return draw_truth(parts, event, language)

    return draw


def _draw_health(word: str, language: str) -> str:
    return render.draw_block(View(language), "_health.html", "health", health=word)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    parts: Parts = app.state.parts
    for secret in parts.settings.secret_values():
        parts.redactor.learn(secret)
    await refresh_worlds(app)
    following = asyncio.create_task(_follow_connections(app))
    app.state.live.start()
    app.state.health_service.start()
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await app.state.health_service.stop()
        await app.state.live.stop()


async def _follow_connections(app: FastAPI) -> None:
    """Refresh when connections change, whoever changed them."""
    bell = app.state.parts.store.bell
    while True:
        rung = bell.count(LEASES)
        await bell.wait(LEASES, rung, at_most_s=60.0)
        await refresh_worlds(app)


async def refresh_worlds(app: FastAPI) -> None:
    """Look which worlds have a connection; learn the secrets of connections and subscriptions."""
    parts: Parts = app.state.parts
    worlds: set[str] = set()
    try:
        for name in await _learn_connections(app):
            if (connector := parts.connectors.get(name)) is not None:
                worlds |= {connector.world, "jobs" if connector.jobs else ""}
        await _learn_subscriptions(parts)
        await parts.store.read(lambda tx: learn_channels(tx, parts.secretbox, parts.redactor))
    except (StoreUnavailable, ConfigError) as error:
        log.warning("worlds.unknown", said=str(error))
        worlds = {"jobs", *(connector.world for connector in parts.connectors.values())}
    app.state.worlds = (*sorted(worlds - {""}), *app.state.more_worlds)


async def _learn_subscriptions(parts: Parts) -> None:
    for one in await parts.store.read(list_subscriptions):
        secrets = open_secrets(parts.secretbox, one)
        for secret in (
            *(text for text, _ in secrets.signing),
            *secrets.headers.values(),
            *secrets.passwords.values(),
        ):
            parts.redactor.learn(secret)


async def _learn_connections(app: FastAPI) -> set[str]:
    """Learn the secrets of the connections that changed; answer the connectors of all."""
    parts: Parts = app.state.parts
    learned: dict[str, Version] = app.state.learned
    current = await parts.store.read(parts.registry.versions)
    changed = [identity for identity, version in current.items() if learned.get(identity) != version]
    if changed:
        for one in await parts.store.read(lambda tx: _readable(tx, parts.registry, changed)):
            parts.learn(one.settings)
            learned[one.id] = current[one.id]
    return {version.connector for version in current.values()}


def _readable(tx: Connection, registry: Registry, wanted: Iterable[str]) -> list[Configured]:
    """Answer those whose settings this version can read; the others are told of elsewhere."""
    found: list[Configured] = []
    for identity in wanted:
        with contextlib.suppress(ConfigError):
            one = registry.get(tx, identity)
            found += [one] if one is not None else []
    return found


def _own_routes(app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/api/openapi.json", include_in_schema=False, dependencies=[Depends(require(""))])
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @router.get("/live", include_in_schema=False)
    async def live(
        request: Request,
        who: Annotated[Who, Depends(require(""))],
        topics: Annotated[str, Query(max_length=TOPIC_CHARS_MAX * TOPICS_MAX)] = "",
        after: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    ) -> Response:
        names = [name.strip() for name in topics.split(",") if name.strip()]
        if not names or len(names) > TOPICS_MAX:
            raise invalid("query.topics", "text", f"Name 1 to {TOPICS_MAX} topics, with commas between.")
        names = [name for name in names if may_follow(name, who.may)]
        if not names:
            raise forbidden("events:read")
        last = request.headers.get("last-event-id", "")
        if last.isdigit() and len(last) < 19:  # a reconnecting browser knows better than its page did
            after = max(int(last), after or 0)
        return await app.state.live.stream(request, who_of(request).id, names, after)

    return router


def _openapi(app: App) -> dict[str, Any]:
    """Answer the API description: FastAPI's own, the intake route, and our shape of errors."""
    if app.openapi_schema is None:
        if app.old is not None:
            app.old.load()
        if app.late is not None:
            app.late.load("api")
        schema = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description="Everything the screens do, for programs. Errors are problem+json (RFC 9457); "
            "times are "
            "RFC 3339 in UTC with milliseconds; lists are paged by opaque cursors; a POST with an "
            "`Idempotency-Key` acts once.",
            routes=app.routes,
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        details = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(details.pop("$defs", {}))
        schemas["ProblemDetails"] = details
        schema["paths"]["/api/intake/{connection}"] = intake.describe()
        _mark_refusals(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _mark_refusals(schema: dict[str, Any]) -> None:
    """Say of every refusal that it is problem+json; FastAPI adds `application/json` beside it."""
    for path in schema["paths"].values():
        for operation in path.values():
            if old_common.TAGS & set(operation.get("tags", ())):
                continue  # these refuse in their old shape, and the door in ours
            for status, answer in operation.get("responses", {}).items():
                if status[:1] in "45" and MEDIA_TYPE in answer.get("content", {}):
                    answer["content"].pop("application/json", None)
