"""The small agent beside a server that can do what its API cannot: end a leftover browser.

A browser that outlives its session keeps the profile locked, and the session can never start again. The agent
ends the processes of that one profile and removes its `Singleton*` files; it touches nothing else.
Source: contract WhatsApp, sections 2.3 and 2.4.
"""

from __future__ import annotations

from urllib.parse import quote

from atalaia.clock import Clock
from atalaia.connectors.wppconnect.calls import Caller, Place, refused
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.errors import Unavailable


class BrowserAgent(Caller):
    """`DELETE <agent>/profiles/<session>/browser` with a bearer token; 2xx when none of it runs any more."""

    def __init__(self, settings: WppconnectSettings, clock: Clock) -> None:
        token = settings.browser_token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(settings, Place(settings.browser_url, "browser agent"), clock, headers)

    async def end(self, session: str) -> None:
        """End the browser of one session. Errors: `Unavailable`, `Refused`."""
        path = f"/profiles/{quote(session, safe='')}/browser"
        reply = await self._calls.ask("DELETE", path, within_s=self._settings.answer_within_s)
        error = refused(reply, self._calls.place)
        if error is not None:
            raise error
        if not reply.ok:
            raise Unavailable(f"The browser agent did not end the browser (HTTP {reply.status}).")
