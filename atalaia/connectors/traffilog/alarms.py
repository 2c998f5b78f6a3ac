"""What people must see of what is heard, and when it is over: schemes that differ, an account that is shared.

An alert is raised again with each new sign of its cause, and resolved once by what proves that it is gone.
"""

from __future__ import annotations

from typing import Any

from atalaia.connectors.traffilog.settings import Sharing
from atalaia.connectors.traffilog.telling import Telling
from atalaia.connectors.traffilog.wire import Json, text_of
from atalaia.events.grouping import same
from atalaia.reactions.interpreter import Memory

SCHEME_CAUSE = "traffilog.scheme"
EVICTED_CAUSE = "traffilog.evicted"
CALM_MS = 30 * 60_000  # in which nobody ended our session, although we used it


def scheme_cause(connection: str, vehicle_id: str = "") -> str:
    """Answer the cause of the alert about a vehicle's scheme; what all of a connection begin with without."""
    return f"{SCHEME_CAUSE}:{connection}:{vehicle_id}"


class Alarms:
    """Takes what sweeps and portal sessions say. The memory knows what is raised."""

    def __init__(self, connection: str, memory: Memory) -> None:
        self._connection = connection
        self._memory = memory

    def verified(self, telling: Telling, vehicle_id: str, body: Json) -> None:
        """Take what a sweep says of one vehicle (`heard.verified`)."""
        verdict, root = text_of(body, "verdict"), text_of(body, "installation")
        told: dict[str, Any] = {
            "vehicle_id": vehicle_id, "plate": text_of(body, "plate"), "assigned": text_of(body, "assigned"),
            "meant": text_of(body, "meant"), "resent": text_of(body, "resent"), "why": text_of(body, "why"),
        }  # fmt: skip
        if root:
            about = {"service": text_of(body, "service"), "job": text_of(body, "job"), "by": "schedule"}
            telling.say("installation.scheme_verified", root, {**about, **told, "verdict": verdict})
        cause = scheme_cause(self._connection, vehicle_id)
        if verdict == "mismatch":
            name = told["plate"] or vehicle_id
            title = f"{name} has the scheme {told['assigned']} in the portal, not {told['meant']}."
            todo = "Write the scheme into the unit again, or correct the scheme of its client."
            if told["resent"]:
                todo = "Nothing yet: the scheme was sent again. If this stays, look at that job."
            grouping = same(SCHEME_CAUSE, self._connection, told["assigned"], told["meant"])
            self._raise(telling, cause, title, todo, told, grouping)
        elif verdict in ("ok", "excluded") or body.get("moved"):
            self._resolve(telling, cause)

    def evicted(self, telling: Telling, body: Json) -> None:
        """Take the end of our portal session by somebody else's login; expected of a shared account."""
        if text_of(body, "sharing") == Sharing.SHARED:
            return
        self._memory.put("evicted_ms", telling.at_ms)
        user = text_of(body, "user")
        title = f"Somebody else signs in to the portal with our account {user}."
        todo = "Give the hub an account that nobody else uses; each login ends the session before it."
        known = {"user": user, "job": text_of(body, "job")}
        self._raise(telling, self._evicted, title, todo, known, same(EVICTED_CAUSE, user))

    def kept(self, telling: Telling) -> None:
        """Take the word that our portal session was used and nobody ended it."""
        last_ms: int | None = self._memory.get("evicted_ms")
        if last_ms is not None and telling.at_ms - last_ms >= CALM_MS:
            self._memory.delete("evicted_ms")
            self._resolve(telling, self._evicted)

    @property
    def _evicted(self) -> str:
        return f"{EVICTED_CAUSE}:{self._connection}"

    def _raise(
        self, telling: Telling, cause: str, title: str, todo: str, known: dict[str, Any], grouping: str
    ) -> None:
        self._memory.put(f"alert:{cause}", value=True)
        detail = {"known": known, "since_ms": telling.at_ms, "todo": todo}
        telling.say(
            "alert.raised", cause, {"cause": cause, "title": title, "detail": detail, "grouping": grouping}
        )

    def _resolve(self, telling: Telling, cause: str) -> None:
        if self._memory.get(f"alert:{cause}"):
            self._memory.delete(f"alert:{cause}")
            telling.say("alert.resolved", cause, {"cause": cause})
