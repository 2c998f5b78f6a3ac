"""Subscriptions, deliveries and attempts: who gets what, whether they got it, and sending again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from atalaia.clock import to_ms
from atalaia.deliveries import queries
from atalaia.deliveries.queries import SubscriptionView
from atalaia.deliveries.replay import REPLAY_MOST, Selection, redo, replay, skip
from atalaia.deliveries.subscription import (
    change_subscription,
    create_subscription,
    delete_subscription,
    get_subscription,
    open_secrets,
    rotate_secret,
)
from atalaia.deliveries.targets.settings import check_target
from atalaia.deliveries.targets.target import Secrets, Step
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.web.access import Who, require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import conflict, invalid, not_found
from atalaia.web.wire import (
    SEQ_MAX,
    Cursor,
    Identity,
    Instant,
    Limit,
    Moment,
    Page,
    ms_of,
    read_cursor,
    to_cursor,
)

routes = router("deliveries")
_READ = [Depends(require("deliveries:read"))]
Writer = Annotated[Who, Depends(require("deliveries:write"))]
Admin = Annotated[Who, Depends(require("subscriptions:write"))]
Number = Annotated[int, Field(ge=1, le=SEQ_MAX)]
Json = dict[str, Any]


class LaneOut(Wire):
    """One destination of a subscription. circuit: `closed` (it sends) or `open` (it waits for the target)."""

    destination: str
    circuit: str
    opened_at: Moment | None = Field(validation_alias="opened_ms")
    probe_at: Moment | None = Field(validation_alias="probe_ms")
    delivered_at: Moment | None = Field(validation_alias="delivered_ms")
    failures: int
    error: str
    ask: str
    pending: int
    waiting: int
    oldest_at: Moment | None = Field(validation_alias="oldest_ms")
    owner: str


class SubscriptionOut(Wire):
    """One consumer's wish, and how far it is served. Secrets are never answered."""

    id: str
    name: str
    state: str
    format: str
    filter: Json
    options: Json
    target: Json
    policy: Json
    managed_by: str
    from_seq: int
    created_at: Moment = Field(validation_alias="created_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")
    pending: int
    waiting: int
    dead: int
    lag_ms: int
    rate_per_s: float
    lanes: list[LaneOut]


class CreatedOut(Wire):
    """A new subscription; `secret` signs its webhooks and is shown only now, `""` when none was made."""

    subscription: SubscriptionOut
    secret: str


class SecretOut(Wire):
    """A fresh signing secret; it is shown only now."""

    secret: str


