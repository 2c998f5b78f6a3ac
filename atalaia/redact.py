"""The one place that masks: nothing secret reaches a log line, a screen, an API answer or an export.

Three nets, each enough for its case: names (`password`, `PW:`, `Authorization`), shapes (`Bearer …`,
`//user:password@host`, `?api_key=…`) and values that were told to `learn` at run time.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, quote_plus

import orjson

MASK = "•••"
# Shorter values would mask half of every sentence; they still hide behind their key's name.
LEARN_CHARS_MIN = 4
PATTERN_MOST = 200  # spellings up to which one pattern is faster than looking at each letter

_SECRET_WORDS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "authorization", "apikey", "cookie",
    "credential", "privatekey", "accesskey", "adminkey", "signingkey", "senha",
)  # fmt: skip
_SECRET_NAMES = frozenset({"pw", "pass", "auth", "csrf", "sig", "signature", "sessionid", "phpsessid"})
# Names that only speak about secrets: how many there are, when they changed, how to recognise them.
_HARMLESS = re.compile(
    r"(^has)|((hint|count|limit|at|ms|name|names|id|ids|set|expires|type|kind|scopes?|url)$)"
)

_NAME = (
    r"(?P<name>[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|"
    r"admin[_-]?key|private[_-]?key|cookie|credential|senha)[\w-]*|pw)"
)


def _keep_head(found: re.Match[str]) -> str:
    return f"{found['head']}{MASK}{found.groupdict().get('tail') or ''}"


def _if_named(found: re.Match[str]) -> str:
    return _keep_head(found) if is_secret_name(found["name"]) else found[0]


def _if_random(found: re.Match[str]) -> str:
    """Mask what follows `Basic` unless it is an ordinary word."""
    plain = found["value"].isalpha() and found["value"].islower()
    return found[0] if plain else _keep_head(found)


_AUTHORIZATION = r"(?P<head>\b(?:proxy-)?authorization\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\s\"'\\][^\r\n\"'\\]*"
_QUOTED = r"(?P<head>\\?[\"']" + _NAME + r"\\?[\"']\s*[:=]\s*(?P<quote>\\?[\"'])).*?(?P<tail>(?P=quote))"

_SHAPES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    # Authorization: Basic dXNlcjpwYXNz, and the schemes wherever they stand.
    (re.compile(_AUTHORIZATION, re.IGNORECASE), _keep_head),
    (re.compile(r"(?i)(?P<head>\b(?:basic|bearer|digest)\s+)(?P<value>[\w+/=.~:-]{6,})"), _if_random),
    # scheme://user:password@host; a user without password may itself be a token.
    (re.compile(r"(?i)(?P<head>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@\"'<>\\]*(?P<tail>@)(?=[^\s])"), _keep_head),
    (re.compile(r"(?i)(?P<head>[?&;](?:[\w.-]*(?:key|sig|signature|auth))=)[^&\s\"'<>\\#]+"), _keep_head),
    # "password": "…" inside of text that is not JSON as a whole; also with escaped quotes.
    (re.compile(_QUOTED, re.IGNORECASE), _if_named),
    # password=…, PW: …; up to the next blank or separator.
    (re.compile(r"(?i)(?P<head>\b" + _NAME + r"\s*[:=]\s*)[^\s,;&\"'<>\\•][^\s,;&\"'<>#]*"), _if_named),
)
# One cheap look decides whether any of the above can match.
_SUSPECT = re.compile(
    r"(?i)pass|pwd|secret|token|auth|key|cookie|credential|senha|://|basic|bearer|digest|\bpw\b|[?&;]sig|\\u00"
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Answer whether what stands under this key is masked, e.g. `x-admin-key`, `ARI_PASSWORD`, `pw`."""
    flat = re.sub(r"[^a-z0-9]", "", name.lower())
    if flat in _SECRET_NAMES:
        return True
    return any(word in flat for word in _SECRET_WORDS) and not _HARMLESS.search(flat)


