"""`atalaia replay`: what the product understands of a capture, without network or database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from atalaia.cli.common import fail
from atalaia.errors import AtalaiaError

CONNECTORS = ("asterisk", "traffilog", "wppconnect")


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
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
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
