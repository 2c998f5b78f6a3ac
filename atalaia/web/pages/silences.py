"""All silences: of which alerts and connections nobody is told, until when, why, by whom; and their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Form, Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names
from atalaia.desk.alerts import acts, queries
from atalaia.desk.alerts.queries import Silence
from atalaia.desk.people.model import NotAllowed
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_
from atalaia.web.pages.alert import SPANS, Text, silenced_until
from atalaia.web.pages.alerts import Told
from atalaia.web.pages.common import Part, Words, done, look, now_ms, screens, show
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("alerts:read")
Writer = Annotated[Who, Depends(require("alerts:write"))]
PAGE = "/alerts/silences"


@dataclass
class Shown:
    """What the page shows. titles: of alerts, by id."""

    in_force: list[Silence] = field(default_factory=list[Silence])
    over: list[Silence] = field(default_factory=list[Silence])
    connections: dict[str, str] = field(default_factory=dict[str, str])
    titles: dict[str, str] = field(default_factory=dict[str, str])


@routes.get(PAGE)
async def page(
    request: Request, connection: Annotated[str, Query(max_length=36)] = "", part: Part = ""
) -> Response:
    """Answer the page; connection: the one chosen in the form."""
    moment, words = now_ms(request), Words(request)

    def read(tx: Connection) -> Shown:
        in_force = queries.list_silences(tx, moment, in_force=True)
        over = queries.list_silences(tx, moment, in_force=False, limit=50)
        return Shown(
            in_force, over, names(tx), queries.titles_of(tx, [one.incident for one in [*in_force, *over]])
        )

    shown = await look(request, read)
    return show(
        request, "alerts/silences.html", part, shown=shown, chosen=connection,
        h=Told(parts_of(request), shown.connections),
        spans=[(hours, words(text)) for hours, text in SPANS.items()],
        options=sorted(shown.connections.items(), key=lambda pair: pair[1].lower()),
    )  # fmt: skip


@routes.post(PAGE)
async def silence(
    request: Request, who: Writer, connection: Annotated[str, Form(max_length=36)] = "", reason: Text = "",
    hours: Text = "4",
) -> Response:  # fmt: skip
    """Silence a connection for some hours."""
    ambient, words, until = parts_of(request).ambient, Words(request), silenced_until(request, hours)
    try:
        await parts_of(request).store.write(
            lambda tx: acts.silence_connection(
                tx, ambient, connection, reason=reason, until_ms=until, by=who.by
            )
        )
    except NotAllowed as error:
        return done(request, PAGE, words(str(error)), "bad")
    return done(request, PAGE, words(N_("Nobody is told of it until then.")))


@routes.post("/alerts/silences/{silence}/end")
async def end(request: Request, who: Writer, silence: Identity) -> Response:
    """End a silence before its time."""
    parts = parts_of(request)
    if await parts.store.read(lambda tx: queries.get_silence(tx, silence)) is None:
        raise not_found("silence")
    await parts.store.write(lambda tx: acts.unsilence(tx, parts.ambient, silence, by=who.by))
    said = N_("The silence is over: if the alert still stands, it is told now.")
    return done(request, PAGE, Words(request)(said))
