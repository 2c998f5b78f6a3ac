"""What is written down of a socket, before anything else happens; and how it is read again. Pure.

type: `traffilog.<source of a push>`, `traffilog.answer.<action>`, `traffilog.error`, `traffilog.unreadable`;
    what a job decides by time is `traffilog.verdict`, the end of a collection `traffilog.collected`, a record
    of other software `traffilog.snapshot`, what the portal shows of a scheme `traffilog.scheme_verified`.
key: the vehicle's id, `""` when the message does not tell.
body: {"request": {"name", "parameters"} | null, "properties": {...}, "partial": true?, "job": id | ""},
    without session tokens; {"raw": text, "why", "job"} for what could not be read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

from atalaia.connectors.traffilog.protocol import Came, Request
from atalaia.connectors.traffilog.wire import (
    MESSAGES,
    PARAMETERS,
    PREFIX,
    Answer,
    Json,
    Push,
    RawError,
)
from atalaia.events.model import Heard
from atalaia.redact import MASK

ANSWER = f"{PREFIX}answer."
ERROR = f"{PREFIX}error"
UNREADABLE = f"{PREFIX}unreadable"
VERDICT = f"{PREFIX}verdict"
PORTAL_EVICTED = f"{PREFIX}portal_evicted"  # somebody else logged in with our account
PORTAL_KEPT = f"{PREFIX}portal_kept"  # our session was used for a while and nobody ended it
COLLECTED = f"{PREFIX}collected"
VERIFIED = f"{PREFIX}scheme_verified"
SNAPSHOT = f"{PREFIX}snapshot"

_ECHO = re.compile(
    r"(?P<head>session_token(?:\\*\"|%22)\s*(?::|%3A)\s*(?:\\*\"|%22))[0-9A-Za-z_-]+", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


def heard(came: Came, at_ms: int, job: str = "") -> Heard:
    """Answer what to append for one message. job: whose socket heard it, `""` for the connection's own."""
    message = came.message
    match message:
        case Push():
            kind = f"{PREFIX}{_named(message.source)}"
            dedupe = _dedupe(message, came.vehicle_id)
        case Answer():
            name = message.action or (came.request.action.name if came.request else "")
            kind, dedupe = f"{ANSWER}{_named(name)}", None
        case RawError():
            kind, dedupe = ERROR, None
        case _:
            body: dict[str, Any] = {"raw": _masked(message.text), "why": message.why, "job": job}
            return Heard(UNREADABLE, came.vehicle_id, at_ms, _dumps(body))
    body = {"request": _shown(came.request), "properties": _without_token(message.properties), "job": job}
    if isinstance(message, Answer) and message.partial:
        body["partial"] = True
    return Heard(kind, came.vehicle_id, at_ms, _dumps(body), dedupe)


def verdict(
    vehicle_id: str, at_ms: int, *, process_id: str, outcome: str, why: str, evidence: Json, job: str = ""
) -> Heard:
    """Answer the word of a job about a process that time has decided. outcome: e.g. `unknown`."""
    body = {"process_id": process_id, "outcome": outcome, "why": why, "evidence": dict(evidence), "job": job}
    return Heard(VERDICT, vehicle_id, at_ms, _dumps(body), f"verdict:{vehicle_id}:{process_id}:{outcome}")


def collected(vehicle_id: str, at_ms: int, *, job: str = "") -> Heard:
    """Answer the word that a collection is over, and that the vehicle's record is to be stated as a whole."""
    return Heard(COLLECTED, vehicle_id, at_ms, _dumps({"job": job}))


def verified(vehicle_id: str, at_ms: int, told: Mapping[str, Any], *, job: str) -> Heard:
    """Answer what a sweep says of one vehicle: its row of `verify.run`, with the installation's service."""
    body = {**told, "resent": told.get("job") or "", "job": job}
    return Heard(VERIFIED, vehicle_id, at_ms, _dumps(body), f"verified:{job}:{vehicle_id}")


def imported(vehicle_id: str, at_ms: int, record: Mapping[str, Any], *, job: str = "") -> Heard:
    """Answer a record of other software (`snapshot.read_record` reads it), to be merged like a reading."""
    return Heard(SNAPSHOT, vehicle_id, at_ms, _dumps({"record": record, "job": job}))


def _named(name: str) -> str:
    """Answer a name fit for a type; another one stays in the body."""
    return name if _NAME.fullmatch(name) else "other"


def _shown(request: Request | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"name": request.action.name, "parameters": dict(request.action.parameters)}


def _without_token(properties: Json) -> dict[str, Any]:
    """Leave session tokens out, also of rows: a login over the socket has it there."""
    kept = {key: value for key, value in properties.items() if key != "session_token"}
    rows: Any = kept.get("data")
    if isinstance(rows, list):
        kept["data"] = [_row_without_token(row) for row in cast("list[Any]", rows)]
    return kept


def _row_without_token(row: Any) -> Any:
    told = cast("Json", row) if isinstance(row, dict) else cast("Json", {})
    if "session_token" not in told:
        return cast("Any", row)
    return {key: value for key, value in told.items() if key != "session_token"}


def _masked(text: str) -> str:
    """Hide the token that a cut answer echoes; all else of the text stays."""
    return _ECHO.sub(lambda found: f"{found['head']}{MASK}", text)


def _dedupe(push: Push, vehicle_id: str) -> str | None:
    """Two sockets that watch one vehicle hear the same push; a status has no time, so it may truly repeat."""
    if push.source not in (MESSAGES, PARAMETERS) or not push.rows:
        return None
    whose = push.inner_id or vehicle_id  # the sockets may know different things of the vehicle
    told = f"{push.source} {whose} ".encode() + orjson.dumps([dict(row) for row in push.rows])
    return f"push:{hashlib.sha256(told).hexdigest()[:32]}"


def _dumps(body: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(body).decode()
    except orjson.JSONEncodeError:  # text with halves of surrogate pairs: only a raw text can hold them
        plain = {
            key: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
            for key, value in body.items()
        }
        return orjson.dumps(plain).decode()
