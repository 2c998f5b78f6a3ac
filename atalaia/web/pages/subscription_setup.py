"""Setting a subscription up: who wants which facts, where; tried before it is saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy import Connection
from starlette.datastructures import FormData

from atalaia.connections.queries import list_connections
from atalaia.deliveries.queries import SubscriptionView, get_view
from atalaia.deliveries.targets.target import Step
from atalaia.desk.calls.queries import clients
from atalaia.errors import AtalaiaError, ConfigError
from atalaia.events.catalogue import FACTS
from atalaia.web.access import Who, require
from atalaia.web.api import deliveries as api
from atalaia.web.api.deliveries import SubscriptionChange, SubscriptionCreate
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Words, flash, look, now_ms, screens, show
from atalaia.web.parts import parts_of
from atalaia.web.problems import Problem, not_found
from atalaia.web.wire import Identity

routes = screens("subscriptions:write")
Admin = Annotated[Who, Depends(require("subscriptions:write"))]

# What most people subscribe to; anything else is written by hand.
USUAL = (
    ("call.*", N_("Calls: opened, answered, ended")),
    ("endpoint.*", N_("Phones: status, addresses, wake-ups")),
    ("connection.*", N_("Connections: every change of state")),
    ("gap.*", N_("Gaps: opened and closed")),
    ("alert.*", N_("Alerts: raised and resolved")),
    ("delivery.dead", N_("Deliveries that were given up")),
)


@dataclass
class Choices:
    """What the form may choose from."""

    connections: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    clients: list[str] = field(default_factory=list[str])
    before: SubscriptionView | None = None


@routes.get("/deliveries/new")
async def new_page(request: Request) -> Response:
    """Answer the empty form."""
    choices = await look(request, lambda tx: _choices(tx, None, 0))
    return _draw(request, choices)


@routes.get("/deliveries/{subscription}/edit")
async def edit_page(request: Request, subscription: Identity) -> Response:
    """Answer the form of a subscription; secrets are not shown, empty ones stay."""
    moment = now_ms(request)
    choices = await look(request, lambda tx: _choices(tx, subscription, moment))
    if choices.before is None:
        raise not_found("subscription")
    return _draw(request, choices)


def _choices(tx: Connection, subscription: str | None, moment: int) -> Choices:
    named = [(one.id, one.name) for one in list_connections(tx, with_planes=False)]
    before = get_view(tx, subscription, moment) if subscription else None
    return Choices(named, clients(tx), before)


def _draw(request: Request, choices: Choices) -> Response:
    parts = parts_of(request)
    before = choices.before
    kind = str(before.target.get("kind")) if before else request.query_params.get("kind", "webhook")
    return show(
        request, "deliveries/setup.html", choices=choices, before=before, usual=USUAL, kind=kind, steps=[],
        formats=[(name, name) for name in parts.formats], facts=[one.type for one in FACTS], error="",
    )  # fmt: skip


@routes.post("/deliveries/test")
async def test(request: Request, who: Admin) -> Response:
    """Try what the form says; nothing is saved."""
    parts = parts_of(request)
    form = await request.form()
    before = str(form.get("subscription") or "") or None
    try:
        given = read_form(form, await _before(request, form))
        steps = await api.try_target(
            parts, before, given["target"], given["secrets"], str(form.get("vhost") or "")
        )
    except (AtalaiaError, Problem) as error:
        return _steps(request, [], parts.redactor.text(str(error)))
    return _steps(request, steps, "")


@routes.post("/deliveries/save")
async def save(request: Request, who: Admin) -> Response:
    """Save what the form says; a secret that was made is shown once."""
    parts, words = parts_of(request), Words(request)
    form = await request.form()
    before = str(form.get("subscription") or "")
    try:
        given = read_form(form, await _before(request, form))
        if before:
            change = SubscriptionChange(**{**given, "secrets": given["secrets"] or None})
            await api.change(request, before, who, change)
            return _go(request, f"/deliveries/{before}", words(N_("%(name)s was saved."), name=given["name"]))
        made = await api.create(request, Response(), who, SubscriptionCreate(**given))
    except (AtalaiaError, Problem, ValueError) as error:
        return _steps(request, [], parts.redactor.text(str(error)))
    if not made.secret:
        return _go(
            request,
            f"/deliveries/{made.subscription.id}",
            words(N_("%(name)s was saved."), name=given["name"]),
        )
    return show(
        request,
        "deliveries/secret.html",
        "secret",
        secret=made.secret,
        subscription=made.subscription.id,
        created=True,
    )


async def _before(request: Request, form: FormData) -> SubscriptionView | None:
    identity, moment = str(form.get("subscription") or ""), now_ms(request)
    if not identity:
        return None
    return await parts_of(request).store.read(lambda tx: get_view(tx, identity, moment))


def read_form(form: FormData, before: SubscriptionView | None = None) -> dict[str, Any]:
    """Read a subscription from the form; what the form does not show stays as it was before.

    Errors: `ConfigError` for a number that is none.
    """

    def text(name: str) -> str:
        return str(form.get(name) or "").strip()

    types = [str(one) for one in form.getlist("types")] + text("more_types").replace(",", " ").split()
    chosen = {
        "types": list(dict.fromkeys(types)), "connection": text("connection"),
        "key_prefix": text("key_prefix"),
        "client": [word for word in text("client").replace(",", " ").split() if word],
    }  # fmt: skip
    kind = "amqp" if text("kind") == "amqp" else "webhook"
    target, secrets = _webhook(text) if kind == "webhook" else _amqp(text)
    policy = {"order": text("order") or "block", "give_up_s": _seconds(text("give_up_h"), "give_up_h", 24)}
    if before is not None:
        if "servers" in target:
            target["servers"] += list(before.target.get("servers") or ())[1:]
        target = {**before.target, **target}
        policy = {**before.policy, **policy}
    return {
        "name": text("name"), "format": text("format") or "cloudevents", "filter": chosen, "target": target,
        "secrets": secrets, "policy": policy,
    }  # fmt: skip


def _webhook(text: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    target = {"kind": "webhook", "url": text("url"), "timeout_s": _number(text("timeout_s"), "timeout_s", 10)}
    name, value = text("header_name"), text("header_value")
    secrets: dict[str, Any] = {"headers": {name: value}} if name and value else {}
    if text("signing"):
        secrets["signing"] = text("signing")
    return target, secrets


def _amqp(text: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    tls = text("tls") == "on"
    port = _number(text("port"), "port", 5671 if tls else 5672)
    user = text("user") or "guest"
    target = {
        "kind": "amqp", "servers": [{"host": text("host"), "port": port, "user": user, "tls": tls}],
        "vhost": text("vhost"), "exchange": text("exchange"), "queue": text("queue"),
    }  # fmt: skip
    return target, {"passwords": {user: text("password")}} if text("password") else {}


def _number(text: str, name: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal():
        raise ConfigError(f"{name} holds a text that is no number. Write digits.")
    return int(text)


def _seconds(hours: str, name: str, default: float) -> int:
    try:
        return round(3600 * (float(hours.replace(",", ".")) if hours else default))
    except (ValueError, OverflowError):
        raise ConfigError(f"{name} holds a text that is no number. Write digits.") from None


def _steps(request: Request, steps: list[Step], error: str) -> Response:
    return show(request, "deliveries/setup.html", "steps", steps=steps, error=error)


def _go(request: Request, href: str, said: str) -> Response:
    answer = Response(status_code=204, headers={"HX-Redirect": href})
    flash(request, answer, said)
    return answer
