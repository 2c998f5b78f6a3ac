"""The five ways in which an upstream or a consumer fails, named by what happens next."""

from __future__ import annotations


class AtalaiaError(Exception):
    """Base of what we raise on purpose; `str()` is a sentence fit for the screen, without secrets."""


class UpstreamError(AtalaiaError):
    """Something beyond our own walls failed. Each subclass says who acts next.

    cause: a stable word for where it failed, e.g. `dns`; todo: what a person can do about it. Both may be "".
    """

    cause: str = ""
    todo: str = ""


class Unavailable(UpstreamError):
    """Not reachable or not able to answer now: we wait and try again."""


class Refused(UpstreamError):
    """Our credentials are no longer good. Only a person can go on."""

    def __init__(self, said: str, *, ask: str, cause: str = "") -> None:
        super().__init__(said)
        self.ask = self.todo = ask  # shown on the connection's card, e.g. "Scan the QR code"
        self.cause = cause


class Rejected(UpstreamError):
    """The other side understood and said no: the one who asked is told."""


class Unreadable(UpstreamError):
    """We could not understand what came: the bytes are kept for us."""

    def __init__(self, said: str, *, raw: bytes = b"") -> None:
        super().__init__(said)
        self.raw = raw


class InDoubt(UpstreamError):
    """It left and no answer came: look for its trace before anything is sent twice."""


class Fenced(AtalaiaError):
    """Another worker owns this now; what we wanted to write was refused."""


class ConfigError(AtalaiaError):
    """A setting or file is wrong; the text names the field, what it holds and the remedy."""


class StoreUnavailable(AtalaiaError):
    """The database cannot be written or read now; nothing was acknowledged, so nothing is lost."""


_KINDS = {
    "NoneType": "nothing", "str": "text", "int": "number", "float": "number", "bool": "boolean",
    "dict": "object",
}  # fmt: skip


def kind_of(value: object) -> str:
    """Answer what kind of value somebody gave, in words for a refusal: the value itself may be a secret."""
    name = type(value).__name__
    return _KINDS.get(name, name)
