"""Pairing a session with a phone: asked of the upstream by this process, for whoever may set connections up.

The web asks through the connector's own door instead of the worker that keeps the session. A code lives for
seconds, so it should pass through as few hands as possible: it is in one answer and nowhere else. And nothing
can cross it, because the worker's ladder never acts while a person is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atalaia.clock import to_ms
from atalaia.connections import pairing
from atalaia.connections.pairing import Code, Pairing
from atalaia.connectors.connector import Connector
from atalaia.errors import ConfigError, Rejected, UpstreamError
from atalaia.web.i18n import N_
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem, not_found


@dataclass(frozen=True, slots=True)
class Paired:
    """How far the pairing of a session is.

    word: as `Code.word`, or `unreachable` when the upstream could not be asked; error says why.
    said: the upstream's own word. text: what is to be scanned or typed. picture: base64 of a PNG, without a
    text. shown_ms: since when this code is shown; until_ms: when the upstream gives up. None = not known.
    """

    word: str
    said: str = ""
    text: str = ""
    picture: str = ""
    shown_ms: int | None = None
    until_ms: int | None = None
    every_s: float = 20.0
    error: str = ""

    @property
    def has_code(self) -> bool:
        return bool(self.text or self.picture)


async def look(parts: Parts, connection: str) -> Paired:
    """Answer what a person needs to pair a session now. Changes nothing at the upstream.

    Errors: `Problem` 404 when there is no such connection, or nothing is paired.
    """
    declared, settings = await _declared(parts, connection)
    try:
        code = await declared.look(settings, parts.ambient)
    except UpstreamError as error:
        return Paired("unreachable", error=parts.redactor.text(str(error)))
    return await _with_ages(parts, connection, declared, code)


async def _with_ages(parts: Parts, connection: str, declared: Pairing, code: Code) -> Paired:
    """Tell how old the code is; a text that is typed came by a webhook, and is taken from there."""
    now, box = to_ms(parts.ambient.clock.now()), parts.secretbox
    every = declared.every_s
    if code.word not in ("scan", "type"):
        if code.word == "connected" and await _is_noted(parts, connection):
            await parts.store.write(lambda tx: pairing.forget_code(tx, connection))
        return Paired(code.word, code.said, every_s=every)
    if code.mark:
        await parts.store.write(lambda tx: pairing.note_code(tx, box, connection, code, now))
    seen = await parts.store.read(lambda tx: pairing.code_seen(tx, box, connection))
    typed = seen.typed if seen is not None and code.word == "type" else ""
    fresh = seen is not None and bool(seen.mark) and now - seen.shown_ms < pairing.OVER_MS
    return Paired(
        code.word, code.said, code.text or (typed if fresh else ""), code.picture,
        seen.shown_ms if seen and fresh else None,
        seen.since_ms + round(declared.lasts_s * 1000) if seen and fresh else None, every,
    )  # fmt: skip


async def _is_noted(parts: Parts, connection: str) -> bool:
    return await parts.store.read(lambda tx: pairing.code_seen(tx, parts.secretbox, connection)) is not None


async def begin(parts: Parts, connection: str, phone: str) -> None:
    """Open a session for pairing. phone: digits, for a code that is typed on that phone; "" = a picture.

    Errors: `Problem` 404, 400 for what is no number, 409 when the upstream says no, 502 when it cannot be
    asked.
    """
    declared, settings = await _declared(parts, connection)
    number = "".join(one for one in phone if one.isdigit())
    if phone.strip() and not 7 <= len(number) <= 15:
        raise Problem(
            400, "no-number", N_("That is no phone number"), "Nothing was asked.",
            todo=N_("Give 7 to 15 digits with the country code."),
        )  # fmt: skip
    now = to_ms(parts.ambient.clock.now())
    try:
        if await declared.begin(settings, parts.ambient, connection, number):
            await parts.store.write(lambda tx: pairing.note_begun(tx, connection, now))
    except Rejected as error:
        raise Problem(
            409, "not-paired", N_("The pairing was not begun"), parts.redactor.text(str(error))
        ) from None
    except UpstreamError as error:
        said = parts.redactor.text(str(error))
        raise Problem(
            502, "upstream-silent", N_("The upstream could not be asked"), said, todo=N_("Try again.")
        ) from None


async def picture(parts: Parts, connection: str) -> tuple[bytes, str]:
    """Answer what the upstream's page shows now, and "", or no picture and why there is none.

    Errors: `Problem` 404 when there is no such connection, or its upstream has no page.
    """
    connector, settings = await _configured(parts, connection)
    if connector.picture is None:
        raise not_found("connection")
    try:
        return await connector.picture(settings, parts.ambient), ""
    except UpstreamError as error:
        return b"", parts.redactor.text(str(error))


async def _declared(parts: Parts, connection: str) -> tuple[Pairing, Any]:
    connector, settings = await _configured(parts, connection)
    if connector.pairing is None:
        raise not_found("connection")
    return connector.pairing, settings


async def _configured(parts: Parts, connection: str) -> tuple[Connector, Any]:
    try:
        found = await parts.store.read(lambda tx: parts.registry.get(tx, connection))
    except ConfigError as error:
        raise Problem(
            409, "wrong-settings", N_("The settings of this connection cannot be read"), str(error)
        ) from None
    connector = parts.connectors.get(found.connector) if found else None
    if found is None or connector is None:
        raise not_found("connection")
    return connector, found.settings
