"""`atalaia replay`: what the product understands of a capture, without network or database."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer

from atalaia.cli.common import fail
from atalaia.errors import AtalaiaError

CONNECTORS = ("asterisk", "traffilog", "wppconnect")
SHOWN_CHARS = 60
UNSAID = frozenset({"type", "time", "message", "serialized", "occurred_at"})  # said before, or by `key`
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def replay(
    connector: Annotated[
        str, typer.Argument(help=f"Which connector the capture is of: {', '.join(CONNECTORS)}.")
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="The capture. asterisk: one JSON object a line. traffilog: frames of the socket (JSONL, or a"
            " HAR from the browser's developer tools), a vehicle's record (JSON), or a folder of records."
            " wppconnect: a webhook's body, a list or lines of them, a transcript with records, or a folder."
        ),
    ],
    messages: Annotated[
        bool,
        typer.Option(
            "--messages",
            help="Instead of the facts: what consumers would get (asterisk), the messages as they were put"
            " together (traffilog), what was heard (wppconnect).",
        ),
    ] = False,
    readable: Annotated[
        bool, typer.Option("--readable", help="One short line for people instead of one JSON object.")
    ] = False,
    etc: Annotated[
        Path | None,
        typer.Option("--etc", envvar="ATALAIA_ASTERISK_ETC", help="Folder with the configuration files."),
    ] = None,
    clients: Annotated[
        Path | None, typer.Option(help="Clients, instead of --etc's __CLIENTES__.DEF.")
    ] = None,
    endpoints: Annotated[
        Path | None, typer.Option(help="Endpoints, instead of --etc's endpoints_pjsip.def.")
    ] = None,
    ringgroups: Annotated[
        Path | None, typer.Option(help="Ring groups, instead of --etc's ringgroups.def.")
    ] = None,
    mqservers: Annotated[
        Path | None, typer.Option(help="AMQP servers, instead of --etc's __MQSERVERS__.DEF.")
    ] = None,
    server: Annotated[str | None, typer.Option(help="Name of the server; else the capture's own.")] = None,
) -> None:
    """Read a capture and print one JSON object for each fact, message or unreadable line."""
    if connector not in CONNECTORS:
        fail(f"There is no replay for “{connector}”. Known: {', '.join(CONNECTORS)}.")
    named: dict[str, Any] = {
        "etc": etc,
        "clients": clients,
        "endpoints": endpoints,
        "ringgroups": ringgroups,
        "mqservers": mqservers,
        "server": server,
    }
    try:
        for line in _lines(connector, file, messages, named):
            said = readable_line(line).encode() if readable else orjson.dumps(line)
            sys.stdout.buffer.write(said + b"\n")
    except AtalaiaError as error:
        fail(str(error))
    except BrokenPipeError:
        raise typer.Exit(0) from None  # `| head` has seen enough


def _lines(connector: str, file: Path, messages: bool, named: dict[str, Any]) -> Iterator[dict[str, object]]:
    if connector == "traffilog":
        from atalaia.connectors.traffilog.replay import replay_file as replay_traffilog

        return replay_traffilog(file, messages=messages)
    if connector == "wppconnect":
        from atalaia.connectors.wppconnect.replay import replay_file as replay_wppconnect

        return replay_wppconnect(file, messages=messages)
    from atalaia.connectors.asterisk.replay import replay_file

    return replay_file(file, messages=messages, **named)


def readable_line(line: Mapping[str, Any]) -> str:
    """Answer what one line says, for people: when, what, and what is known of it without ids and blanks."""
    what = str(line.get("type") or line.get("kind") or "message")
    inner = line.get("data", line.get("body"))
    about = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else line
    known = [f"{name}={_short(value)}" for name, value in about.items() if _tells(name, value)]
    return f"{str(line.get('time') or '')[:19]:19}  {what:22}  {' '.join(known)}".rstrip()


def _tells(name: str, value: Any) -> bool:
    if name in UNSAID or (name == "kind" and value in ("fact", "message", "summary", "unreadable")):
        return False
    return value not in (None, "", [], {}, False) and not _UUID.fullmatch(str(value))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value)
        return "(" + " ".join(f"{n}={_short(one)}" for n, one in inner.items() if _tells(n, one)) + ")"
    text = str(value).replace("\n", " ")
    text = text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
    return f"“{text}”" if " " in text else text
