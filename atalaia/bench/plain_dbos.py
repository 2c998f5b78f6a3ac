"""The baseline of `bench jobs`: plain DBOS workflows, in a process of their own. Prints one JSON object."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import uvloop
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import make_url

from atalaia.bench.common import rss_mb
from atalaia.bench.jobs import CASES, measure
from atalaia.ids import SystemIds
from atalaia.jobs.engine import POOL, sqlite_module


@DBOS.step()
async def step() -> int:
    """Answer what a step of ours answers."""
    return 1


@DBOS.workflow()
async def plain(steps: int) -> None:
    """Do as many steps."""
    for _ in range(steps):
        await step()


async def main(folder: Path, seconds: float, database_url: str | None) -> dict[str, Any]:
    """Measure all cases; answer the figures."""
    address, kwargs = f"sqlite:///{folder / 'plain.db'}", {"module": sqlite_module()}
    if database_url:
        url = make_url(database_url).set(drivername="postgresql+psycopg")
        address, kwargs = url.render_as_string(hide_password=False), dict[str, Any]()
    else:
        with closing(sqlite_module().connect(str(folder / "plain.db"))) as raw:
            raw.execute("PRAGMA journal_mode=WAL")
    config = DBOSConfig(
        name="plain", system_database_url=address, db_engine_kwargs=kwargs, sys_db_pool_size=POOL,
        dbos_system_schema="dbos_plain", serializer=DBOSPortableJSONSerializer(), log_level="ERROR",
        executor_id=SystemIds().new(), application_version="plain-1", use_listen_notify=False,
    )  # fmt: skip
    DBOS(config=config)
    DBOS.launch()

    async def one(steps: int) -> None:
        await (await DBOS.start_workflow_async(plain, steps)).get_result()

    cases = [await measure(lambda s=steps: one(s), steps, at_once, seconds) for steps, at_once in CASES]
    return {"name": "plain DBOS workflows", "cases": cases, "rss_mb": rss_mb(os.getpid())}


if __name__ == "__main__":
    where, for_s, url = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(uvloop.run(main(Path(where), for_s, url))) + "\n")
    sys.stdout.flush()
