"""A process of its own that hands one notice to one place by Apprise, and says how it went.

`python -m atalaia.desk.alerts.postman` reads one JSON object from standard input and prints one; see
`sending.py`. Apprise with its hundred services is 30 MiB and blocks: here it costs the hub neither, ends at
a limit whatever a service does, and every address that it dials is checked first.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, cast

from atalaia.deliveries.guard import Guard, Refusal
from atalaia.errors import ConfigError

# What acts on this machine instead of telling somebody.
_LOCAL = frozenset({"dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
SAID_CHARS_MAX = 300
_BLANKS = re.compile(r"<[^>]+>|\s+")
_TOLD = re.compile(r"fail|error|exception|refus|unable|denied|invalid|unauthori", re.IGNORECASE)
# What `requests` wraps around the one thing that went wrong.
_CAUSE = re.compile(r"Caused by \w+\(.*?: (?P<why>[^\"]+)\"?\)")


def main() -> None:
    """Do what standard input asks."""
    asked: dict[str, Any] = json.load(sys.stdin)
    json.dump(work(asked), sys.stdout)


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer {"ok": bool, "service": str, "said": str}.

    asked: {"place": an Apprise address, "allow": private networks that may be dialled, and to send: "id",
    "title", "body", "severity"}; without "title" the address is only read.
    """
    import apprise  # slow and large, so only here

    place = str(asked["place"])
    if (found := re.match(r"\s*([\w-]+)://", place)) is None or found[1].lower() in _LOCAL:
        return {"ok": False, "service": "", "said": "This is no address of a service that can be told."}
    lines: list[str] = []
    _listen(lines)
    made: Any = apprise.Apprise  # its own types are half there
    service: Any = made.instantiate(place, suppress_exceptions=True)
    if service is None:
        return {
            "ok": False,
            "service": "",
            "said": "Apprise does not understand this address. Compare it with its documentation.",
        }
    name = str(service.service_name or service.app_id)
    if "title" not in asked:
        return {"ok": True, "service": name, "said": ""}
    refused: list[str] = []
    try:
        guard_dials(Guard(cast("list[str]", asked["allow"])), refused)
    except ConfigError as error:
        return {"ok": False, "service": name, "said": str(error)}
    headers: Any = getattr(service, "headers", None)
    if isinstance(headers, dict):  # web hooks and e-mail: a notice that comes twice can be told by it
        headers["X-Atalaia-Notice"] = str(asked["id"])
    kinds = {"urgent": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}
    kind = kinds.get(str(asked.get("severity")), apprise.NotifyType.INFO)
    ok = bool(service.notify(body=str(asked["body"]), title=str(asked["title"]), notify_type=kind))
    return {"ok": ok, "service": name, "said": "" if ok else (refused or [_said(lines)])[-1]}


def guard_dials(guard: Guard, refused: list[str]) -> None:
    """Refuse, for the rest of this process, to connect to what the guard does not allow; note why.

    Every library dials through Python's sockets, and those announce each dial to the audit hook before it is
    made, with the address after names were resolved.
    """

    def look(event: str, given: tuple[Any, ...]) -> None:
        if event != "socket.connect":
            return
        address: Any = given[1]
        try:
            if not isinstance(address, tuple):
                raise Refusal("Only internet addresses may be dialled.")
            parts = cast("tuple[Any, ...]", address)
            guard.check_address(str(parts[0]), int(parts[1]))
        except Refusal as no:
            refused.append(str(no))
            raise

    sys.addaudithook(look)


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


def _listen(lines: list[str]) -> None:
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(_Lines(lines))
    logger.propagate = False


def _said(lines: list[str]) -> str:
    """Answer what is known of a failure: what Apprise warned of, and the cause that it logs beside it."""
    words: list[str] = []
    for line in lines:
        if "Payload:" in line or not _TOLD.search(line):
            continue
        cause = _CAUSE.search(line)
        words.append(_BLANKS.sub(" ", cause["why"] if cause else line).strip())
    text = " ".join(dict.fromkeys(words[-2:]))
    return text[:SAID_CHARS_MAX] or "The service did not take it and did not say why."


if __name__ == "__main__":
    main()
