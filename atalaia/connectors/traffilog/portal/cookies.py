"""The portal's cookies: merged from every answer, sent in one fixed order. Held in memory only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SESSION = ("TFL_SESSION", "ASP.NET_SessionId")  # what a login gives; without them the next ask logs in
# Ours, as the portal's own screens set them after a login.
CONSTANT = {
    "EULA_APPROVED": "1",
    "LOGIN_DATA": "",
    "APPLICATION_ROOT_NODE": "%7B%22node%22%3A%22-2%22%7D",
}
ORDER = (
    "ASP.NET_SessionId", "TFL_SESSION", "EULA_APPROVED", "APPLICATION_ROOT_NODE", "LOGIN_DATA", "AWSALB",
    "AWSALBCORS",
)  # fmt: skip
_ENDED = re.compile(r"max-age\s*=\s*(?:0|-)|expires\s*=[^;]*\b1970\b", re.IGNORECASE)


class Cookies:
    """What the portal gave us to show. Values are kept as they came: its load balancer compares bytes."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def merge(self, set_cookie: Iterable[str]) -> None:
        """Take over the `Set-Cookie` lines of an answer; one that has ended is forgotten."""
        for line in set_cookie:
            name, value, ended = _read(line)
            if ended:
                self._values.pop(name, None)
            elif name:
                self._values[name] = value

    def add_constant(self) -> None:
        """Add what the portal's own screens add after a login."""
        self._values.update(CONSTANT)

    def drop_session(self) -> None:
        """Forget the login, keep the load balancer's cookies."""
        for name in SESSION:
            self._values.pop(name, None)

    def clear(self) -> None:
        self._values.clear()

    def header(self) -> str:
        """Answer the value of the `Cookie` header: known names in the portal's order, then the others."""
        known = [name for name in ORDER if name in self._values]
        others = [name for name in self._values if name not in ORDER]
        return "; ".join(f"{name}={self._values[name]}" for name in (*known, *others))

    @property
    def values(self) -> Mapping[str, str]:
        return self._values


def _read(line: str) -> tuple[str, str, bool]:
    """Answer name, value and whether the cookie is being taken back."""
    name, _, rest = line.partition("=")
    value, _, attributes = rest.partition(";")
    return name.strip(), value.strip(), _ENDED.search(attributes) is not None
