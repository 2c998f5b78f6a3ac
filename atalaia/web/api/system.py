"""The hub itself: workers, queues, settings, kinds of event."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import Depends, Path, Query, Request
from pydantic import Field, SecretStr
from sqlalchemy import Connection, delete, select

from atalaia.clock import to_ms
from atalaia.desk.system import queries
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.events.policy import Policies, read_overrides
from atalaia.redact import MASK
from atalaia.store.tables import kind_policies
from atalaia.store.upsert import upsert
from atalaia.version import VERSION, git_sha
from atalaia.web.access import Who, require
from atalaia.web.api.common import Asked, Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Limit, Moment

routes = router("system")
_READ = [Depends(require("system:read"))]
SettingsAdmin = Annotated[Who, Depends(require("settings:admin"))]
Connector = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[a-z0-9_]+$")]
Pattern = Annotated[str, Path(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_.-]*\*?$")]


class WorkerOut(Wire):
    """One process of the hub."""

    id: str
    host: str
    pid: int
    version: str
    git_sha: str
    started_at: Moment = Field(validation_alias="started_ms")
    seen_at: Moment = Field(validation_alias="seen_ms")
    alive: bool
    owns: int


class CursorOut(Wire):
    """How far a reaction has read the log."""

    reaction: str
    seq: int
    behind: int
    parked: int
    changed_at: Moment = Field(validation_alias="changed_ms")


class SizesOut(Wire):
    """How much there is. media: files of messages as the hourly retention found them; null before that."""

    first_seq: int
    last_seq: int
    bytes: int
    media: int | None
    media_bytes: int | None
    oldest_media_at: Moment | None
    deliveries_open: int
    deliveries_dead: int
    oldest_open_at: Moment | None
    circuits_open: int
    subscriptions: int


class SystemOut(Wire):
    """The hub at a glance."""

    version: str
    git_sha: str
    worker: str
    database: str
    health: str
    why: list[str]
    workers: list[WorkerOut]
    reactions: list[CursorOut]
    sizes: SizesOut


class ParkedOut(Wire):
    """An event that a reaction could not take; the others went on."""

    id: int
    reaction: str
    seq: int
    key: str
    error: str
    state: str
    parked_at: Moment = Field(validation_alias="parked_ms")


class SettingOut(Wire):
    """One setting of this process. A secret is only told to be set or not."""

    name: str
    value: Any
    secret: bool
    default: bool
    description: str


class KindOut(Wire):
    """What the log does with a kind of heard event. Null: the connector's own policy, the hub's own days."""

    connector: str
    type: str
    policy: Literal["keep", "count", "drop"] | None
    retention_days: int | None
    dedupe_days: int | None


class KindSet(Asked):
    """What to do with a kind of heard event from now on."""

    policy: Literal["keep", "count", "drop"] | None = None
    retention_days: Annotated[int | None, Field(ge=1, le=36_500)] = None
    dedupe_days: Annotated[int | None, Field(ge=1, le=3_650)] = None


@routes.get("/system", dependencies=_READ)
async def system(request: Request) -> SystemOut:
    """Answer versions, workers, queues and sizes."""
    parts = parts_of(request)
    seen = await request.app.state.health_service.look()
    now_ms = to_ms(parts.ambient.clock.now())
    workers = await parts.store.read(lambda tx: queries.list_workers(tx, now_ms))
    return SystemOut(
        version=VERSION, git_sha=git_sha(), worker=parts.worker, database=parts.store.dialect,
        health=seen.word, why=seen.why,
        workers=[WorkerOut.model_validate(one) for one in workers],
        reactions=[CursorOut.model_validate(one) for one in await parts.store.read(queries.list_cursors)],
        sizes=await _sizes(parts),
    )  # fmt: skip


@routes.get("/system/parked", dependencies=_READ)
async def list_parked(
    request: Request, after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0, limit: Limit = 50
) -> list[ParkedOut]:
    """List the events that a reaction could not take, oldest first. Go on with `after` = the last id."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: queries.list_parked(tx, after=after, limit=limit))
    items = [ParkedOut.model_validate(one) for one in found]
    for item in items:
        item.error = parts.redactor.text(item.error)
    return items