class Redactor:
    """Masks text and JSON values; cheap when there is nothing to mask, and with thousands of secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._heads: dict[str, list[str]] = {}  # spellings by their first letters, the longest first
        self._spellings = 0
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """Mask this value wherever it shows up from now on, also quoted, escaped or in base64."""
        if len(secret) < LEARN_CHARS_MIN or secret in self._known:
            return
        self._known.add(secret)
        self._pattern = None
        for spelling in _spellings(secret):
            alike = self._heads.setdefault(spelling[:LEARN_CHARS_MIN], [])
            if spelling not in alike:
                alike.append(spelling)
                alike.sort(key=len, reverse=True)
                self._spellings += 1

    def _hide(self, text: str) -> str:
        """Answer `text` with the learned values masked.

        A pattern tries all of its alternatives at each letter, and is compiled anew for each new secret:
        with the tokens of thousands of connections both would take seconds.
        """
        if not self._heads:
            return text
        if self._spellings > PATTERN_MOST:
            return _scan(text, self._heads)
        if self._pattern is None:
            known = (one for alike in self._heads.values() for one in alike)
            self._pattern = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True))))
        return self._pattern.sub(MASK, text)

    def text(self, text: str) -> str:
        """Answer `text` with secrets masked."""
        text = self._hide(text)
        if not _SUSPECT.search(text):
            return text
        for pattern, instead in _SHAPES:
            text = pattern.sub(instead, text)
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """Answer a JSON-able value with secrets masked at every depth; `name` is the key it stands under."""
        if name and is_secret_name(name) and not isinstance(value, (bool, type(None))):
            return value if value in ("", [], {}) else MASK
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value).items()
            return {self._key(key): self.value(inner, str(key)) for key, inner in items}
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(inner, name) for inner in cast("Iterable[Any]", value)]
        if isinstance(value, (bytes, bytearray)):
            return self.text(bytes(value).decode(errors="replace"))
        return value

    def json(self, body: str) -> str:
        """Answer JSON text with secrets masked; text without any comes back as it is, to the byte."""
        if not _SUSPECT.search(body) and self._hide(body) == body:
            return body
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self.text(body)
        masked = self.value(value)
        return body if masked == value else orjson.dumps(masked).decode()

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Answer HTTP headers with secrets masked."""
        return [(name, MASK if is_secret_name(name) else self.text(value)) for name, value in headers]

    def processor(
        self, _logger: object, _method: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Mask one structlog entry; stands last before the renderer."""
        for name, value in fields.items():
            if name.startswith("_") or isinstance(value, (bool, int, float, type(None))):
                continue  # structlog's own, or nothing that could hold a secret
            fields[name] = self.value(value if _is_plain(value) else repr(value), name)
        return fields

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) else key


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, bytes, Mapping, list, tuple, set, frozenset, int, float, type(None)))


def _scan(text: str, heads: Mapping[str, list[str]]) -> str:
    """Answer `text` with each of these values masked, the longest that begins at a letter first."""
    parts: list[str] = []
    done = place = 0
    last = len(text) - LEARN_CHARS_MIN
    while place <= last:
        alike = heads.get(text[place : place + LEARN_CHARS_MIN])
        found = next((one for one in alike if text.startswith(one, place)), "") if alike else ""
        if found:
            parts += (text[done:place], MASK)
            done = place = place + len(found)
        else:
            place += 1
    return "".join((*parts, text[done:])) if parts else text


def _spellings(secret: str) -> set[str]:
    """Answer the ways in which a secret is written: plain, in a URL, in JSON, in base64."""
    encoded = base64.b64encode(secret.encode(errors="surrogatepass")).decode()
    forms = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        encoded,
    }
    if not any("\ud800" <= char <= "\udfff" for char in secret):
        forms |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    # A short base64 word could be anything.
    return {form for form in forms if len(form) >= LEARN_CHARS_MIN}
