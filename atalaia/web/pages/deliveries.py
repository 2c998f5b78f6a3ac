"""Deliveries: who gets what, whether they got it, dead letters, sending again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Form, Path, Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.deliveries.queries import (
    AttemptView,
    DeliveryView,
    SubscriptionView,
    get_delivery,
    get_view,
    list_attempts,
    list_deliveries,
    list_views,
)
from atalaia.events.log import read_event
from atalaia.web import render
from atalaia.web.access import Who, require
from atalaia.web.api import deliveries as api
from atalaia.web.api.deliveries import DeadAsked, ReplayAsked, SubscriptionChange
from atalaia.web.i18n import N_
from atalaia.web.pages.call import OUTCOMES
from atalaia.web.pages.common import (
    ROWS,
    PageCursor,
    Part,
    Words,
    done,
    look,
    now_ms,
    position,
    screens,
    show,
    ungettext,
)
from atalaia.web.pages.events import body_of
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.ranges import TimeRange
from atalaia.web.wire import SEQ_MAX, Identity, to_cursor

routes = screens("deliveries:read")
Writer = Annotated[Who, Depends(require("deliveries:write"))]
Admin = Annotated[Who, Depends(require("subscriptions:write"))]
Number = Annotated[int, Path(ge=1, le=SEQ_MAX)]
STATES = ("open", "dead", "delivered", "cancelled")


@dataclass
class Listed:
    """All subscriptions, and what the connections in their filters are called."""

    views: list[SubscriptionView]
    connections: dict[str, str]


@routes.get("/deliveries")
async def list_page(request: Request, part: Part = "") -> Response:
    """Answer the subscriptions with lag, circuit and rate."""
    parts, moment = parts_of(request), now_ms(request)
    found = await look(request, lambda tx: Listed(list_views(tx, moment), connection_names(tx)))
    return show(request, "deliveries/list.html", part, found=found, where=where_of(parts))


def where_of(parts: Parts) -> Any:
    """Answer how a target is told: host and path of a webhook, servers and exchange of a broker."""

    def where(view: SubscriptionView) -> str:
        target = view.target
        if target.get("kind") == "webhook":
            return parts.redactor.text(str(target.get("url") or ""))
        servers = ", ".join(str(one.get("host")) for one in target.get("servers") or ())
        return f"RabbitMQ {servers} · {target.get('exchange') or ''}".replace("  ", " ")

    return where


@dataclass
class Shown:
    """One subscription with its newest deliveries."""

    view: SubscriptionView
    deliveries: list[DeliveryView]
    before: int | None
    connections: dict[str, str]
    managed_by: str


@routes.get("/deliveries/{subscription}")
async def one_page(
    request: Request, subscription: Identity, state: Annotated[str, Query(max_length=10)] = "",
    key: Annotated[str, Query(max_length=200)] = "", cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer one subscription: lanes, deliveries by state, dead letters with their acts."""
    parts, moment = parts_of(request), now_ms(request)
    chosen, before = (state if state in STATES else ""), position(cursor, int)

    def read(tx: Connection) -> Shown | None:
        view = get_view(tx, subscription, moment)
        if view is None:
            return None
        page = list_deliveries(
            tx, subscription=subscription, state=chosen, key=key.strip(), before=before, limit=ROWS
        )
        names = connection_names(tx)
        return Shown(view, list(page.items), page.before, names, names.get(view.managed_by, ""))

    shown = await look(request, read)
    if shown is None:
        raise not_found("subscription")
    ranged = TimeRange.read(request.query_params, moment, render.view_of(request).zone)
    return show(
        request, "deliveries/subscription.html", part, shown=shown, one=shown.view, state=chosen, key=key,
        first=before is None, next_cursor=None if shown.before is None else to_cursor(shown.before),
        where=where_of(parts), range=ranged, replayed=None, asked=None,
    )  # fmt: skip


@dataclass
class Followed:
    """One delivery with its attempts and its event."""

    delivery: DeliveryView
    subscription: SubscriptionView | None
    attempts: list[AttemptView]
    body: Any
    repeats: list[DeliveryView]


@routes.get("/deliveries/{subscription}/{delivery}")
async def delivery_page(
    request: Request, subscription: Identity, delivery: Number, part: Part = ""
) -> Response:
    """Answer one delivery: every attempt, and what was sent."""
    parts, moment = parts_of(request), now_ms(request)

    def read(tx: Connection) -> Followed | None:
        found = get_delivery(tx, delivery)
        if found is None or found.subscription != subscription:
            return None
        event = read_event(tx, found.seq)
        body = body_of(event, parts.redactor) if event else None
        same = [
            one
            for one in list_deliveries(tx, subscription=subscription, seq=found.seq).items
            if one.id != found.id
        ]
        return Followed(found, get_view(tx, subscription, moment), list_attempts(tx, delivery), body, same)

    shown = await look(request, read)
    if shown is None:
        raise not_found("delivery")
    return show(
        request, "deliveries/delivery.html", part, shown=shown, one=shown.delivery, outcomes=OUTCOMES,
        redact=parts.redactor.text,
    )  # fmt: skip


