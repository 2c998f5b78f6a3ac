"""Messages out of the socket's texts: whole, percent-encoded, or in fragments of several answers at once.

Fragments of different answers interleave, so they are kept by their `mtkn` and never joined as text. No text
is lost: each is part of exactly one message, at the latest of what `close` answers.
Source: contracts/traffilog.md §3.4 to §3.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

from atalaia.connectors.traffilog.wire import (
    Answer,
    Incoming,
    Json,
    Push,
    Row,
    Strange,
    read_error,
    read_object,
    read_properties,
    text_of,
)
from atalaia.errors import Unreadable

STREAMS_MAX = 1_000  # more answers than this are never open; the oldest is ended
ROWS_MAX = 100_000


@dataclass
class _Stream:
    """One answer on its way. head: its properties before `data`; None when it was first met in its middle."""

    head: Json | None
    rows: list[Row] = field(default_factory=list[Row])
    fragments: int = 0


class Assembler:
    """Puts the messages of one socket together. No clock: whoever waits decides when to `end` a stream."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    @property
    def open(self) -> dict[str, int]:
        """The answers on their way: `mtkn` to the number of rows so far."""
        return {mtkn: len(stream.rows) for mtkn, stream in self._streams.items()}

    def take(self, text: str | bytes) -> list[Incoming]:
        """Answer the messages that this text completes. Never raises: what is not understood is `Strange`."""
        try:
            plain = text.decode() if isinstance(text, bytes) else text
        except UnicodeDecodeError:
            return [Strange(cast("bytes", text).decode("latin-1"), "no UTF-8")]
        clean = plain.rstrip("\x00 \r\n\t")
        if clean.startswith("%"):
            clean = unquote(clean, errors="replace")
        try:
            return self._take(clean)
        except Unreadable as error:
            return [Strange(plain, str(error))]

    def end(self, mtkn: str) -> Answer | None:
        """End one stream whose tail did not come; None when there is no row of it, and it stays open.

        An answer with rows is better than none, and is marked partial.
        """
        stream = self._streams.get(mtkn)
        if stream is None or not stream.rows:
            return None
        return self._ended(mtkn)

    def close(self) -> list[Incoming]:
        """End all streams: the socket is gone."""
        return [self._ended(mtkn) for mtkn in list(self._streams)]

    def _take(self, text: str) -> list[Incoming]:
        if text.startswith('{"response"') and text.endswith('"data":['):
            return self._head(text)
        if text.startswith(",{"):
            return self._row(read_object(text[1:]))
        if text.startswith("],"):
            return self._tail(text)
        whole = read_object(text)
        if "response" in whole:
            return [_response(whole)]
        mtkn = text_of(whole, "mtkn")
        if mtkn and (mtkn in self._streams or "action_value" not in whole):
            return self._row(whole)
        if "action_value" in whole:
            return [read_error(whole)]
        raise Unreadable("neither an answer nor a push nor an error")

    def _head(self, text: str) -> list[Incoming]:
        head = _properties(read_object(text + "]}}}"))
        mtkn = text_of(head, "mtkn")
        if not mtkn:
            raise Unreadable("the head of an answer without `mtkn`")
        ended: list[Incoming] = []
        known = self._streams.get(mtkn)
        if known is not None and known.head is not None:  # the first one's tail was lost
            ended.append(self._ended(mtkn))
            known = None
        stream = known or self._open(mtkn, ended)
        stream.head = head
        stream.fragments += 1
        return ended

    def _row(self, row: Row) -> list[Incoming]:
        mtkn = text_of(row, "mtkn")
        if not mtkn:
            raise Unreadable("a row without `mtkn`")
        ended: list[Incoming] = []
        stream = self._streams.get(mtkn) or self._open(mtkn, ended)
        stream.rows.append(row)
        stream.fragments += 1
        if len(stream.rows) >= ROWS_MAX:
            ended.append(self._ended(mtkn))
        return ended

    def _tail(self, text: str) -> list[Incoming]:
        if not text.endswith("}}}"):
            raise Unreadable("the tail of an answer, cut")
        tail = read_object("{" + text[2:-2])
        mtkn = text_of(tail, "mtkn")
        if not mtkn:
            raise Unreadable("the tail of an answer without `mtkn`")
        stream = self._streams.pop(mtkn, None) or _Stream(None)
        stream.fragments += 1
        return [_joined(mtkn, stream, tail)]

    def _open(self, mtkn: str, ended: list[Incoming]) -> _Stream:
        if len(self._streams) >= STREAMS_MAX:
            ended.append(self._ended(next(iter(self._streams))))
        stream = self._streams[mtkn] = _Stream(None)
        return stream

    def _ended(self, mtkn: str) -> Answer:
        return _joined(mtkn, self._streams.pop(mtkn), {}, cut=True)


def _joined(mtkn: str, stream: _Stream, tail: Json, *, cut: bool = False) -> Answer:
    """Answer what a stream amounts to. Without a tail its rows are taken as good, and marked partial."""
    whole: dict[str, Any] = {**(stream.head or {}), **tail, "mtkn": mtkn, "data": stream.rows}
    if cut and not any("error_code" in row for row in stream.rows):
        whole["action_value"] = "0"
    whole.pop("data_source", None)  # a push is never fragmented; this is an answer
    read = read_properties(whole, fragments=stream.fragments, cut=cut)
    if isinstance(read, Push):  # only if the upstream fragments with the pushes' own mtkn
        return Answer(read.source, mtkn, "0", read.rows, (), whole, partial=True, fragments=stream.fragments)
    return read


def _response(whole: Json) -> Incoming:
    return read_properties(_properties(whole))


def _properties(whole: Json) -> Json:
    response: Any = whole.get("response")
    properties: Any = cast("Json", response).get("properties") if isinstance(response, dict) else None
    if not isinstance(properties, dict):
        raise Unreadable("a response without `properties`")
    return cast("Json", properties)
