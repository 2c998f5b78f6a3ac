"""`atalaia replay`: what the product understands of a capture, without network or database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from atalaia.cli.common import fail
from atalaia.connectors.asterisk.replay import replay_file
from atalaia.errors import AtalaiaError


def replay(
    connector: Annotated[str, typer.Argument(help="Which connector the capture is of: asterisk.")],
    file: Annotated[Path, typer.Argument(help="The capture, one JSON object a line.")],
    messages: Annotated[
        bool, typer.Option("--messages", help="Print what consumers would get instead of the facts.")
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
    if connector != "asterisk":
        fail(f"There is no replay for “{connector}”. Known: asterisk.")
    try:
        lines = replay_file(
            file,
            etc=etc,
            clients=clients,
            endpoints=endpoints,
            ringgroups=ringgroups,
            mqservers=mqservers,
            messages=messages,
            server=server,
        )
        for line in lines:
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    except AtalaiaError as error:
        fail(str(error))
    except BrokenPipeError:
        raise typer.Exit(0) from None  # `| head` has seen enough