class SubscriptionCreate(Asked):
    """A subscription to make. Shapes of the objects: see the reference of subscriptions."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    target: Json
    filter: Json = Field(default_factory=dict[str, Any])
    format: Annotated[str, Field(max_length=60)] = "cloudevents"
    options: Json = Field(default_factory=dict[str, Any])
    policy: Json = Field(default_factory=dict[str, Any])
    secrets: Json = Field(default_factory=dict[str, Any])
    state: Literal["on", "paused"] = "on"
    from_seq: Annotated[
        int | None, Field(ge=0, le=SEQ_MAX, description="Only events after it; null: from now on.")
    ] = None


class SubscriptionChange(Asked):
    """What to change; what is left out stays. A secret of null is removed."""

    name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    target: Json | None = None
    filter: Json | None = None
    format: Annotated[str, Field(max_length=60)] | None = None
    options: Json | None = None
    policy: Json | None = None
    secrets: Json | None = None
    state: Literal["on", "paused"] | None = None


class TestAsked(Asked):
    """A target to try; with `subscription`, what is left out is taken from it."""

    subscription: Annotated[str | None, Field(max_length=36)] = None
    target: Json | None = None
    secrets: Json = Field(default_factory=dict[str, Any])
    destination: Annotated[str, Field(max_length=120)] = ""


class StepOut(Wire):
    """One step of a test."""

    name: str
    state: str
    said: str
    remedy: str


class DeliveryOut(Wire):
    """One event on its way to one destination."""

    id: int
    subscription: str
    destination: str
    seq: int
    type: str
    key: str
    message_id: str
    state: str
    attempts: int
    next_at: Moment | None = Field(validation_alias="next_ms")
    created_at: Moment = Field(validation_alias="created_ms")
    done_at: Moment | None = Field(validation_alias="done_ms")
    error: str
    replay_of: int | None


class AttemptOut(Wire):
    """One try to deliver."""

    id: int
    number: int
    started_at: Moment = Field(validation_alias="started_ms")
    took_ms: int
    outcome: str
    status: str
    error: str
    response: str


class ReplayAsked(Asked):
    """Which events to send again; everything that is given must hold."""

    deliveries: Annotated[list[Number], Field(max_length=1_000)] = Field(default_factory=list[int])
    from_seq: Number | None = None
    to_seq: Number | None = None
    types: Annotated[list[Annotated[str, Field(max_length=120)]], Field(max_length=50)] = Field(
        default_factory=list[str]
    )
    key: Annotated[str, Field(max_length=200)] = ""
    client: Annotated[str, Field(max_length=40)] = ""
    since: Instant | None = None
    until: Instant | None = None
    dry_run: Annotated[bool, Field(description="Only count.")] = False
    most: Annotated[int, Field(ge=1, le=REPLAY_MOST)] = REPLAY_MOST


class ReplayedOut(Wire):
    """What was sent again, or would be. With `more`, go on with from_seq = upto_seq + 1."""

    matched: int
    queued: int
    upto_seq: int
    more: bool


class DeadAsked(Asked):
    """Which dead letters; without ids, all of the subscription."""

    deliveries: Annotated[list[Number] | None, Field(max_length=1_000)] = None


class DoneOut(Wire):
    """How many were touched."""

    count: int


@routes.get("/subscriptions", dependencies=_READ)
async def list_subscriptions(request: Request) -> list[SubscriptionOut]:
    """List subscriptions with lag, rate and circuits."""
    parts = parts_of(request)
    now_ms = to_ms(parts.ambient.clock.now())
    found = await parts.store.read(lambda tx: queries.list_views(tx, now_ms))
    return [_subscription_out(one, parts) for one in found]


@routes.post("/subscriptions", status_code=201, dependencies=ONCE)
async def create(request: Request, response: Response, who: Admin, asked: SubscriptionCreate) -> CreatedOut:
    """Make a subscription. A webhook without a signing secret gets one."""
    parts = parts_of(request)
    given = asked.model_dump(exclude={"from_seq"})

    def write(tx: Any) -> tuple[str, str]:
        made = create_subscription(
            tx, parts.ambient, parts.secretbox, given, formats=parts.formats, from_seq=asked.from_seq
        )
        _tell(tx, parts, "subscription.created", made.subscription.id, {"name": asked.name}, who)
        return made.subscription.id, made.secret

    identity, secret = await parts.store.write(write)
    response.headers["Location"] = f"/api/subscriptions/{identity}"
    response.headers["Cache-Control"] = "no-store"
    if secret:
        parts.redactor.learn(secret)
    return CreatedOut(subscription=await _found(parts, identity), secret=secret)


@routes.post("/subscriptions/test", dependencies=ONCE)
async def test(request: Request, who: Admin, asked: TestAsked) -> list[StepOut]:
    """Try the way to a target before anything is saved: it gets one ping."""
    parts = parts_of(request)
    steps = await try_target(parts, asked.subscription, asked.target, asked.secrets, asked.destination)
    return [StepOut.model_validate(one) for one in steps]


@routes.get("/subscriptions/{subscription}", dependencies=_READ)
async def get(request: Request, subscription: Identity) -> SubscriptionOut:
    """Answer one subscription."""
    return await _found(parts_of(request), subscription)


@routes.patch("/subscriptions/{subscription}")
async def change(
    request: Request, subscription: Identity, who: Admin, asked: SubscriptionChange
) -> SubscriptionOut:
    """Change a subscription; `state` pauses and resumes it."""
    parts = parts_of(request)
    before = await _found(parts, subscription)
    given = asked.model_dump(exclude_none=True, exclude_unset=True)
    if before.managed_by and set(given) - {"state"}:
        raise conflict("This subscription belongs to a connection; change the connection's settings.")

    def write(tx: Any) -> None:
        change_subscription(tx, parts.ambient, parts.secretbox, subscription, given, formats=parts.formats)
        told = {"name": before.name, "fields": sorted(given)}
        _tell(tx, parts, "subscription.changed", subscription, told, who)

    if given:
        await parts.store.write(write)
    return await _found(parts, subscription)


@routes.delete("/subscriptions/{subscription}", status_code=204)
async def delete(request: Request, subscription: Identity, who: Admin) -> None:
    """Delete a subscription and cancel what is on its way; attempts are kept."""
    parts = parts_of(request)
    before = await _found(parts, subscription)
    if before.managed_by:
        raise conflict("This subscription belongs to a connection; it goes with it.")

    def write(tx: Any) -> None:
        cancelled = delete_subscription(tx, parts.ambient, subscription)
        told = {"name": before.name, "cancelled": cancelled}
        _tell(tx, parts, "subscription.deleted", subscription, told, who)

    await parts.store.write(write)


@routes.post("/subscriptions/{subscription}/rotate-secret", dependencies=ONCE)
async def rotate(request: Request, response: Response, subscription: Identity, who: Admin) -> SecretOut:
    """Make a new signing secret; for a day both sign."""
    parts = parts_of(request)
    before = await _found(parts, subscription)

    def write(tx: Any) -> str:
        told = {"name": before.name, "fields": ["secret"]}
        _tell(tx, parts, "subscription.changed", subscription, told, who)
        return rotate_secret(tx, parts.ambient, parts.secretbox, subscription)

    secret = await parts.store.write(write)
    parts.redactor.learn(secret)
    response.headers["Cache-Control"] = "no-store"
    return SecretOut(secret=secret)


@routes.post("/subscriptions/{subscription}/replay", dependencies=ONCE)
async def replay_events(
    request: Request, subscription: Identity, who: Writer, asked: ReplayAsked
) -> ReplayedOut:
    """Send events of the log again, also those from before the subscription existed."""
    parts = parts_of(request)
    await _found(parts, subscription)
    chosen = Selection(
        tuple(asked.deliveries), asked.from_seq, asked.to_seq, tuple(asked.types), asked.key, asked.client,
        ms_of(asked.since), ms_of(asked.until),
    )  # fmt: skip
    what = asked.model_dump(mode="json", exclude_defaults=True, exclude={"dry_run"})

    def write(tx: Any) -> Any:
        done = replay(
            tx, parts.ambient, parts.formats, subscription, chosen, dry_run=asked.dry_run, most=asked.most
        )
        if done.queued:
            told = {"count": done.queued, "filter": what}
            _tell(tx, parts, "delivery.replayed", subscription, told, who)
        return done

    done = await (parts.store.read(write) if asked.dry_run else parts.store.write(write))
    return ReplayedOut.model_validate(done)


@routes.post("/subscriptions/{subscription}/dead/redo", dependencies=ONCE)
async def redo_dead(request: Request, subscription: Identity, who: Writer, asked: DeadAsked) -> DoneOut:
    """Try dead letters again."""
    return await _settle(request, subscription, who, asked, "redo")


@routes.post("/subscriptions/{subscription}/dead/skip", dependencies=ONCE)
async def skip_dead(request: Request, subscription: Identity, who: Writer, asked: DeadAsked) -> DoneOut:
    """Let dead letters go, so that what waits behind them is sent."""
    return await _settle(request, subscription, who, asked, "skip")


@routes.get("/deliveries", dependencies=_READ)
async def list_deliveries(
    request: Request,
    subscription: Annotated[str, Query(max_length=36)] = "",
    destination: Annotated[str | None, Query(max_length=120)] = None,
    state: Annotated[
        Literal["pending", "sending", "delivered", "waiting", "dead", "cancelled"] | None, Query()
    ] = None,
    seq: Annotated[int | None, Query(ge=1, le=SEQ_MAX, description="Of this event.")] = None,
    key: Annotated[str, Query(max_length=200, description="What the event is about.")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DeliveryOut]:
    """List deliveries, the newest first. Dead letters: state=dead."""
    parts = parts_of(request)
    before = read_cursor(cursor, int)
    page = await parts.store.read(
        lambda tx: queries.list_deliveries(
            tx, subscription=subscription, destination=destination, state=state or "", seq=seq, key=key,
            before=before, limit=limit,
        )
    )  # fmt: skip
    items = [DeliveryOut.model_validate(one) for one in page.items]
    for item in items:
        item.error = parts.redactor.text(item.error)
    return Page(items=items, next=None if page.before is None else to_cursor(page.before))


@routes.get("/deliveries/{delivery}", dependencies=_READ)
async def get_delivery(request: Request, delivery: Number) -> DeliveryOut:
    """Answer one delivery."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: queries.get_delivery(tx, delivery))
    if found is None:
        raise not_found("delivery")
    out = DeliveryOut.model_validate(found)
    out.error = parts.redactor.text(out.error)
    return out


