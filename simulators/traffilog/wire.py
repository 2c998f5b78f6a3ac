"""The texts of surface B: what a frame must look like, and answers whole, in fragments, raw, pushed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote, unquote

from simulators.traffilog.models import Json, Row

FORBIDDEN = '{"action_value":"403","error_description":"action forbidden"}'
UNKNOWN = '{"action_value":"404","error_description":""}'
BAD = '{"action_value":"400","error_description":"bad request"}'
NULS = "\x00"


class BadFrame(Exception):
    """The text is not the shape of the contract's section 3.2; `str(error)` says where."""


@dataclass(frozen=True)
class Request:
    """One frame of a client. `parameters` without the two that the frame builder appends."""

    name: str
    parameters: dict[str, str]
    token: str
    mtkn: str
    encoded: bool = False

    def get(self, name: str) -> str:
        return self.parameters.get(name, "")


@dataclass
class Answer:
    """What an action answers: rows with plain values, encoded on their way out.

    `silent`: no answer is sent. `counted`: what `action_records` says, the number of rows by default.
    """

    rows: list[Row] = field(default_factory=list[Row])
    value: str = "0"
    description: str = ""
    silent: bool = False
    counted: int | None = None


def compact(value: object) -> str:
    """Answer JSON as JavaScript writes it: no spaces, no escapes beyond those JSON needs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_request(text: str, *, strict: bool = True) -> Request:
    """Read a frame, plain or percent-encoded as a whole.

    Errors: `BadFrame`. `strict` also wants the compact form, byte for byte.
    """
    encoded = text[:3].upper() == "%7B"
    plain = unquote(text) if encoded else text
    try:
        frame: object = json.loads(plain)
    except ValueError as error:
        raise BadFrame(f"not JSON: {error}") from error
    if not isinstance(frame, dict) or list(cast("Json", frame)) != ["action"]:
        raise BadFrame("the frame is not {action: ...}")
    whole_frame = cast("Json", frame)
    action: object = whole_frame["action"]
    if not isinstance(action, dict):
        raise BadFrame("action is no object")
    request = _read_action(cast("Json", action), encoded)
    if strict and compact(whole_frame) != plain:
        raise BadFrame("not the compact form")
    return request


def _read_action(action: Json, encoded: bool) -> Request:
    if list(action) != ["flow_id", "name", "parameters", "session_token", "mtkn"]:
        raise BadFrame(f"keys of action: {list(action)}")
    given: object = action["parameters"]
    texts = [action[key] for key in ("flow_id", "name", "session_token", "mtkn")]
    if not all(isinstance(value, str) for value in texts) or not isinstance(given, dict):
        raise BadFrame("a value of action is no string")
    flow_id, name, token, mtkn = texts
    if len(flow_id) != 6 or not flow_id.isdigit() or not mtkn:
        raise BadFrame("flow_id or mtkn")
    parameters = cast("dict[str, object]", given)
    if list(parameters)[-2:] != ["_action_name", "mtkn"]:
        raise BadFrame("parameters do not end with _action_name and mtkn")
    if parameters["_action_name"] != name or parameters["mtkn"] != mtkn:
        raise BadFrame("parameters name another action or mtkn")
    for key, value in parameters.items():
        if not isinstance(value, str) and not (key == "keep_priority" and value is True):
            raise BadFrame(f"{key} is no string")
    own = {key: "true" if value is True else str(value) for key, value in list(parameters.items())[:-2]}
    return Request(name, own, token, mtkn, encoded)


def percent(value: str) -> str:
    """Encode a value as rows of answers have it: only letters, digits and `- _ .` stay."""
    return quote(value, safe="").replace("~", "%7E")


@dataclass(frozen=True)
class Timing:
    """What the tail of an answer says of itself, in ms."""

    request_id: str
    db_ms: int
    app_ms: int


def fragments_of(
    action: str, mtkn: str, token: str, answer: Answer, timing: Timing, *, nuls: bool = True
) -> list[str]:
    """Answer the texts of a fragmented answer: head, rows, tail. Joined they are the whole answer.

    With `nuls` the tail ends in a NUL where the second duration has more digits than the first:
    the upstream's own length error.
    """
    head = f'{{"response":{{"properties":{{"action_name":{compact(action)},"mtkn":{compact(mtkn)}'
    head += f',"request_id":"{timing.request_id}","data":['
    rows = [
        compact({"mtkn": mtkn, **{key: percent(value) for key, value in row.items()}}) for row in answer.rows
    ]
    count = len(rows) if answer.counted is None else answer.counted
    tail = (
        "],"
        + compact(
            {
                "action_value": answer.value,
                "description": answer.description,
                "session_token": token.lower(),
                "mtkn": mtkn,
                "action_records": str(count),
                "action_db_duration": str(timing.db_ms),
                "action_app_duration": str(timing.app_ms),
            }
        )[1:]
    )
    tail += "}}"
    if nuls and len(str(timing.app_ms)) > len(str(timing.db_ms)):
        tail += NULS
    return [head, *(row if place == 0 else "," + row for place, row in enumerate(rows)), tail]


def whole(action: str, mtkn: str, token: str, answer: Answer, timing: Timing) -> str:
    """Answer the one text of a whole answer; `mtkn` stands twice in it, as recorded."""
    return "".join(fragments_of(action, mtkn, token, answer, timing, nuls=False))


def push(source: str, rows: list[Row], token: str) -> str:
    """Answer a push. Its values are not percent-encoded."""
    return compact(
        {
            "response": {
                "properties": {
                    "action_name": "refresh",
                    "data_source": source,
                    "mtkn": "-1",
                    "data": rows,
                    "action_value": "0",
                    "description": "",
                    "session_token": token.lower(),
                }
            }
        }
    )


def encode_whole(text: str) -> str:
    """Answer a whole answer percent-encoded once more, as code supports it and nobody recorded."""
    return quote(text, safe="-_.!~*'()")
