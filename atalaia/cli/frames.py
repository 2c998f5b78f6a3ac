"""`atalaia frames`: what a real client of an upstream sends, beside what we would send."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from atalaia.cli.common import console, fail
from atalaia.connectors.traffilog.capture import SNIPPET, read_capture, to_fixture
from atalaia.connectors.traffilog.compare import Compared, Difference
from atalaia.connectors.traffilog.compare import compare as compare_frames
from atalaia.errors import AtalaiaError

app = typer.Typer(help="Frames of the telematics socket, from captures.", no_args_is_help=True)

Capture = Annotated[
    Path,
    typer.Argument(
        help="A HAR from the browser's developer tools, the console snippet's file, or a recording (JSONL)."
    ),
]


@app.command("compare")
def compare(
    capture: Capture,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a frame.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a frame is different.")] = False,
) -> None:
    """Hold each frame that was sent against what our code would send, field by field. Secrets are masked."""
    try:
        found = compare_frames(read_capture(capture))
    except AtalaiaError as error:
        fail(str(error))
    if as_json:
        for one in found:
            sys.stdout.buffer.write(orjson.dumps(asdict(one)) + b"\n")
    else:
        _show(found)
    if strict and any(one.verdict in ("different", "unreadable") for one in found):
        raise typer.Exit(1)


@app.command("export")
def export(
    capture: Capture,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; else standard output.")
    ] = None,
    socket: Annotated[
        int | None, typer.Option(help="Only this socket of the capture, counted from 0.")
    ] = None,
) -> None:
    """Turn a capture into the form that `replay` and the simulator play, session tokens replaced."""
    try:
        whole = read_capture(capture)
    except AtalaiaError as error:
        fail(str(error))
    frames = [one for one in whole if socket is None or one.socket == socket]
    lines = b"".join(orjson.dumps(line) + b"\n" for line in to_fixture(frames))
    if not lines:
        there = ", ".join(str(one) for one in sorted({one.socket for one in whole}))
        fail(f"There is no socket {socket} in {capture.name}. There are: {there}.")
    if out is None:
        sys.stdout.buffer.write(lines)
        return
    try:
        out.write_bytes(lines)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror or error}")


@app.command("snippet")
def snippet() -> None:
    """Print what to paste into the console of the screens' page, so that it keeps the frames."""
    sys.stdout.write(SNIPPET.read_text(encoding="utf-8"))


def _show(found: list[Compared]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("line", "ms", "action", "verdict", "differences"):
        table.add_column(title, no_wrap=title != "differences")
    for one in found:
        told = "\n".join(_sentence(difference) for difference in one.differences)
        table.add_row(str(one.number), str(one.t_ms), one.action, one.verdict, told)
    console.print(table)
    counts: dict[str, int] = {}
    for one in found:
        counts[one.verdict] = counts.get(one.verdict, 0) + 1
    console.print(
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no frame sent"
    )


def _sentence(one: Difference) -> str:
    sides = (
        "" if one.kind in ("extra", "missing", "shape") else f": {_text(one.theirs)} ≠ ours {_text(one.ours)}"
    )
    note = f" ({one.note})" if one.note else ""
    return f"{one.kind} {one.field}{sides}{note}".replace("  ", " ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else orjson.dumps(value).decode()
