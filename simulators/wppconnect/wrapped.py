"""How the gateway talks to the server behind it: over HTTP like anybody, with a limit of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from atalaia.clock import within
from simulators.wppconnect.models import Json, as_object

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host


class WrapError(Exception):
    """The server did not answer as the gateway hoped. `code` is the gateway's `error_code`."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Answered:
    """What the server said: a JSON value, or bytes of another type."""

    status: int
    kind: str
    data: Any

    @property
    def object(self) -> Json:
        return as_object(self.data)


class Wrapped:
    """The server, seen from the gateway. `base` is asked for at each call: ports may change."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.base = ""
        self._client: aiohttp.ClientSession | None = None

    async def ask(self, method: str, session: str, route: str, body: Json | None = None) -> Answered:
        """Call a route of a session. Errors: `WrapError` after 30 s, or when nobody answers there."""
        limit = self.host.pace.gateway_limit_s
        try:
            return await within(self.host.clock, limit, self._ask(method, session, route, body))
        except TimeoutError:
            raise WrapError(f"timeout of {int(limit * 1000)}ms exceeded", "WPPCONNECT_TIMEOUT") from None
        except (aiohttp.ClientError, OSError) as error:
            raise WrapError("connect ECONNREFUSED", "WPPCONNECT_SEND_ERROR") from error

    async def _ask(self, method: str, session: str, route: str, body: Json | None) -> Answered:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        headers = {
            "Authorization": f"Bearer {self.host.token_of(session)}",
            "Content-Type": "application/json",
        }
        url = f"{self.base}/api/{quote(session, safe='')}/{route}"
        async with self._client.request(method, url, json=body, headers=headers) as answer:
            if answer.content_type == "application/json":
                return Answered(answer.status, answer.content_type, await answer.json())
            return Answered(answer.status, answer.content_type, await answer.read())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None


def path_part(text: str) -> str:
    return quote(text, safe="@.")


async def pause(host: Host, seconds: float) -> None:
    """Pause for seconds of the clock; none is none."""
    if seconds > 0:
        await host.clock.sleep(seconds)
    else:
        await asyncio.sleep(0)
