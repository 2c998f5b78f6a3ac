"""Surface A: the login over HTTPS, its answer, and the probe that tells whether a token is good; pure.

Source: contracts/traffilog.md §2.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from atalaia.connectors.traffilog.wire import Json, Token, read_object, text_of
from atalaia.errors import Refused, Unavailable, Unreadable

ASK = "Check the name and the password of this connection."
LOGIN = "login"  # the cause; see `reach.Cause`
RAW_CHARS = 200
_KNOWN = ("action_name", "action_value", "description", "session_token", "mtkn")
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def action_url(base: str, app_guid: str, app_version: str = "1") -> str:
    """Answer the address of surface A, e.g. `https://host/appengine_3/<GUID>/1/json`. No suffix is used."""
    return f"{base.rstrip('/')}/{app_guid}/{app_version}/json"


def login_body(name: str, password: str) -> bytes:
    """Answer the body of a login; it holds the password."""
    parameters = {"login_name": name, "password": password}
    return orjson.dumps({"action": {"name": "user_login", "parameters": parameters}})


def probe_body(token: Token) -> bytes:
    """Answer the body of a request without effect that only a good token can make."""
    return orjson.dumps(
        {"action": {"name": "get_clients_list", "parameters": {"session_token": token.value}}}
    )


def read_login(status: int, body: bytes) -> Token:
    """Read the answer to a login.

    Shape: {"response": {"properties": {"action_value": "0", "session_token": str,
        "data": [{"session_token": str}]}}}; the token is in one of the two places.
    Errors: `Unavailable` for an empty body (load balancers send it), 6666, 500 and other statuses than 200;
        `Refused` for 401, 403 and an answer that says no; `Unreadable` for anything else.
    """
    properties = _read(status, body)
    first = next(iter(_rows(properties)), cast("Json", {}))
    found = text_of(properties, "session_token") or text_of(first, "session_token")
    if found.strip():
        return Token(found.strip())
    value = text_of(properties, "action_value")
    if value == "0":
        raise Unreadable("The login succeeded, but its answer holds no session token.", raw=body)
    # The body of a wrong password was never recorded: what has no words is shown as it came.
    said = (text_of(properties, "description") or text_of(properties, "error_description")).strip()
    said = said or _raw(properties)
    refused = f"The login was refused ({value or 'no code'}{': ' if said else ''}{said})."
    raise Refused(refused, ask=ASK, cause=LOGIN)


def read_probe(status: int, body: bytes) -> bool:
    """Answer whether the token of the probe is good. Errors: `Unavailable`, `Unreadable`."""
    return text_of(_read(status, body), "action_value") == "0"


def _read(status: int, body: bytes) -> Json:
    if status in (401, 403):
        raise Refused(f"The login was refused (HTTP {status}).", ask=ASK, cause=LOGIN)
    if status != 200:
        raise Unavailable(f"The login address answered with HTTP {status}.")
    if not body.strip(b"\x00 \r\n\t"):
        raise Unavailable("The login answered with an empty body, as its load balancer does at times.")
    whole = read_object(body.rstrip(b"\x00 \r\n\t"))
    response: Any = whole.get("response")
    properties: Any = cast("Json", response).get("properties") if isinstance(response, dict) else whole
    if not isinstance(properties, dict) or not (
        "action_value" in properties or "session_token" in properties
    ):
        raise Unreadable("The login answered with JSON of another shape.", raw=body)
    read = cast("Json", properties)
    if text_of(read, "action_value") in ("500", "6666"):
        raise Unavailable(f"The upstream could not log in just now ({text_of(read, 'action_value')}).")
    return read


def _raw(properties: Json) -> str:
    """Answer what else a refusal holds, cut; it holds no token, otherwise it would be none."""
    shown = {key: value for key, value in properties.items() if value and key not in _KNOWN}
    return orjson.dumps(shown).decode()[:RAW_CHARS] if shown else ""


def _rows(properties: Json) -> list[Json]:
    data: Any = properties.get("data")
    rows = cast("list[Any]", data) if isinstance(data, list) else []
    return [cast("Json", row) for row in rows if isinstance(row, dict)]