@routes.get("/deliveries/{delivery}/attempts", dependencies=_READ)
async def list_attempts(request: Request, delivery: Number) -> list[AttemptOut]:
    """List the tries of a delivery: did they get it?"""
    parts = parts_of(request)
    await get_delivery(request, delivery)
    items = [
        AttemptOut.model_validate(one)
        for one in await parts.store.read(lambda tx: queries.list_attempts(tx, delivery))
    ]
    for item in items:
        item.error, item.response = parts.redactor.text(item.error), parts.redactor.json(item.response)
    return items


async def try_target(
    parts: Parts, subscription: str | None, target: Json | None, secrets: Json, destination: str
) -> list[Step]:
    """Try a target; what is not given is taken from the subscription. Errors: `Problem`, `ConfigError`."""
    known = Secrets()
    if subscription is not None:
        before = await parts.store.read(lambda tx: get_subscription(tx, subscription))
        if before is None:
            raise not_found("subscription")
        target = dict(before.target) if target is None else target
        known = open_secrets(parts.secretbox, before)
    if target is None:
        raise conflict("There is no target to try.")
    if parts.targets is None:
        raise conflict("This process sends nothing.")
    opened = parts.targets.open(check_target(target), _merged(known, secrets))
    try:
        steps = await opened.test(destination)
    finally:
        await opened.close()
    text = parts.redactor.text
    return [Step(step.name, step.state, text(step.said), text(step.remedy)) for step in steps]


