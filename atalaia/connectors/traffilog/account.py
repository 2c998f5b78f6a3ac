"""Surface A: log in by HTTP. One login is for one socket; a token never leaves this process's memory."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp

from atalaia.ambient import Ambient
from atalaia.clock import within
from atalaia.connectors.traffilog.login import HEADERS, login_body, read_login
from atalaia.connectors.traffilog.reach import (
    Cause,
    Unreached,
    context_of,
    probe,
    read_client_error,
)
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import Token
from atalaia.errors import Refused, Unavailable, Unreadable

ASK_ADDRESS = "Correct the API address, the GUID and the version in the connection's settings."


class Account:
    """The HTTP client of one session: it logs in, and its pool dials the sockets of surface B."""

    def __init__(self, settings: TraffilogSettings, ambient: Ambient) -> None:
        self.settings = settings
        self.ambient = ambient

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context_of(self.settings), force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def log_in(
        self, *, tries: int | None = None, failed: Callable[[Unavailable], None] = lambda _: None
    ) -> Token:
        """Answer a fresh token. failed: hears of each failure after which it is tried again.

        Errors: `Refused` for a wrong name or password, or an address at which there is no API; `Unavailable`
        (mostly `Unreached`, with the cause) after the last try: balancer blips and exhausted pools pass.
        """
        most = tries or self.settings.login_tries
        n = 1
        while True:
            try:
                return await self._try()
            except Unavailable as error:
                if n >= most:
                    raise
                failed(error)
            await self.ambient.clock.sleep(self.settings.login_pause_s * n)
            n += 1

    async def _try(self) -> Token:
        status, body = await self._post()
        if status in (404, 405, 410):
            said = f"There is no login at this address (HTTP {status})."
            raise Refused(said, ask=ASK_ADDRESS, cause=Cause.LOGIN)
        try:
            return read_login(status, body)
        except Refused as error:
            if self.settings.password.get_secret_value() in str(error):  # the upstream says it back
                raise Refused("The login was refused.", ask=error.ask, cause=error.cause) from None
            raise
        except Unreadable as error:
            raise Unreached(Cause.LOGIN, str(error)) from error
        except Unavailable as error:
            raise Unreached(Cause.LOGIN, str(error)) from error

    async def _post(self) -> tuple[int, bytes]:
        settings, url = self.settings, self.settings.login_url
        body = login_body(settings.user, settings.password.get_secret_value())

        async def ask() -> tuple[int, bytes]:
            async with self.http.post(url, data=body, headers=HEADERS, allow_redirects=False) as response:
                return response.status, await response.read()

        try:
            return await within(self.ambient.clock, settings.login_within_s, ask())
        except TimeoutError:
            raise await self.silent(url, "The login was not answered in time.") from None
        except aiohttp.ClientError as error:
            raise read_client_error(error, url) from None

    async def silent(self, url: str, said: str) -> Unreached:
        """Answer why nothing came from `url`: the way there is broken, or what is there hangs."""
        way = await probe(url, self.settings, self.ambient.clock)
        cause = Cause.LOGIN if url == self.settings.login_url else Cause.SOCKET
        return way.failed or Unreached(cause, said)