# Acts.


@routes.post("/deliveries/{subscription}/switch")
async def switch(
    request: Request, subscription: Identity, who: Admin, state: Annotated[Literal["on", "paused"], Form()]
) -> Response:
    """Pause or resume; what comes meanwhile is written down and waits."""
    words = Words(request)
    out = await api.change(request, subscription, who, SubscriptionChange(state=state))
    text = (
        N_("%(name)s is sent to again.") if state == "on" else N_("%(name)s is paused; its deliveries wait.")
    )
    return done(request, f"/deliveries/{subscription}", words(text, name=out.name))


@routes.post("/deliveries/{subscription}/delete")
async def delete(request: Request, subscription: Identity, who: Admin) -> Response:
    """Delete a subscription; what is on its way is cancelled."""
    words = Words(request)
    await api.delete(request, subscription, who)
    return done(request, "/deliveries", words(N_("The subscription was removed. Its attempts are kept.")))


@routes.post("/deliveries/{subscription}/dead")
async def settle_dead(
    request: Request, subscription: Identity, who: Writer, act: Annotated[Literal["redo", "skip"], Form()],
    delivery: Annotated[list[int] | None, Form()] = None, all: Annotated[str, Form(max_length=1)] = "",
) -> Response:  # fmt: skip
    """Try dead letters again or let them go: the chosen ones, or all."""
    words = Words(request)
    back = f"/deliveries/{subscription}?state=dead#dead"
    if not all and not delivery:
        return done(request, back, words(N_("Choose dead letters first.")), "info")
    asked = DeadAsked(deliveries=None if all else delivery)
    route = api.redo_dead if act == "redo" else api.skip_dead
    count = (await route(request, subscription, who, asked)).count
    if act == "redo":
        said = words.many(
            ungettext("%(n)s dead letter is sent again.", "%(n)s dead letters are sent again."), count
        )
    else:
        said = words.many(
            ungettext("%(n)s dead letter was skipped.", "%(n)s dead letters were skipped."), count
        )
    return done(request, back, said)


@routes.post("/deliveries/{subscription}/replay")
async def replay(
    request: Request, subscription: Identity, who: Writer,
    types: Annotated[str, Form(max_length=400)] = "", key: Annotated[str, Form(max_length=200)] = "",
    act: Annotated[Literal["count", "send"], Form()] = "count",
) -> Response:  # fmt: skip
    """Count what a selection would send again, or send it; the range comes as on every page."""
    form = await request.form()
    given = {name: str(form.get(name) or "") for name in ("range", "from", "to")}
    ranged = TimeRange.read(given, now_ms(request), render.view_of(request).zone)
    asked = ReplayAsked(
        types=[word for word in types.replace(",", " ").split() if word], key=key.strip(),
        dry_run=act == "count",
        since=_moment(ranged.from_ms), until=_moment(ranged.to_ms),
    )  # fmt: skip
    found = await api.replay_events(request, subscription, who, asked)
    if act == "send":
        words = Words(request)
        said = words.many(
            ungettext("%(n)s delivery was written anew.", "%(n)s deliveries were written anew."), found.queued
        )
        answer = Response(status_code=204, headers={"HX-Redirect": f"/deliveries/{subscription}"})
        from atalaia.web.pages.common import flash

        flash(request, answer, said)
        return answer
    return show(
        request, "deliveries/subscription.html", "replay", range=ranged, replayed=found,
        asked={"types": types, "key": key}, one=await api.get(request, subscription),
    )  # fmt: skip


def _moment(ms: int) -> Any:
    from atalaia.clock import from_ms

    return from_ms(ms)


@routes.post("/deliveries/{subscription}/rotate")
async def rotate(request: Request, subscription: Identity, who: Admin) -> Response:
    """Make a new signing secret and show it this once."""
    answer = Response()
    made = await api.rotate(request, answer, subscription, who)
    return show(
        request, "deliveries/secret.html", secret=made.secret, subscription=subscription, created=False,
    )  # fmt: skip


@routes.post("/deliveries/{subscription}/test")
async def test(request: Request, subscription: Identity, who: Admin) -> Response:
    """Try the way to the consumer; answered as a list of steps."""
    parts = parts_of(request)
    moment = now_ms(request)
    view = await parts.store.read(lambda tx: get_view(tx, subscription, moment))
    if view is None:
        raise not_found("subscription")
    destination = view.lanes[0].destination if view.lanes else ""
    steps = await api.try_target(parts, subscription, None, {}, destination)
    return show(request, "deliveries/setup.html", "steps", steps=steps, error="")
