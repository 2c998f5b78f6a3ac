"""The codes that sessions show while somebody must pair them: how old, and until when.

A code lives for seconds. It is never an event, a picture is never kept, and what a person types into the
phone is kept sealed, because the upstream tells it once, by a webhook that any process of the hub may take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, select

from atalaia.ambient import Ambient
from atalaia.secretbox import SecretBox
from atalaia.store.truth_tables import pairing_codes
from atalaia.store.upsert import upsert

# A pairing that showed no code for so long is over; the next code is the first of another one.
OVER_MS = 90_000


@dataclass(frozen=True, slots=True)
class Code:
    """What a session says of its pairing right now.

    word: `connected` no code is wanted, whatever pictures are still drawn; `scan` a picture, `type` a text is
        wanted on the phone; `starting` the page comes up; `closed` nothing is open; `unknown`.
    said: the upstream's own word. text: what the picture encodes, or what is to be typed. picture: base64 of
    a PNG, where nothing else is given.
    """

    word: Literal["connected", "scan", "type", "starting", "closed", "unknown"]
    said: str = ""
    text: str = ""
    picture: str = ""

    @property
    def mark(self) -> str:
        """What tells this code from the next one, "" without one."""
        content = self.text or self.picture
        return hashlib.sha256(content.encode()).hexdigest() if content else ""


@dataclass(frozen=True, slots=True)
class Pairing:
    """How a connector's sessions are paired, by a person.

    look: (settings, ambient) -> the code that is wanted now. Changes nothing there.
    begin: (settings, ambient, connection, phone) -> opens the session for pairing; with a phone number the
        code is typed on that phone in place of a picture. Destroys nothing, and is harmless while it runs.
        Answers whether it was opened anew; False: the code that was shown before is still good.
    Errors of both: any of the five.
    by_number: (settings) -> whether a code can be typed. expected: (settings) -> the number that is expected,
    "" = any. lasts_s: an upstream gives up so long after the first code. every_s: a code is good for so long.
    """

    look: Callable[[Any, Ambient], Awaitable[Code]]
    begin: Callable[[Any, Ambient, str, str], Awaitable[bool]]
    by_number: Callable[[Any], bool]
    expected: Callable[[Any], str]
    lasts_s: float = 60.0
    every_s: float = 20.0


@dataclass(frozen=True, slots=True)
class CodeSeen:
    """A code on its way. typed: what is to be typed, "" for a picture. Times: of it, and of the first one."""

    mark: str
    typed: str
    since_ms: int
    shown_ms: int


def note_begun(tx: Connection, connection: str, begun_ms: int) -> None:
    """Note that a pairing was begun at a moment; codes before it are forgotten.

    Its own code may be here already: webhooks do not wait for the answer that the session was opened.
    """
    before = tx.execute(select(pairing_codes).where(pairing_codes.c.connection == connection)).first()
    row = {"connection": connection, "mark": "", "sealed": "", "since_ms": begun_ms, "shown_ms": begun_ms}
    if before is not None and before.mark and before.shown_ms >= begun_ms:
        row |= {"mark": before.mark, "sealed": before.sealed, "shown_ms": before.shown_ms}
    upsert(tx, pairing_codes, row, ("connection",))


def note_code(tx: Connection, box: SecretBox, connection: str, code: Code, now_ms: int) -> None:
    """Note that a code is shown; one that is known already keeps its age."""
    if not code.mark:
        return
    before = tx.execute(select(pairing_codes).where(pairing_codes.c.connection == connection)).first()
    if before is not None and before.mark == code.mark:
        return
    goes_on = before is not None and before.mark and now_ms - before.shown_ms < OVER_MS
    row = {
        "connection": connection, "mark": code.mark,
        "sealed": box.seal(code.text) if code.word == "type" else "",
        "since_ms": before.since_ms if before is not None and goes_on else now_ms, "shown_ms": now_ms,
    }  # fmt: skip
    upsert(tx, pairing_codes, row, ("connection",))


def code_seen(tx: Connection, box: SecretBox, connection: str) -> CodeSeen | None:
    """Answer what is known of a connection's code, None when nobody paired it lately."""
    row = tx.execute(select(pairing_codes).where(pairing_codes.c.connection == connection)).first()
    if row is None:
        return None
    return CodeSeen(row.mark, box.open(row.sealed) if row.sealed else "", row.since_ms, row.shown_ms)


def forget_code(tx: Connection, connection: str) -> None:
    """Forget a code once the pairing is over."""
    tx.execute(delete(pairing_codes).where(pairing_codes.c.connection == connection))
