"""Endpoint state: online or offline on change only, and the addresses of registrations.

Only `PeerStatusChange` and the REST reading change a state: `ContactStatusChange` comes at each
registration that moves, also of a phone that was online all along.
Source: contracts/asterisk.md section 7.
"""

from __future__ import annotations

from typing import Any

from atalaia.connectors.asterisk.ledger import Ledger
from atalaia.connectors.asterisk.wire import ID_MAX, ContactChanged, PeerChanged, address_of

# PJSIP says Reachable and Unreachable only; the rest are words of the old chan_sip driver.
STATUS_OF_PEER = {
    "Reachable": "online",
    "Registered": "online",
    "Lagged": "online",
    "Unreachable": "offline",
    "Unregistered": "offline",
    "Rejected": "offline",
}
ALIVE_CONTACT = frozenset({"NonQualified", "Reachable", "Created", "Updated", "Unknown"})


class Endpoints:
    """Folds what is heard of endpoints."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def peer_changed(self, event: PeerChanged) -> None:
        """Take over a state that Asterisk announces."""
        status = STATUS_OF_PEER.get(event.status)
        if status and _is_usable(event.endpoint):
            if event.address:
                self._saw_address(event.endpoint, f"sip:{event.address}", event.at_ms)
            self.set_status(event.endpoint, status, event.at_ms)

    def contact_changed(self, event: ContactChanged) -> None:
        """Learn where a phone is; only Asterisk's own authentication makes a contact."""
        if not _is_usable(event.endpoint):
            return
        if event.status in ALIVE_CONTACT:
            self._saw_address(event.endpoint, event.uri, event.at_ms)
        elif event.status == "Removed":
            saved = self._saved(event.endpoint)
            gone = address_of(event.uri)
            if gone and saved.get("uri") == event.uri:
                self._put(event.endpoint, {**saved, "uri": "", "address": ""})

    def set_status(
        self, endpoint: str, status: str, at_ms: int, *, recovered: str = "", first: bool = False
    ) -> bool:
        """Say a state unless it is known already; answer whether it was news.

        first: the hub learns it for the first time, which is no change for a consumer.
        """
        saved = self._saved(endpoint)
        if not _is_usable(endpoint) or saved.get("status") == status or at_ms < saved.get("since_ms", 0):
            return False
        known = self._ledger.directory.infer(endpoint)
        data: dict[str, Any] = {
            "endpoint": endpoint,
            "status": status,
            "address": saved.get("address", "") if status == "online" else "",
            "client": known.client if known else "",
            "vhost": known.vhost if known else "",
            "type": known.type if known else "",
            "since_ms": at_ms,
            "first": first,
            "recovered": recovered,
        }
        self._put(endpoint, {**saved, "status": status, "since_ms": at_ms})
        self._ledger.say("endpoint.status_changed", endpoint, at_ms, data, f"{endpoint}:{status}:{at_ms}")
        return True

    def status(self, endpoint: str) -> str:
        """Answer the known state, `""` when none was heard."""
        return self._saved(endpoint).get("status", "")

    def _saw_address(self, endpoint: str, uri: str, at_ms: int) -> None:
        found, saved = address_of(uri), self._saved(endpoint)
        if found is None:
            return
        if saved.get("uri") != uri:
            self._put(endpoint, {**saved, "uri": uri, "address": found.host, "seen": found.host})
        known = self._ledger.directory.infer(endpoint)
        if known is None or saved.get("seen") == found.host:
            return
        data = {
            "endpoint": endpoint,
            "address": found.host,
            "port": found.port,
            "public": found.public,
            "client": known.client,
            "vhost": known.vhost,
            "type": known.type,
        }
        dedupe = f"{endpoint}:{found.host}:{at_ms}"
        self._ledger.say("endpoint.address_seen", endpoint, at_ms, data, dedupe)

    def _saved(self, endpoint: str) -> dict[str, Any]:
        return self._ledger.memory.get("endpoint:" + endpoint) or {}

    def _put(self, endpoint: str, value: dict[str, Any]) -> None:
        self._ledger.memory.put("endpoint:" + endpoint, value)


def _is_usable(endpoint: str) -> bool:
    return 0 < len(endpoint) <= ID_MAX and "\x00" not in endpoint
