"""Setting a connection up and changing it: a form from the settings class, tested before it is saved."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, SecretStr
from starlette.datastructures import FormData

from atalaia.connections.registry import Configured
from atalaia.connections.session import CheckStep
from atalaia.connectors.connector import Connector
from atalaia.errors import AtalaiaError, ConfigError
from atalaia.web.access import Who, require
from atalaia.web.api.connections import configured, open_settings, setup_of, try_settings
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Words, flash, look, screens, show
from atalaia.web.pages.forms import errors_by_field, groups_of, read_form
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("connections:write")
Writer = Annotated[Who, Depends(require("connections:write"))]
NAME_MAX = 120


@dataclass
class Tried:
    """What became of a test or of saving, for the box below the form.

    stamp: proves, when saving, that these very settings were tested and found good.
    """

    steps: list[CheckStep] = field(default_factory=list[CheckStep])
    stamp: str = ""
    errors: dict[str, str] = field(default_factory=dict[str, str])
    error: str = ""

    @property
    def good(self) -> bool:
        return bool(self.steps) and not self.error and all(step.outcome != "failed" for step in self.steps)


@routes.get("/connections/new")
async def new_page(request: Request, connector: Annotated[str, Query(max_length=40)] = "") -> Response:
    """Choose a kind of upstream, then fill in its form."""
    parts = parts_of(request)
    await look(request, lambda tx: None)
    chosen = parts.connectors.get(connector)
    if chosen is None:
        return show(request, "connections/choose.html", connectors=list(parts.connectors.values()))
    groups = groups_of(chosen, {})
    return show(
        request,
        "connections/setup.html",
        connector=chosen,
        groups=groups,
        name="",
        before=None,
        tried=Tried(),
    )


@routes.get("/connections/{connection}/edit")
async def edit_page(request: Request, connection: Identity) -> Response:
    """Change a connection; secrets are not shown, an empty one stays as it is."""
    parts = parts_of(request)
    await look(request, lambda tx: None)
    before = await configured(parts, connection)
    chosen = parts.connectors[before.connector]
    opened, secrets_set = open_settings(before.settings)
    groups = groups_of(chosen, opened, secrets_set=tuple(secrets_set))
    return show(
        request, "connections/setup.html", connector=chosen, groups=groups, name=before.name, before=before,
        tried=Tried(),
    )  # fmt: skip


@routes.post("/connections/test")
async def test(request: Request, who: Writer) -> Response:
    """Try what the form says; nothing is saved."""
    asked = await _read(request)
    if isinstance(asked, Tried):
        return _box(request, asked)
    parts = parts_of(request)
    try:
        steps = await try_settings(parts, asked.connector.name, asked.given, _settings(asked.before))
    except AtalaiaError as error:
        return _box(request, Tried(error=parts.redactor.text(str(error))))
    tried = Tried(steps)
    if tried.good:
        tried.stamp = parts.secretbox.seal(_digest(asked.connector.name, asked.settings))
    return _box(request, tried)


@routes.post("/connections/save")
async def save(request: Request, who: Writer) -> Response:
    """Save what the form says, when it was tested or when the person says to save it anyway."""
    asked = await _read(request)
    if isinstance(asked, Tried):
        return _box(request, asked)
    parts, words = parts_of(request), Words(request)
    if not asked.name or len(asked.name) > NAME_MAX:
        said = words(N_("Give it a name of 1 to %(n)s characters."), n=NAME_MAX)
        return _box(request, Tried(errors={"name": said}))
    if not asked.anyway and not _was_tested(parts, asked):
        said = words(N_("The settings were changed after the test. Test them again, or save anyway."))
        return _box(request, Tried(error=said))
    parts.learn(asked.settings)
    identity = await _write(parts, asked, who)
    await _refresh(request)
    answer = Response(status_code=204, headers={"HX-Redirect": f"/connections/{identity}"})
    flash(request, answer, words(N_("%(name)s was saved; the session is being opened."), name=asked.name))
    return answer


@dataclass
class _Asked:
    """The form, read: settings are valid."""

    connector: Connector
    name: str
    given: dict[str, Any]
    settings: BaseModel
    before: Configured | None
    stamp: str
    anyway: bool


async def _read(request: Request) -> _Asked | Tried:
    """Read the form; what does not fit is answered as what to tell the person."""
    parts = parts_of(request)
    form: FormData = await request.form()
    chosen = parts.connectors.get(str(form.get("connector") or ""))
    if chosen is None:
        raise not_found("connector")
    connection = str(form.get("connection") or "")
    before = await configured(parts, connection) if connection else None
    given = read_form(chosen, form)
    try:
        settings = setup_of(parts).read(chosen.name, given, before=_settings(before))
    except ConfigError as error:
        errors, rest = errors_by_field(str(error))
        return Tried(errors=errors, error=rest)
    name = str(form.get("connection_name") or "").strip()
    return _Asked(
        chosen,
        name,
        given,
        settings,
        before,
        str(form.get("stamp") or ""),
        str(form.get("anyway") or "") == "1",
    )


async def _write(parts: Parts, asked: _Asked, who: Who) -> str:
    setup = setup_of(parts)
    if asked.before is None:
        made = await parts.store.write(
            lambda tx: setup.create(tx, asked.connector.name, asked.name, asked.settings, by=who.name)
        )
        return made.id
    identity = asked.before.id
    await parts.store.write(
        lambda tx: setup.change(tx, identity, by=who.name, name=asked.name, settings=asked.settings)
    )
    return identity


async def _refresh(request: Request) -> None:
    from atalaia.web.app import refresh_worlds

    await refresh_worlds(request.app)


def _settings(before: Configured | None) -> BaseModel | None:
    return None if before is None else before.settings


def _box(request: Request, tried: Tried) -> Response:
    return show(request, "connections/setup.html", "tried", tried=tried)


def _was_tested(parts: Parts, asked: _Asked) -> bool:
    try:
        return bool(asked.stamp) and parts.secretbox.open(asked.stamp) == _digest(
            asked.connector.name, asked.settings
        )
    except (AtalaiaError, ValueError):
        return False


def _digest(connector: str, settings: BaseModel) -> str:
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings.model_dump(mode="python").items()
    }
    return hashlib.sha256(
        connector.encode() + orjson.dumps(values, option=orjson.OPT_SORT_KEYS, default=str)
    ).hexdigest()
