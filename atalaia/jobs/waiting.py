"""Small tools for waiting in a job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


class Abandoned(asyncio.CancelledError):
    """This worker may not go on with the job: another one runs it, or it was called off.

    A cancellation, so that no job's code takes it for an error of its own.
    """


async def first_of(*works: Awaitable[Any]) -> None:
    """Wait until one of these is done; the others are given up. Their errors are not raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
