"""What a person has to do about a session when everything that may be tried was tried.

Source: contract WhatsApp, sections 2.3 and 2.4.
"""

from __future__ import annotations

from atalaia.connections.truth import Truth

LEFTOVER = (
    "At the server: end the browser that still owns this session's profile, remove Singleton* from the "
    "profile's folder, and start the session. If that fails, restart the server."
)
DEAF = (
    "Look at a screenshot of the session's page. If the account is open at a second server, too, close it "
    "there. If not, restart the server; pair anew only as the last resort."
)
CLOSED = "Look at the server's log for why the session does not stay open, then restart the server."
ASKS: dict[str, str] = {
    Truth.STARTING: LEFTOVER, Truth.HUNG: LEFTOVER, Truth.BROWSER_LOST: LEFTOVER, Truth.CLOSED: CLOSED,
    Truth.DEAF: DEAF, Truth.NO_ACK: DEAF, Truth.SILENT: DEAF,
}  # fmt: skip
