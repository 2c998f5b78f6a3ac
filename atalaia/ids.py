"""Identifiers, handed in like time."""

from __future__ import annotations

import hashlib
from typing import Protocol

import uuid_utils


class Ids(Protocol):
    """Gives out identifiers."""

    def new(self) -> str:
        """Answer a fresh UUID version 7, in its usual text form."""
        ...


class SystemIds:
    """UUIDv7 from the machine's clock and randomness."""

    def new(self) -> str:
        return str(uuid_utils.uuid7())


class CountedIds:
    """Readable ids in a fixed order: for tests and deterministic replays."""

    def __init__(self, start_ms: int = 0) -> None:
        self._start_ms = start_ms
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return derived_uuid7(self._start_ms, f"counted:{self._count}")


def derived_uuid7(unix_ms: int, seed: str) -> str:
    """Answer the UUIDv7 of this time whose random bits come from `seed`.

    The same time and seed give the same id, so that folding the log again names things as before.
    Source: RFC 9562 section 5.7 (layout of the bits).
    """
    digest = hashlib.blake2b(seed.encode(errors="surrogatepass"), digest_size=10).digest()
    noise = int.from_bytes(digest, "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | ((noise >> 62) & 0xFFF) << 64
    value |= 0b10 << 62 | (noise & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
