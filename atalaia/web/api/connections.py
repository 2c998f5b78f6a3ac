"""Connections: the truth about them, setting up, testing before saving, switching, removing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field, SecretStr

from atalaia.clock import to_ms
from atalaia.connections import queries, recoveries
from atalaia.connections.queries import ConnectionSeen
from atalaia.connections.registry import Configured
from atalaia.connections.session import CheckStep
from atalaia.connectors.connector import Connector
from atalaia.connectors.setup import Setup
from atalaia.web.access import Who, require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import invalid, not_found
from atalaia.web.wire import From, Identity, Limit, Moment, ms_of

routes = router("connections")
_READ = [Depends(require("connections:read"))]
Writer = Annotated[Who, Depends(require("connections:write"))]
Name = Annotated[str, Field(min_length=1, max_length=120)]
Desired = Literal["on", "off"]


class PlaneOut(Wire):
    """One way in which the session proves that it lives."""

    plane: str
    state: str
    claim: str
    evidence: dict[str, Any]
    seen_at: Moment | None = Field(validation_alias="seen_ms")
    checked_at: Moment | None = Field(validation_alias="checked_ms")


class ConnectionOut(Wire):
    """A connection with the truth about it."""

    id: str
    connector: str
    name: str
    desired: str
    created_at: Moment = Field(validation_alias="created_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")
    state: str
    kind: str = Field(description="What is known of the upstream's session beside the state, e.g. `deaf`.")
    since: Moment | None = Field(validation_alias="since_ms")
    attempt: int
    reason: str
    evidence: dict[str, Any]
    until: Moment | None = Field(validation_alias="until_ms")
    heard_at: Moment | None = Field(validation_alias="heard_ms")
    owner: str
    planes: list[PlaneOut]


class RecoveryOut(Wire):
    """One try to bring a session back. outcome: proved, failed, or empty while it is under way."""

    id: str
    rung: str
    title: str
    step: int
    cause: str
    started_at: Moment = Field(validation_alias="started_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")
    outcome: str
    said: str


class ConnectionSettingsOut(Wire):
    """A connection's settings without their secrets; `secrets_set` names those that have a value."""

    connector: str
    name: str
    settings: dict[str, Any]
    secrets_set: list[str]


class ConnectorOut(Wire):
    """A kind of upstream that can be connected, with the JSON schema of its settings."""

    name: str
    title: str
    world: str
    planes: list[str]
    settings_schema: dict[str, Any]


class ConnectionCreate(Asked):
    """A connection to set up."""

    connector: Annotated[str, Field(min_length=1, max_length=40)]
    name: Name
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    desired: Desired = "on"


class ConnectionChange(Asked):
    """What to change; what is left out stays. In `settings`, a secret left out or empty stays too."""

    name: Name | None = None
    settings: dict[str, Any] | None = None
    desired: Desired | None = None


class CheckAsked(Asked):
    """Settings to try. With `connection`, secrets left out are taken from it."""

    connector: Annotated[str, Field(min_length=1, max_length=40)]
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    connection: Annotated[str | None, Field(max_length=36)] = None


class StepOut(Wire):
    """One step of a test."""

    name: str
    outcome: str
    said: str
    todo: str
    evidence: dict[str, Any]


@routes.get("/connectors", dependencies=_READ)
async def list_connectors(request: Request) -> list[ConnectorOut]:
    """List the kinds of upstream that can be connected."""
    return [_connector_out(one) for one in parts_of(request).connectors.values()]


@routes.get("/connections", dependencies=_READ)
async def list_connections(request: Request) -> list[ConnectionOut]:
    """List all connections by name."""
    parts = parts_of(request)
    found = await parts.store.read(queries.list_connections)
    return [connection_out(one, parts) for one in found]


@routes.post("/connections", status_code=201, dependencies=ONCE)
async def create_connection(
    request: Request, response: Response, who: Writer, asked: ConnectionCreate
) -> ConnectionOut:
    """Set up a connection. Test the settings with `/connections/check` first."""
    parts = parts_of(request)
    setup = setup_of(parts)
    settings = setup.read(asked.connector, asked.settings)
    parts.learn(settings)
    made = await parts.store.write(
        lambda tx: setup.create(tx, asked.connector, asked.name, settings, by=who.name, desired=asked.desired)
    )
    response.headers["Location"] = f"/api/connections/{made.id}"
    return connection_out(await found(parts, made.id), parts)


@routes.post("/connections/check", dependencies=ONCE)
async def check_connection(request: Request, who: Writer, asked: CheckAsked) -> list[StepOut]:
    """Try settings without saving them and without writing to the log."""
    parts = parts_of(request)
    before = await configured(parts, asked.connection) if asked.connection else None
    if before is not None and before.connector != asked.connector:
        raise invalid("body.connection", "text", "Name a connection of the same connector, or leave it out.")
    steps = await try_settings(parts, asked.connector, asked.settings, before.settings if before else None)
    return [StepOut.model_validate(one) for one in steps]


@routes.get("/connections/{connection}", dependencies=_READ)
async def get_connection(request: Request, connection: Identity) -> ConnectionOut:
    """Answer one connection."""
    parts = parts_of(request)
    return connection_out(await found(parts, connection), parts)


