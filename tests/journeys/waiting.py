"""Waiting for what another process does: look again and again, with a generous end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, cast, overload

import pytest

T = TypeVar("T")
LOOK_EVERY_S = 0.05


@overload
async def until(
    look: Callable[[], Awaitable[T]], what: str, *, within_s: float = ..., every_s: float = ...,
    known: Callable[[], object] | None = ...,
) -> T: ...  # fmt: skip
@overload
async def until(
    look: Callable[[], T], what: str, *, within_s: float = ..., every_s: float = ...,
    known: Callable[[], object] | None = ...,
) -> T: ...  # fmt: skip
async def until(
    look: Callable[[], Awaitable[T] | T],
    what: str,
    *,
    within_s: float = 60,
    every_s: float = LOOK_EVERY_S,
    known: Callable[[], object] | None = None,
) -> T:
    """Answer the first true value that `look` gives; fail with `what` when none came `within_s`.

    known: said when it fails, to see how far things had come.
    """
    end = time.monotonic() + within_s
    while True:
        found = look()
        value = await found if isawaitable(found) else found
        if value:
            return cast("T", value)
        if time.monotonic() > end:
            more = f"; known: {known()}"[:3000] if known else ""
            pytest.fail(f"not within {within_s:g} s: {what}{more}", pytrace=False)
        await asyncio.sleep(every_s)
