"""A site with a telematics connection, and installations whose jobs stand as the engine would leave them."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import update

from atalaia.clock import to_ms
from atalaia.connectors.traffilog.catalogs import Catalog, Model, Scheme, Technician
from atalaia.connectors.traffilog.importing import put, put_rules
from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.desk.catalogs.catalogs import Catalogs
from atalaia.desk.installations.actions import Installations
from atalaia.store.installation_tables import installations
from atalaia.store.job_tables import jobs
from atalaia.web.api.jobs import orders_of
from tests.web.site import Site
from tests.web.work import put_job

CATALOG = Catalog(
    {"310273": "Jequitibá Transportes", "310206": "Marítima Transportes"},
    [Scheme("310273", "5536", "Default - Frota", "active")],
    [Model("7547", "Iveco", "Stralis"), Model("8064", "Volvo", "VM330")],
    technicians=[Technician("tech_01", "ANA EXEMPLO")],
)
CLIENT, VEHICLE = "310273", "2900108"
SETTINGS = {
    "api_url": "https://api.example.test", "app_guid": "GUID", "user": "monitor", "password": "canary-4711",
    "socket_url": "wss://ws.example.test", "origin": "https://operation.example.test",
}  # fmt: skip
SNAPSHOT: dict[str, Any] = {
    "header": {"ignition": "1", "configuration_key_db": "6a1c5000"},
    "buses": {"can0": {"verdict": "ok"}, "can1": {"verdict": "failed"}},
    "modules": {"CAN/CAN0": {"active": True, "ok": True, "sub": "CAN0"}},
    "modules_complete": True,
    "parameters": {"00002712": {"name": "Battery", "value": 27.4, "unit": "V", "raw": "0112"}},
    "missing": ["oil_temperature"],
    "key_matches": True,
}


async def furnish(site: Site) -> str:
    """Set up the connection and small catalogs; answer the connection's id."""
    connection = await site.connection("traffilog", **SETTINGS)
    catalogs = Catalogs(site.parts.ambient)

    def write(tx: Any) -> None:
        put(tx, catalogs, CATALOG, by="Ana Prado", source="files.json")
        put_rules(tx, catalogs, by="Ana Prado")

    await site.parts.store.write(write)
    return connection


async def installed(site: Site, connection: str, **more: Any) -> str:
    """Ask for an installation; answer its id. Nothing runs it."""
    given = {
        "service": "INSTALL", "connection": connection, "plate": "TST1A23", "client_id": CLIENT,
        "serial": "920003010", "asset_type": "7547", "label": "UP", "harness": "BACK", "technician": "ANA",
        **more,
    }  # fmt: skip
    acts = Installations(orders_of(site.parts))

    def write(tx: Any) -> str:
        start = start_of(Form.model_validate(given), Known.read(tx, CLIENT))
        return acts.start(tx, start, by="Ana").seen.installation.root

    return await site.parts.store.write(write)


async def leave(site: Site, root: str, state: str, **more: Any) -> None:
    """Leave the first job of an installation as the engine would."""
    change = {"state": state, **{k: v if isinstance(v, str) else _dump(v) for k, v in more.items()}}
    await site.parts.store.write(lambda tx: tx.execute(update(jobs).where(jobs.c.id == root).values(change)))


async def asking(site: Site, connection: str, **more: Any) -> str:
    """Answer an installation whose check waits for approval."""
    root, now = await installed(site, connection, **more), to_ms(site.parts.ambient.clock.now())
    await leave(site, root, "done", result={"vehicle_id": VEHICLE})
    params = {"client_id": CLIENT, "client_name": "X", "vehicle_id": VEHICLE, "round": 1}
    await put_job(
        site, connection, kind="traffilog.vehicle_snapshot", root=root, step="can", state="done",
        params=params, result={"ok": True, "snapshot": SNAPSHOT}, created_ms=now + 1,
    )  # fmt: skip
    asked = {
        "name": "approval:1", "question": "Is the CAN check good?", "until_ms": now + 43_200_000,
        "shown": None, "choices": ["approve", "approve_anyway", "check_again", "refuse"],
    }  # fmt: skip
    await put_job(
        site, connection, kind="traffilog.can_approval", root=root, step="approval", state="waiting",
        params=params, asked=asked, created_ms=now + 2,
    )  # fmt: skip
    change = {"state": "WAITING_APPROVAL", "vehicle": VEHICLE}
    await site.parts.store.write(
        lambda tx: tx.execute(update(installations).where(installations.c.root == root).values(change))
    )
    return root


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
