"""Rows of jobs as the engine leaves them, for tests of what shows them."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import insert

from atalaia.clock import to_ms
from atalaia.events.model import Fact
from atalaia.store.job_tables import job_frames, job_steps, jobs
from tests.web.site import Site

KIND = "toy.paint"


async def put_job(site: Site, connection: str, **more: Any) -> str:
    """Write a job as the engine would leave it; answer its id."""
    now = to_ms(site.parts.ambient.clock.now())
    identity = site.parts.ambient.ids.new()
    row: dict[str, Any] = {
        "id": identity, "kind": KIND, "connection": connection, "params": {"vehicle_id": "2900108"},
        "state": "queued", "priority": 0, "body_hash": "", "root": identity, "step": "",
        "trace": f"{now}_b0eaa3",
        "attempt": 1, "epoch": 1, "reason": "", "said": "", "asked": "", "progress": "", "result": "",
        "by": "Ana", "created_ms": now, "changed_ms": now, **more,
    }  # fmt: skip
    for name in ("params", "asked", "progress", "result"):
        if not isinstance(row[name], str):
            row[name] = orjson.dumps(row[name]).decode()
    await site.parts.store.write(lambda tx: tx.execute(insert(jobs).values(row)))
    told = {"kind": row["kind"], "connection": connection, "root": row["root"], "params": {}, "by": "Ana"}
    await site.parts.log.put_facts("jobs", [Fact("job.queued", identity, now, told)])
    return identity


async def put_step(site: Site, job: str, name: str, **more: Any) -> None:
    """Write a step of a job."""
    now = to_ms(site.parts.ambient.clock.now())
    row: dict[str, Any] = {
        "job": job, "attempt": 1, "name": name, "round": 1, "kind": "unsafe", "state": "done", "epoch": 1,
        "evidence": "{}", "result": "", "error": "", "began_ms": now, "decided_by": "", **more,
    }  # fmt: skip
    for column in ("evidence", "result"):
        if not isinstance(row[column], str):
            row[column] = orjson.dumps(row[column]).decode()
    await site.parts.store.write(lambda tx: tx.execute(insert(job_steps).values(row)))


async def put_frames(site: Site, job: str, *texts: tuple[str, str]) -> None:
    """Write frames of a job: (direction, text)."""
    now = to_ms(site.parts.ambient.clock.now())
    rows = [
        {"job": job, "at_ms": now, "direction": direction, "surface": "websocket", "text": text}
        for direction, text in texts
    ]
    await site.parts.store.write(lambda tx: tx.execute(insert(job_frames), rows))