@routes.get("/connections/{connection}/recoveries", dependencies=_READ)
async def list_recoveries(
    request: Request, connection: Identity, since: From = None, limit: Limit = 50
) -> list[RecoveryOut]:
    """List what was tried to bring a session back, the latest first; without `since`, in the last day."""
    parts = parts_of(request)
    one = await found(parts, connection)
    asked_ms = ms_of(since)
    since_ms = to_ms(parts.ambient.clock.now()) - recoveries.DAY_MS if asked_ms is None else asked_ms
    rows = await parts.store.read(
        lambda tx: recoveries.list_recoveries(tx, one.id, since_ms=since_ms, limit=limit)
    )
    return [RecoveryOut.model_validate(parts.redactor.value(asdict(row))) for row in rows]


@routes.get("/connections/{connection}/settings", dependencies=_READ)
async def get_connection_settings(request: Request, connection: Identity) -> ConnectionSettingsOut:
    """Answer a connection's settings; secrets are never answered."""
    parts = parts_of(request)
    one = await configured(parts, connection)
    opened, secrets_set = open_settings(one.settings)
    return ConnectionSettingsOut(
        connector=one.connector, name=one.name, settings=parts.redactor.value(opened), secrets_set=secrets_set
    )


@routes.patch("/connections/{connection}")
async def change_connection(
    request: Request, connection: Identity, who: Writer, asked: ConnectionChange
) -> ConnectionOut:
    """Change name, settings or whether it should be on; a running session starts over with new settings."""
    parts = parts_of(request)
    before = await configured(parts, connection)
    setup = setup_of(parts)
    settings = None
    if asked.settings is not None:
        opened, _ = open_settings(before.settings)
        settings = setup.read(before.connector, {**opened, **asked.settings}, before=before.settings)
        parts.learn(settings)
    await parts.store.write(
        lambda tx: setup.change(
            tx, connection, by=who.name, name=asked.name, settings=settings, desired=asked.desired
        )
    )
    return connection_out(await found(parts, connection), parts)


@routes.delete("/connections/{connection}", status_code=204)
async def delete_connection(request: Request, connection: Identity, who: Writer) -> None:
    """Take a connection out of use; its events stay in the log."""
    parts = parts_of(request)
    await found(parts, connection)
    setup = setup_of(parts)
    await parts.store.write(lambda tx: setup.delete(tx, connection, by=who.name))


def setup_of(parts: Parts) -> Setup:
    """Answer what sets connections up."""
    return Setup(parts.registry, parts.ambient, parts.secretbox, parts.connectors, parts.formats)


def open_settings(settings: BaseModel) -> tuple[dict[str, Any], list[str]]:
    """Answer the settings that are no secrets, JSON-able, and the names of the secrets that have a value."""
    opened: dict[str, Any] = settings.model_dump(mode="json")
    secrets_set: list[str] = []
    for name, value in settings.model_dump(mode="python").items():
        if isinstance(value, SecretStr):
            opened.pop(name, None)
            if value.get_secret_value():
                secrets_set.append(name)
    return opened, secrets_set


async def try_settings(
    parts: Parts, connector: str, given: dict[str, Any], before: BaseModel | None
) -> list[CheckStep]:
    """Try settings as the connector knows to; without such knowledge, say that they are well formed."""
    setup = setup_of(parts)
    settings = setup.read(connector, given, before=before)
    parts.learn(settings)
    check = setup.connector(connector).check
    if check is None:
        return [CheckStep("settings", "ok", "The settings are well formed; there is nothing else to try.")]
    steps = await check(settings, parts.ambient)
    text = parts.redactor.text
    return [
        CheckStep(s.name, s.outcome, text(s.said), text(s.todo), parts.redactor.value(s.evidence))
        for s in steps
    ]


async def configured(parts: Parts, identity: str) -> Configured:
    """Answer a connection with its settings. Errors: `Problem` 404."""
    one = await parts.store.read(lambda tx: parts.registry.get(tx, identity))
    if one is None:
        raise not_found("connection")
    return one


async def found(parts: Parts, identity: str) -> ConnectionSeen:
    """Answer a connection as it is seen. Errors: `Problem` 404."""
    one = await parts.store.read(lambda tx: queries.get_connection(tx, identity))
    if one is None:
        raise not_found("connection")
    return one


def connection_out(one: ConnectionSeen, parts: Parts) -> ConnectionOut:
    """Answer a connection as the API shows it."""
    out = ConnectionOut.model_validate(one)
    out.reason, out.evidence = parts.redactor.text(out.reason), parts.redactor.value(out.evidence)
    for plane in out.planes:
        plane.claim, plane.evidence = parts.redactor.text(plane.claim), parts.redactor.value(plane.evidence)
    return out


def _connector_out(one: Connector) -> ConnectorOut:
    planes = [plane.name for plane in one.planes]
    schema = one.settings.model_json_schema()
    return ConnectorOut(
        name=one.name, title=one.title, world=one.world, planes=planes, settings_schema=schema
    )