@routes.get("/settings")
async def list_settings(request: Request, who: SettingsAdmin) -> list[SettingOut]:
    """List the settings of this process; they are set by environment or file and read at the start."""
    return settings_out(parts_of(request))


@routes.get("/settings/kinds")
async def list_kinds(request: Request, who: SettingsAdmin) -> list[KindOut]:
    """List what people set for kinds of heard events."""

    def read(tx: Connection) -> list[dict[str, Any]]:
        order = select(kind_policies).order_by(kind_policies.c.connector, kind_policies.c.type)
        return [dict(row) for row in tx.execute(order).mappings()]

    return [KindOut.model_validate(one) for one in await parts_of(request).store.read(read)]


@routes.put("/settings/kinds/{connector}/{type}")
async def set_kind(
    request: Request, connector: Connector, type: Pattern, who: SettingsAdmin, asked: KindSet
) -> KindOut:
    """Set what the log does with a kind; `type` is without the connector's name and may end in *."""
    parts = parts_of(request)
    if connector not in parts.connectors:
        raise not_found("connector")
    row = {"connector": connector, "type": type, **asked.model_dump()}

    def write(tx: Connection) -> None:
        upsert(tx, kind_policies, row, ("connector", "type"))
        _tell(tx, parts, f"kind:{connector}.{type}", list(asked.model_dump(exclude_none=True)), who)

    await parts.store.write(write)
    await reload_policies(parts)
    return KindOut.model_validate(row)


@routes.delete("/settings/kinds/{connector}/{type}", status_code=204)
async def unset_kind(request: Request, connector: Connector, type: Pattern, who: SettingsAdmin) -> None:
    """Go back to the connector's own policy for a kind."""
    parts = parts_of(request)
    c = kind_policies.c

    def write(tx: Connection) -> bool:
        gone = tx.execute(delete(kind_policies).where(c.connector == connector, c.type == type)).rowcount
        if gone:
            _tell(tx, parts, f"kind:{connector}.{type}", ["removed"], who)
        return bool(gone)

    if not await parts.store.write(write):
        raise not_found("setting for this kind")
    await reload_policies(parts)


def settings_out(parts: Parts) -> list[SettingOut]:
    """Answer the settings, masked."""
    found: list[SettingOut] = []
    for name, field in type(parts.settings).model_fields.items():
        value: object = getattr(parts.settings, name)
        default = value == field.get_default(call_default_factory=True, validated_data={})
        found.append(
            SettingOut(
                name=name,
                value=parts.redactor.value(_shown(value)),
                secret=isinstance(value, SecretStr),
                default=default,
                description=field.description or "",
            )
        )
    return found


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return [str(one) for one in cast("tuple[object, ...]", value)]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


async def reload_policies(parts: Parts) -> None:
    """Let this process's log follow what people set; other workers follow at their next start."""
    declared = {name: connector.keep for name, connector in parts.connectors.items()}
    parts.log.policies = Policies(declared, await parts.store.read(read_overrides))


async def _sizes(parts: Parts) -> SizesOut:
    size = await parts.store.read(queries.sizes)
    media = await parts.store.read(queries.media)
    return SizesOut(
        media=media and media.files, media_bytes=media and media.bytes,
        oldest_media_at=media and media.oldest_ms,
        first_seq=size.first_seq, last_seq=size.last_seq, bytes=await parts.store.read(queries.store_bytes),
        deliveries_open=size.deliveries_open, deliveries_dead=size.deliveries_dead,
        oldest_open_at=size.oldest_open_ms, circuits_open=size.circuits_open,
        subscriptions=size.subscriptions,
    )  # fmt: skip


def _tell(tx: Connection, parts: Parts, key: str, fields: list[str], who: Who) -> None:
    now = to_ms(parts.ambient.clock.now())
    data = {"fields": fields, "by": who.by.as_data()}
    append_facts(tx, parts.ambient, "settings", [Fact("settings.changed", key, now, data)])
