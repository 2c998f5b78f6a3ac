"""Addresses of the original that are answered, but not offered: 410 says why. Contract §12.3, §12.4."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from atalaia.web.old.traffilog.common import TAG

COOKIE = "The hub keeps the portal's session itself; cookies from outside are not taken."
DERIVED = "How an installation stands follows from its jobs: tell progress and completion of the job."
LEGACY = "Ask for a job at /api/scheme-builder/start and follow it; nothing waits for minutes."
NEVER = "No recorded exchange shows how this is done; it is not guessed."
DRY_RUN = "Ask for a job with dry_run=true at /api/hub/jobs."

# (method, path, why)
GONE: tuple[tuple[str, str, str], ...] = (
    ("POST", "/api/clients/sync-cookie", COOKIE),
    ("POST", "/api/session/html5-cookie", COOKIE),
    ("GET", "/api/session/html5-cookie/status", COOKIE),
    ("POST", "/api/installations/{installation}/_worker/patch", DERIVED),
    ("POST", "/api/installations/{installation}/_worker/can-snapshot", DERIVED),
    ("POST", "/api/installations/resolve", DRY_RUN),
    ("POST", "/api/monitor/scheme-builder", LEGACY),
    ("POST", "/api/monitor/assign-firmware", NEVER),
)

routes = APIRouter(tags=[TAG])


def _add(method: str, path: str, why: str) -> None:
    async def gone(request: Request) -> JSONResponse:
        return JSONResponse(
            {"ok": False, "error": "not_offered", "reason": "not_offered", "detail": why}, 410
        )

    routes.add_api_route(path, gone, methods=[method], include_in_schema=False)


for _one in GONE:
    _add(*_one)