def _merged(known: Secrets, given: Json) -> Secrets:
    """Answer the secrets to try with: what is given wins over what is known. Errors: `Problem` 422."""
    signing, headers, passwords = given.get("signing"), given.get("headers"), given.get("passwords")
    for name, value, kinds in (
        ("signing", signing, (str, type(None))),
        ("headers", headers, (dict, type(None))),
        ("passwords", passwords, (dict, type(None))),
    ):
        if not isinstance(value, kinds):
            wanted = "a text that begins with whsec_" if name == "signing" else "an object of texts"
            raise invalid(f"body.secrets.{name}", type(value).__name__, f"Write {wanted}.")
    return Secrets(
        ((signing, None),) if signing else known.signing,
        {**known.headers, **_texts(headers)},
        {**known.passwords, **_texts(passwords)},
    )


def _texts(given: dict[str, object] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (given or {}).items() if value is not None}


async def _settle(
    request: Request, subscription: str, who: Who, asked: DeadAsked, how: Literal["redo", "skip"]
) -> DoneOut:
    parts = parts_of(request)
    await _found(parts, subscription)
    act = redo if how == "redo" else skip

    def write(tx: Any) -> int:
        count = act(tx, parts.ambient, subscription, asked.deliveries)
        if count:
            told = {"count": count, "filter": {"dead": how, "deliveries": asked.deliveries}}
            _tell(tx, parts, "delivery.replayed", subscription, told, who)
        return count

    return DoneOut(count=await parts.store.write(write))


async def _found(parts: Parts, identity: str) -> SubscriptionOut:
    now_ms = to_ms(parts.ambient.clock.now())
    one = await parts.store.read(lambda tx: queries.get_view(tx, identity, now_ms))
    if one is None:
        raise not_found("subscription")
    return _subscription_out(one, parts)


def _subscription_out(one: SubscriptionView, parts: Parts) -> SubscriptionOut:
    out = SubscriptionOut.model_validate(one)
    out.target, out.options = parts.redactor.value(out.target), parts.redactor.value(out.options)
    for lane in out.lanes:
        lane.error, lane.ask = parts.redactor.text(lane.error), parts.redactor.text(lane.ask)
    return out


def _tell(tx: Any, parts: Parts, kind: str, key: str, data: Json, who: Who) -> None:
    now = to_ms(parts.ambient.clock.now())
    append_facts(tx, parts.ambient, "subscriptions", [Fact(kind, key, now, {**data, "by": who.by.as_data()})])
