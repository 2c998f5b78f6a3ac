"""Makes any text fit the database, so that one odd event never holds up those that wait beside it."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

import orjson

# What UTF-8 cannot say (halves of surrogate pairs) and what PostgreSQL cannot keep (NUL).
_ODD = re.compile("[\x00\ud800-\udfff]")
_LAST_MS = 253_402_300_799_999  # the end of the year 9999: later times cannot be written out


def fit(text: str, chars_max: int) -> str:
    """Answer `text`, or when it is too long or odd a stand-in that differs whenever the text differs."""
    odd = not text.isascii() or "\x00" in text
    if len(text) <= chars_max and not (odd and _ODD.search(text)):
        return text
    mark = "~" + blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return _ODD.sub("\ufffd", text)[: chars_max - len(mark)] + mark


def fit_json(body: str) -> str:
    """Answer JSON text in which odd characters are written as escapes; it means the same."""
    if body.isascii() and "\x00" not in body:
        return body
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", body)


def fit_ms(unix_ms: int) -> int:
    """Answer a time that can be stored and written out; nonsense from upstream becomes the nearest end."""
    return min(max(unix_ms, 0), _LAST_MS)


def fit_text(text: str, chars_max: int) -> str:
    """Answer a sentence for people, without odd characters and not longer than `chars_max`."""
    return _ODD.sub("\ufffd", text[:chars_max])


def dump_json(value: Any) -> str:
    """Answer JSON text that any database keeps. Errors: `TypeError`, `ValueError`."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Whole numbers beyond 64 bits and halves of surrogate pairs are JSON, but orjson refuses them.
        return json.dumps(value, allow_nan=False)


def load_json(text: str) -> Any:
    """Read what `dump_json` wrote, or any JSON text. Errors: `ValueError`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
