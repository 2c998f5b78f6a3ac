"""A fleet for the browser tests: vehicles with a past, running processes, and real jobs in every state."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from atalaia.clock import to_ms
from atalaia.connectors.connector import Connector
from atalaia.connectors.setup import Setup
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.jobs.model import CannotTell, JobContext, JobKind, Planned, StepKind, Verdict
from atalaia.jobs.submit import Order
from atalaia.serve import Hub
from atalaia.store.job_tables import jobs
from tests.jobs.toy import ToyParams, ToySettings, ToyUpstream, look, order

MINUTE_MS = 60_000
PLATES = {
    "2900108": ("ABC1D23", "310042", "Transportes Aurora"),
    "2900117": ("QWE4R56", "310042", "Transportes Aurora"),
    "2900195": ("JKL7M89", "310042", "Transportes Aurora"),
    "2900204": ("XYZ9A01", "310209", "Viação Serra Azul"),
}


class Asked(BaseModel):
    """What is asked of a vehicle of the fleet."""

    vehicle_id: str = Field(title="Veículo", min_length=1, max_length=12)
    plate: str = Field("", title="Placa", max_length=12)
    scheme: str = Field("Padrão - Dallas", title="Esquema")


async def scheme_builder(context: JobContext, asked: Asked) -> Mapping[str, Any]:
    """Send what nobody answers: the step is in doubt, and the probe cannot tell."""
    toy = ToyParams(resource=asked.vehicle_id, how="no_answer", probe="", supposes=False, session_token="")

    async def probe(_: Mapping[str, Any]) -> Verdict:
        return CannotTell("Nada foi encontrado no portal com este rastro.")

    before = await context.step("get_vehicle_info", StepKind.READ, lambda _: look(context, context.trace))
    await context.step(
        "execute", StepKind.UNSAFE, lambda effect: order(context, toy, effect, context.trace), probe=probe
    )
    return {"before": before}


async def read_can(context: JobContext, asked: Asked) -> Mapping[str, Any]:
    """Ask a person whether what was read is good."""
    read = await context.step("snapshot", StepKind.READ, lambda _: look(context, context.trace))
    shown = {"can0": "ok", "can1": "desligada", "parâmetros": 137, "lido": read}
    chosen = await context.ask(
        "can", "A leitura do CAN está boa?", ["approve", "refresh"], shown=shown, within_s=86_400
    )
    return {"choice": chosen.choice if chosen else ""}


async def follow(context: JobContext, asked: Asked) -> Mapping[str, Any]:
    """Run for long, somewhere in the middle."""
    await context.step("subscribe", StepKind.READ, lambda _: look(context, context.trace))
    await context.progress(42.5, "196 de 460 comandos confirmados pela unidade")
    await context.sleep(86_400)
    return {}


async def swap(context: JobContext, asked: Asked) -> Mapping[str, Any]:
    """Be refused."""
    toy = ToyParams(resource=asked.vehicle_id, how="rejected", probe="", supposes=False, session_token="")
    await context.step("save", StepKind.UNSAFE, lambda effect: order(context, toy, effect, context.trace))
    return {}


async def read_once(context: JobContext, asked: Asked) -> Mapping[str, Any]:
    """Read and be done, with the next job of the pipeline after it."""
    read = await context.step("read_vehicle", StepKind.READ, lambda _: look(context, context.trace))
    context.frame(
        "sent", "websocket", '{"action":{"name":"get_vehicle_info","session_token":"7d720f32f9c8"}}'
    )
    context.frame("received", "websocket", '{"response":{"properties":{"action_value":"0","data":[]}}}')
    await context.follow_up("read_can", asked.model_dump(), step="can")
    return {"lido": read}


def planned(_: Any, asked: Asked) -> list[Planned]:
    """Answer the frames of a Scheme Builder, two of them."""
    frames = [
        orjson.dumps({"action": {"name": name, "parameters": {"vehicle_id": asked.vehicle_id}}}).decode()
        for name in ("vcls_check_opr", "execute_action_opr")
    ]
    return [Planned("websocket", frames[0], "Seleciona o veículo"), Planned("websocket", frames[1])]


KINDS = (
    JobKind("scheme_builder", "Gravar esquema", Asked, scheme_builder, plan=planned),
    JobKind("read_can", "Verificar CAN", Asked, read_can),
    JobKind("follow", "Acompanhar gravação", Asked, follow, seconds_max=200_000),
    JobKind("swap", "Trocar unidade", Asked, swap),
    JobKind("read_once", "Ler veículo", Asked, read_once),
)
FLEET = Connector("fleet", "Frota de teste", ToySettings, None, jobs=KINDS, world="vehicles")
WANTED = {
    "doubt": "in_doubt",
    "asking": "waiting",
    "following": "running",
    "failed": "failed",
    "read": "done",
}


async def furnish(stack: AsyncExitStack, hub: Hub) -> dict[str, str]:
    """Set a fleet up; answers the ids of its connection and of one job in each state."""
    upstream = ToyUpstream()
    await upstream.start()
    stack.push_async_callback(upstream.stop)
    connection = await hub.store.write(lambda tx: _connect(tx, hub, upstream.url))
    await hub.store.write(lambda tx: _past(tx, hub, connection))
    asked = {
        "doubt": ("scheme_builder", "2900108"), "asking": ("read_can", "2900117"),
        "following": ("follow", "2900108"), "failed": ("swap", "2900204"), "read": ("read_once", "2900195"),
    }  # fmt: skip
    ids = {"fleet": connection}
    for name, (kind, vehicle) in asked.items():
        params = {"vehicle_id": vehicle, "plate": PLATES[vehicle][0]}
        ordered = Order(f"fleet.{kind}", connection, params, by="Ana Prado")
        ids[name] = (await hub.store.write(lambda tx, one=ordered: hub.orders.submit(tx, one))).id
    await _settled(hub, ids)
    return ids


async def _settled(hub: Hub, ids: Mapping[str, str]) -> None:
    def states(tx: Connection) -> dict[str, str]:
        return {row.id: row.state for row in tx.execute(select(jobs.c.id, jobs.c.state))}

    while True:
        found = await hub.store.read(states)
        if all(found[ids[name]] == state for name, state in WANTED.items()):
            return
        await asyncio.sleep(0.05)


def _connect(tx: Connection, hub: Hub, url: str) -> str:
    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    read = setup.read("fleet", {"url": url, "password": "test-only-fleet"})
    return setup.create(tx, "fleet", "Frota Aurora", read, by="Ana").id


def _past(tx: Connection, hub: Hub, connection: str) -> None:
    """A day of snapshots, Scheme Builders that run and that ended, and who transmits."""
    now = to_ms(hub.ambient.clock.now())
    told = [
        _snapshot(vehicle, now - ago * MINUTE_MS, ago)
        for place, vehicle in enumerate(PLATES)
        for ago in range(24 * 60 - place, 0, -30)
        if vehicle != "2900204"
    ]
    facts = [*told, *_comings(now), *_processes(now)]
    append_facts(tx, hub.ambient, "demo", facts, connection=connection)


def _comings(now: int) -> list[Fact]:
    rows = (("2900108", True, 40, "the unit sent a message"), ("2900117", False, 70, "the unit disconnected"))
    return [
        Fact(
            "vehicle.connection_changed",
            vehicle,
            now,
            {
                "connected": connected,
                "since_ms": now - ago * MINUTE_MS,
                "evidence": {"why": why, "live": True},
            },
        )
        for vehicle, connected, ago, why in rows
    ]


def _processes(now: int) -> list[Fact]:
    done = {"percent": 100.0, "acknowledged": 459, "total": 460}
    half = {
        "percent": 42.61,
        "acknowledged": 196,
        "total": 460,
        "status": "In Progress",
        "last_command": "F0",
    }
    ended = {"outcome": "completed_unconfirmed", "why": "the upstream says Completed"}
    return [
        _process("process.progressed", "10422606", "2900108", now, **half, queued_ms=now - 3 * MINUTE_MS),
        _process("process.queued", "10422631", "2900117", now - MINUTE_MS, percent=0.0, acknowledged=0),
        _process("process.ended", "10422588", "2900195", now - 5 * MINUTE_MS, **done, **ended),
        _process("process.confirmed", "10422570", "2900108", now - 9 * MINUTE_MS, **done,
                 outcome="confirmed", configuration_key="6A1C4000"),
    ]  # fmt: skip


def _process(type_: str, process: str, vehicle: str, at_ms: int, **more: Any) -> Fact:
    return Fact(type_, process, at_ms, {"vehicle_id": vehicle, "kind": "scheme_builder", "job": "", **more})


def _snapshot(vehicle: str, at_ms: int, ago: int) -> Fact:
    plate, client, name = PLATES[vehicle]
    rpm = round(1100 + 600 * math.sin(ago / 90))
    values: dict[str, tuple[str, Any, str, str]] = {
        "00002712": ("Sys Param Battery", round(27.1 + math.sin(ago / 200), 2), "V", "FF"),
        "00002715": ("Sys Param RPM", max(0, rpm), "rpm", "FF"),
        "000000AD": ("J1939 Engine Speed", max(0, rpm - 3), "rpm", "00"),
        "00002713": ("Sys Param Speed", max(0, round(60 * math.sin(ago / 120))), "km/h", "FF"),
        "00002717": ("Sys Param Fuel Level", round(20 + ago / 24, 1), "%", "FF"),
        "00002719": ("Sys Param Total Fuel", 65_565 - ago // 10, "l", "FF"),
        "0000001F": ("J1939 EBS Red Warning Signal", None, "", "0B"),
    }
    parameters = {
        one: {
            "id": one, "name": label, "raw": f"{zlib.crc32(f'{one}{value}'.encode()):08X}", "value": value,
            "unit": unit, "source": source, "seen_ms": at_ms, "preferred": one != "000000AD",
        }
        for one, (label, value, unit, source) in values.items()
    }  # fmt: skip
    loaded = "6A1C4000" if vehicle == "2900108" else "6A1C5000"
    header = {
        "vehicle_id": vehicle, "license_nmbr": plate, "inner_id": f"0000000920{vehicle[1:]}",
        "client_id": client,
        "vcl_client_description": name, "unit_type": "SPETROTEC", "unit_version": "A77 Read Write.14",
        "ignition": "1", "driver_code": "000000001133", "mileage": f"{243394.9 - ago / 10:.2f}",
        "configuration_key_db": "6A1C5000", "configuration_key_unit": loaded,
    }  # fmt: skip
    modules = {
        "CAN/CAN0": _module("CAN", "CAN0", at_ms, ok=ago < 200),
        "CAN/CAN1": _module("CAN", "CAN1", at_ms, active=False),
        "J1708": _module("J1708", "", at_ms, was_ok=False, ok=False, error="CAN_NO_ACTIVE_ERROR_CODE"),
        "GPS/GPS": _module("GPS", "GPS", at_ms), "KEYPAD_DALLAS": _module("KEYPAD_DALLAS", "", at_ms),
    }  # fmt: skip
    data = {
        "vehicle_id": vehicle, "client_id": client, "plate": plate, "header": header,
        "parameters": parameters,
        "ages": {"header": at_ms, "modules": at_ms}, "modules": modules,
        "modules_complete": vehicle != "2900117",
        "missing": ["oil_temperature", "fuel_temperature"], "complete": False, "job": "",
    }  # fmt: skip
    return Fact("vehicle.snapshot_merged", vehicle, at_ms, data)


def _module(
    module: str,
    sub: str,
    at_ms: int,
    *,
    active: bool = True,
    ok: bool = True,
    was_ok: bool = True,
    error: str = "",
) -> dict[str, Any]:
    return {
        "module": module, "sub": sub, "active": active, "ok": ok and active, "was_ok": was_ok,
        "error": bool(error),
        "error_descr": error, "seen_ms": at_ms,
    }  # fmt: skip
