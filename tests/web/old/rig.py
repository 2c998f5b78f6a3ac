"""A site with the simulated portal behind it, and what old clients send: keys, sessions, workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp

from simulators.traffilog import TraffilogSimulator
from tests.connectors.traffilog.portal.bench import settings_for
from tests.web.site import Site

WORKER_KEY, ADMIN_KEY = "worker-key-4711-canary", "admin-key-4711-canary"
KEYS: dict[str, Any] = {"old_worker_key": WORKER_KEY, "old_admin_key": ADMIN_KEY}
WORKER = {"x-worker-key": WORKER_KEY}
ADMIN = {"x-admin-key": ADMIN_KEY}
TECHNICIAN, PASSWORD = "ana", "ana-secret"
SEEN, UNSEEN = "310206", "310273"  # clients that the technician sees, and does not see
SCHEME = {
    "clientId": SEEN,
    "clientName": "Marítima Transportes",
    "vehicleId": "2900166",
    "vehicleSettingId": "5433",
}


@dataclass
class Old:
    """The site, the portal, and a client that shows nothing by itself."""

    site: Site
    sim: TraffilogSimulator
    http: aiohttp.ClientSession
    connection: str = ""

    async def connect(self, **changes: Any) -> None:
        """Set up the connection to the simulated portal."""
        settings = settings_for(self.sim, **changes).model_dump(mode="python")
        plain = {
            name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
            for name, value in settings.items()
        }
        self.connection = await self.site.connection("traffilog", **plain)
        self.sim.portal.add_user(TECHNICIAN, PASSWORD, (SEEN,))

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Answer (status, body); None for an answer without one."""
        async with self.http.request(method, path, json=body, headers=headers or {}) as answer:
            return answer.status, await answer.json(content_type=None) if answer.status != 204 else None

    async def session(self) -> dict[str, str]:
        """Sign the technician in; answer the header that proves it."""
        body = {"username": TECHNICIAN, "password": PASSWORD}
        status, told = await self.ask("POST", "/api/auth/html5-login", body)
        assert status == 200, told
        return {"X-Session-Token": told["session_token"]}

    async def submit(self, old_type: str = "scheme_builder", **payload: Any) -> str:
        """Ask for a job; answer its id."""
        status, told = await self.ask(
            "POST", "/api/jobs", {"type": old_type, "payload": payload or SCHEME}, WORKER
        )
        assert status == 201, told
        return told["job"]["id"]


@dataclass
class OldWorker:
    """A worker of the second generation: polls, tells progress, completes; it knows of no tokens."""

    old: Old
    job_type: str = "scheme_builder"
    name: str = "sb-1"
    held: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def poll(self) -> dict[str, Any] | None:
        body = {"job_type": self.job_type, "worker_key": WORKER_KEY, "worker_id": self.name}
        status, told = await self.old.ask("POST", "/api/jobs/next", body)
        assert status in (200, 204), told
        if told is None:
            return None
        self.held.append(told["job"])
        return told["job"]

    async def progress(self, job: str, **more: Any) -> tuple[int, Any]:
        body = {"worker_key": WORKER_KEY, "worker_id": self.name, **more}
        return await self.old.ask("POST", f"/api/jobs/{job}/progress", body)

    async def complete(self, job: str, result: dict[str, Any], **more: Any) -> tuple[int, Any]:
        body = {"worker_key": WORKER_KEY, "result": result, **more}
        return await self.old.ask("POST", f"/api/jobs/{job}/complete", body)
